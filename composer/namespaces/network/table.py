"""The installation's nftables table in the kernel, kept equal to the records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.namespaces.network import firewall, foreign, records
from composer.namespaces.network import options as network_options
from composer.namespaces.network.nft import Nftables, NftError
from composer.namespaces.network.setups import published_through

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable

    from composer.engine import NetworkState, PublishedPort
    from composer.namespaces.network.setups import EndpointSetup


class FirewallTable:
    """Table *name*; nftables is opened at first use, in the network namespace of that moment.

    Methods that take a connection belong into its write transaction: then records and kernel agree.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._nft: Nftables | None = None

    def _commands(self) -> Nftables:
        if self._nft is None:
            self._nft = Nftables()
        return self._nft

    def close(self) -> None:
        """Close the connection to nftables."""
        if self._nft is not None:
            self._nft.close()
            self._nft = None

    def present(self) -> bool:
        """Whether the table is in the kernel, with its rules."""
        try:
            return "vmap @to_networks" in self._commands().run(f"list chain inet {self.name} forwarding")
        except NftError:
            return False

    def add(self, db: sqlite3.Connection, state: NetworkState, *, first: bool) -> None:
        """Let a network in that is in the records already; the *first* one makes the table."""
        if first:
            self.replace(db)
        else:
            self._change(db, firewall.add_network(self.name, _filtered(state)))

    def remove(self, db: sqlite3.Connection, state: NetworkState) -> None:
        """Take a network out that is in the records no more; the table goes with the last one."""
        foreign.forget(self._commands(), state.bridge, self.name)
        if any(item.config.driver == "bridge" for item in records.networks(db)):
            self._change(db, firewall.remove_network(self.name, _filtered(state)))
        else:
            self._commands().run(firewall.remove_table(self.name))

    def publish(
        self,
        db: sqlite3.Connection,
        before: Iterable[firewall.Translation],
        after: Iterable[firewall.Translation] = (),
    ) -> None:
        """Replace published ports."""
        self._change(db, firewall.unpublish(self.name, before) + firewall.publish(self.name, after))

    def replace(self, db: sqlite3.Connection) -> None:
        """Put everything as the records say."""
        networks = [_filtered(state) for state in records.networks(db) if state.config.driver == "bridge"]
        if networks:
            self._commands().run(firewall.whole(self.name, networks, records.translations(db)))
        else:
            self._commands().run(firewall.remove_table(self.name))

    def tell_others(self, bridges: Iterable[str]) -> None:
        """Let other firewalls on the machine pass the packets of these bridges."""
        foreign.allow(self._commands(), bridges, self.name)

    def obstacles(self) -> tuple[str, ...]:
        """Chains of other firewalls that drop packets and that we do not open, as `inet filter forward`."""
        return tuple(foreign.obstacles(self._commands()))

    def _change(self, db: sqlite3.Connection, commands: str) -> None:
        """Make a change; when kernel and records disagree, put everything back as the records say."""
        try:
            if commands:
                self._commands().run(commands)
        except NftError:
            self.replace(db)


def translations(
    published: Iterable[PublishedPort], setups: Iterable[EndpointSetup]
) -> list[firewall.Translation]:
    """The map elements for published ports; a port whose family the container lacks is left to the relay."""
    ipv4, ipv6 = published_through(setups)
    items = []
    for port in published:
        address = ipv6 if ":" in port.host_ip else ipv4
        if address and port.host_ip != "::1":
            items.append(
                firewall.Translation(
                    port.protocol, port.host_ip, port.host_port, address, port.container_port
                )
            )
    return items


def _filtered(state: NetworkState) -> firewall.FilteredNetwork:
    options = network_options.parse(state.config)
    return firewall.FilteredNetwork(
        id=state.config.id,
        bridge=state.bridge,
        subnets=tuple(pool.subnet for pool in state.pools),
        internal=state.config.internal,
        icc=options.icc,
        masquerade=options.masquerade,
    )
