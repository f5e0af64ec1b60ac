"""A container's leases: addresses, interface names and default routes on the networks it joins."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from typing import TYPE_CHECKING

from composer.errors import ComposerError, ConflictError, EngineError, NotFoundError, UnsupportedError
from composer.namespaces.network import ipam, records
from composer.namespaces.network import options as network_options
from composer.namespaces.network.setups import EndpointSetup

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from composer.engine import Attachment, ContainerConfig, IpamPool, NetworkConfig, NetworkState

_MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")


def network(db: sqlite3.Connection, network_id: str) -> NetworkState:
    """The network with this id, without the containers on it.

    Raises:
        NotFoundError: There is none.
    """
    found = records.network(db, network_id)
    if found is None:
        raise NotFoundError(f"network {network_id[:12]} does not exist")
    return found


def networks_of(db: sqlite3.Connection, config: ContainerConfig) -> dict[str, NetworkState]:
    """The networks a container is attached to, by id.

    Raises:
        NotFoundError: One of them does not exist.
    """
    return {item.network: network(db, item.network) for item in config.attachments}


def publishing_network(db: sqlite3.Connection, config: ContainerConfig) -> NetworkConfig | None:
    """The network through which a container publishes ports: a bridge with a way out, by priority."""
    for attachment in sorted(config.attachments, key=lambda item: -item.gw_priority):
        found = network(db, attachment.network).config
        if found.driver == "bridge" and not found.internal:
            return found
    return None


def lease(
    db: sqlite3.Connection, config: ContainerConfig, states: dict[str, NetworkState], *, starting: bool
) -> None:
    """Give the container an address on each network where it has none, and take back those it left.

    Raises:
        ConflictError: A wanted address is held while *starting*, or a network is full.
        EngineError: A wanted address, MAC or interface name makes no sense.
    """
    held = {item.network: item for item in records.leases(db, "container", config.id)}
    wanted = {attachment.network for attachment in config.attachments}
    for gone in held.keys() - wanted:
        records.drop_leases(db, config.id, gone)
        del held[gone]
    used = {item.interface for item in held.values()}
    used.update(attachment.interface_name for attachment in config.attachments)
    for attachment in _ordered(config.attachments):
        if attachment.network in held:
            continue
        state = states[attachment.network]
        try:
            addresses = _addresses(db, state, attachment, starting=starting)
            if addresses is None:
                continue
            name = _interface(state, attachment, used)
            mac = _mac(attachment) or ipam.mac_for(addresses[0] or addresses[1])
        except ComposerError as error:
            error.path = error.path or attachment.path
            raise
        records.add_lease(
            db, records.Lease(config.id, attachment.network, config.name, name, *addresses, mac)
        )


def _ordered(attachments: Sequence[Attachment]) -> list[Attachment]:
    return sorted(attachments, key=lambda item: -item.priority)


def _addresses(
    db: sqlite3.Connection, state: NetworkState, attachment: Attachment, *, starting: bool
) -> tuple[str, str] | None:
    """Both addresses; None when a wanted one is held and there is time until the start."""
    leases = records.leases(db, "network", state.config.id)
    name = state.config.name
    last4, last6 = records.last_given(db, state.config.id)
    result = []
    for version, field, value in (
        (4, "ipv4_address", attachment.ipv4_address),
        (6, "ipv6_address", attachment.ipv6_address),
    ):
        pools = [pool for pool in state.pools if (":" in pool.subnet) == (version == 6)]
        if value:
            if not pools:
                raise EngineError(
                    f"network {name} has no IPv{version}, so {field} {value} cannot be given",
                    hint=f"set enable_ipv{version} on the network",
                )
            address = ipam.wanted(pools, value, name, field)
            holder = next((item for item in leases if address in (item.ipv4, item.ipv6)), None)
            if holder is not None:
                if starting:
                    raise ConflictError(f"address {address} on network {name} is held by {holder.name}")
                return None
            result.append(address)
            continue
        result.append(_free(state, pools, leases, last4 if version == 4 else last6))
    records.set_last_given(
        db,
        state.config.id,
        last4 if attachment.ipv4_address else result[0] or last4,
        last6 if attachment.ipv6_address else result[1] or last6,
    )
    return result[0], result[1]


def _free(state: NetworkState, pools: Sequence[IpamPool], leases: Sequence[records.Lease], last: str) -> str:
    if not pools:
        return ""
    column = "ipv6" if ":" in pools[0].subnet else "ipv4"
    held = [value for item in leases if (value := getattr(item, column))]
    for pool in pools:
        address = ipam.pick(pool, held, last)
        if address:
            return address
    raise ConflictError(
        f"network {state.config.name} has no free address left", hint="give it a larger subnet"
    )


def _interface(state: NetworkState, attachment: Attachment, used: set[str]) -> str:
    if attachment.interface_name:
        return network_options.interface_name(attachment.interface_name)
    prefix = network_options.parse(state.config).prefix
    number = 0
    while f"{prefix}{number}" in used:
        number += 1
    used.add(f"{prefix}{number}")
    return f"{prefix}{number}"


def _mac(attachment: Attachment) -> str:
    value = attachment.mac_address.lower().replace("-", ":")
    if not value:
        return ""
    if not _MAC.fullmatch(value) or int(value[:2], 16) & 1:
        raise EngineError(
            f"'{attachment.mac_address}' is not a MAC address of one interface",
            hint="write it like 02:42:ac:11:00:02",
        )
    return value


def setups(
    db: sqlite3.Connection, config: ContainerConfig, states: dict[str, NetworkState], alias: str
) -> tuple[EndpointSetup, ...]:
    """The container's endpoints, in the order in which they are made."""
    leases = {item.network: item for item in records.leases(db, "container", config.id)}
    routes = _default_routes(config.attachments, states)
    result = []
    for attachment in _ordered(config.attachments):
        state = states[attachment.network]
        held = leases.get(attachment.network)
        if held is None:  # an address that is held by the container this one replaces
            ipv4, ipv6 = attachment.ipv4_address, attachment.ipv6_address
            held = records.Lease(
                config.id,
                attachment.network,
                config.name,
                attachment.interface_name or "eth0",
                ipv4,
                ipv6,
                _mac(attachment) or ipam.mac_for(ipv4 or ipv6),
            )
        result.append(_setup(config, attachment, state, held, routes, alias))
    return tuple(result)


