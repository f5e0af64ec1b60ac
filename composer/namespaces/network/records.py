"""What lasts of networks: the networks, who holds which address, which ports are published.

All functions take a connection, so that one transaction covers the records and the change in the kernel: two
processes never disagree about either.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from composer.engine import IpamPool, NetworkConfig, NetworkState
from composer.frozen import frozen
from composer.namespaces.network.firewall import Translation
from composer.values import from_json, to_json

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

MIGRATIONS = (
    """
    CREATE TABLE networks (
        id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL, project TEXT NOT NULL, bridge TEXT NOT NULL,
        config TEXT NOT NULL, pools TEXT NOT NULL, made_parent INTEGER NOT NULL DEFAULT 0,
        last4 TEXT NOT NULL DEFAULT '', last6 TEXT NOT NULL DEFAULT '');
    CREATE TABLE leases (
        container TEXT NOT NULL, network TEXT NOT NULL REFERENCES networks (id), name TEXT NOT NULL,
        interface TEXT NOT NULL, ipv4 TEXT, ipv6 TEXT, mac TEXT NOT NULL,
        PRIMARY KEY (container, network), UNIQUE (network, ipv4), UNIQUE (network, ipv6));
    CREATE TABLE ports (
        container TEXT NOT NULL, name TEXT NOT NULL, protocol TEXT NOT NULL, host_ip TEXT NOT NULL,
        host_port INTEGER NOT NULL, address TEXT NOT NULL, port INTEGER NOT NULL,
        PRIMARY KEY (protocol, host_ip, host_port));
    CREATE INDEX ports_container ON ports (container);
    """,
)


@frozen
class Lease:
    """A container's addresses on one network."""

    container: str
    network: str
    name: str
    interface: str
    ipv4: str
    ipv6: str
    mac: str


def networks(db: sqlite3.Connection, where: str = "", *values: str) -> list[NetworkState]:
    """Networks for which the SQL condition *where* holds, oldest first."""
    holders: dict[str, list[str]] = {}
    for row in db.execute("SELECT network, container FROM leases ORDER BY rowid"):
        holders.setdefault(row["network"], []).append(row["container"])
    rows = db.execute(f"SELECT * FROM networks {where} ORDER BY rowid", values)  # noqa: S608 - own text
    return [_state(row, tuple(holders.get(row["id"], ()))) for row in rows]


def network(db: sqlite3.Connection, network_id: str) -> NetworkState | None:
    """One network, without the containers on it."""
    row = db.execute("SELECT * FROM networks WHERE id = ?", (network_id,)).fetchone()
    return _state(row, ()) if row else None


def _state(row: sqlite3.Row, holders: tuple[str, ...]) -> NetworkState:
    return NetworkState(
        config=from_json(NetworkConfig, json.loads(row["config"])),
        pools=tuple(from_json(IpamPool, pool) for pool in json.loads(row["pools"])),
        bridge=row["bridge"],
        containers=holders,
    )


def add_network(db: sqlite3.Connection, state: NetworkState, *, made_parent: bool) -> None:
    """Remember a network; `made_parent` says that its VLAN interface is ours to delete."""
    config = state.config
    db.execute(
        "INSERT INTO networks (id, name, project, bridge, config, pools, made_parent)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            config.id,
            config.name,
            config.project,
            state.bridge,
            json.dumps(to_json(config)),
            json.dumps([to_json(pool) for pool in state.pools]),
            made_parent,
        ),
    )


def forget_network(db: sqlite3.Connection, network: str) -> bool:
    """Forget a network; says whether its parent interface was ours and is used by no other network."""
    row = db.execute("SELECT bridge, made_parent FROM networks WHERE id = ?", (network,)).fetchone()
    db.execute("DELETE FROM networks WHERE id = ?", (network,))
    if not row["made_parent"]:
        return False
    other = db.execute("SELECT id FROM networks WHERE bridge = ?", (row["bridge"],)).fetchone()
    if other:
        db.execute("UPDATE networks SET made_parent = 1 WHERE id = ?", (other["id"],))
    return other is None


def leases(db: sqlite3.Connection, column: str, value: str) -> list[Lease]:
    """Leases of a `container` or on a `network`."""
    rows = db.execute(
        f"SELECT * FROM leases WHERE {column} = ? ORDER BY rowid",  # noqa: S608 - own text
        (value,),
    )
    return [
        Lease(
            row["container"],
            row["network"],
            row["name"],
            row["interface"],
            row["ipv4"] or "",
            row["ipv6"] or "",
            row["mac"],
        )
        for row in rows
    ]


def add_lease(db: sqlite3.Connection, lease: Lease) -> None:
    """Remember a lease, and the addresses as the last ones given out."""
    db.execute(
        "INSERT INTO leases VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            lease.container,
            lease.network,
            lease.name,
            lease.interface,
            lease.ipv4 or None,
            lease.ipv6 or None,
            lease.mac,
        ),
    )


def last_given(db: sqlite3.Connection, network: str) -> tuple[str, str]:
    """The addresses that were chosen last on a network."""
    row = db.execute("SELECT last4, last6 FROM networks WHERE id = ?", (network,)).fetchone()
    return row["last4"], row["last6"]


def set_last_given(db: sqlite3.Connection, network: str, ipv4: str, ipv6: str) -> None:
    """Remember the addresses that were chosen last on a network."""
    db.execute("UPDATE networks SET last4 = ?, last6 = ? WHERE id = ?", (ipv4, ipv6, network))


def drop_leases(db: sqlite3.Connection, container: str, network: str = "") -> None:
    """Give back all addresses of a container, or those on one network."""
    if network:
        db.execute("DELETE FROM leases WHERE container = ? AND network = ?", (container, network))
    else:
        db.execute("DELETE FROM leases WHERE container = ?", (container,))


def translations(db: sqlite3.Connection, container: str = "") -> list[Translation]:
    """Published ports, of one container or of all."""
    condition, values = ("WHERE container = ?", (container,)) if container else ("", ())
    rows = db.execute(f"SELECT * FROM ports {condition}", values)  # noqa: S608 - own text
    return [
        Translation(row["protocol"], row["host_ip"], row["host_port"], row["address"], row["port"])
        for row in rows
    ]


def publishers(db: sqlite3.Connection) -> set[str]:
    """Containers that publish ports."""
    return {row[0] for row in db.execute("SELECT DISTINCT container FROM ports")}


def publisher(db: sqlite3.Connection, protocol: str, port: int) -> tuple[str, str]:
    """Id and name of a container that publishes this port on any address; empty when there is none."""
    row = db.execute(
        "SELECT container, name FROM ports WHERE protocol = ? AND host_port = ?", (protocol, port)
    ).fetchone()
    return (row["container"], row["name"]) if row else ("", "")


def add_ports(db: sqlite3.Connection, container: str, name: str, items: Iterable[Translation]) -> None:
    """Remember published ports. Who held them before holds their sockets no more, and is forgotten."""
    for item in items:
        db.execute(
            "INSERT OR REPLACE INTO ports VALUES (?, ?, ?, ?, ?, ?, ?)",
            (container, name, item.protocol, item.host_ip, item.host_port, item.address, item.port),
        )


def drop_ports(db: sqlite3.Connection, containers: Sequence[str]) -> None:
    """Forget the published ports of containers."""
    db.executemany("DELETE FROM ports WHERE container = ?", [(container,) for container in containers])