def _setup(
    config: ContainerConfig,
    attachment: Attachment,
    state: NetworkState,
    held: records.Lease,
    routes: dict[str, list[str]],
    alias: str,
) -> EndpointSetup:
    for option in attachment.driver_opts:
        raise UnsupportedError(
            f"network {state.config.name}: endpoint option '{option}' is not supported",
            hint="remove it from the service's networks entry",
        )
    options = network_options.parse(state.config)
    bridged = state.config.driver == "bridge"
    addresses = [_with_prefix(value, state.pools) for value in (held.ipv4, held.ipv6) if value]
    addresses += [_link_local(value) for value in attachment.link_local_ips]
    gateway = next((pool.gateway for pool in state.pools if pool.gateway), "")
    return EndpointSetup(
        network=attachment.network,
        network_name=state.config.name,
        driver=state.config.driver,
        parent=state.bridge,
        link=host_link(config.id, attachment.network) if bridged else "",
        alias=alias,
        interface=held.interface,
        mac_address=held.mac if state.config.driver != "ipvlan" else "",
        addresses=tuple(addresses),
        ipv4_address=held.ipv4,
        ipv6_address=held.ipv6,
        gateway=gateway,
        gateways=tuple(routes.get(attachment.network, ())),
        aliases=attachment.aliases,
        internal=state.config.internal,
        mtu=options.mtu,
        hairpin=bool(config.ports) and bridged,
        isolated=not options.icc,
        mode=options.mode,
        links=dict(attachment.links),
    )


def _default_routes(
    attachments: Sequence[Attachment], states: dict[str, NetworkState]
) -> dict[str, list[str]]:
    """Which network provides the default route of each family: highest gw_priority, then first by name."""
    routes: dict[str, list[str]] = {}
    order = sorted(attachments, key=lambda item: (-item.gw_priority, states[item.network].config.name))
    for version in (4, 6):
        for attachment in order:
            state = states[attachment.network]
            pool = next((item for item in state.pools if (":" in item.subnet) == (version == 6)), None)
            if pool is None or not pool.gateway or state.config.internal:
                continue
            direct = state.config.driver == "ipvlan" and network_options.parse(state.config).mode.startswith(
                "l3"
            )
            family = "inet" if version == 4 else "inet6"
            routes.setdefault(attachment.network, []).append(family if direct else pool.gateway)
            break
    return routes


def _with_prefix(address: str, pools: Sequence[IpamPool]) -> str:
    value = ipaddress.ip_address(address)
    for pool in pools:
        subnet = ipaddress.ip_network(pool.subnet)
        if value in subnet:
            return f"{address}/{subnet.prefixlen}"
    return f"{address}/{value.max_prefixlen}"


def _link_local(address: str) -> str:
    try:
        value = ipaddress.ip_address(address)
    except ValueError:
        raise EngineError(f"link_local_ips: '{address}' is not an address") from None
    if not value.is_link_local:
        raise EngineError(f"link_local_ips: {address} is not a link-local address")
    return f"{value}/{16 if value.version == 4 else 64}"


def host_link(container: str, network_id: str) -> str:
    """Name of the veth's host end: the same for every start, 15 characters."""
    return "veth" + hashlib.sha256(f"{container} {network_id}".encode()).hexdigest()[:11]
