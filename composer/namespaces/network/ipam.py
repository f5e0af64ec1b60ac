"""Address pools: which subnet a network gets, and which address a container. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
from typing import TYPE_CHECKING, TypeAlias

from composer.engine import IpamPool
from composer.errors import ConflictError, EngineError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from composer.engine import NetworkConfig

Subnet: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


def default_subnets() -> Iterator[ipaddress.IPv4Network]:
    """Docker's default pools in Docker's order, but 172.17.0.0/16 last: Docker's own bridge wants that."""
    for second in range(18, 32):
        yield ipaddress.IPv4Network((f"172.{second}.0.0", 16))
    yield from ipaddress.IPv4Network("192.168.0.0/16").subnets(new_prefix=20)
    yield ipaddress.IPv4Network("172.17.0.0/16")


def default_subnets6(machine: str, network: str) -> Iterator[ipaddress.IPv6Network]:
    """The /64 networks of this machine's own /48 (RFC 4193), from one on that *network* decides."""
    prefix = b"\xfd" + hashlib.sha256(b"composer " + machine.encode()).digest()[:5]
    first = int.from_bytes(hashlib.sha256(network.encode()).digest()[:2], "big")
    for step in range(1 << 16):
        number = (first + step) & 0xFFFF
        raw = prefix + number.to_bytes(2, "big") + bytes(8)
        yield ipaddress.IPv6Network((raw, 64))


def fill(
    config: NetworkConfig, taken: Collection[Subnet], machine: str, *, bridged: bool = True
) -> tuple[IpamPool, ...]:
    """The pools of a network: those it asks for, checked, and chosen ones for what it leaves open.

    Args:
        config: The wanted network.
        taken: Subnets of other networks, and what the host has addresses in and routes to.
        machine: What makes this machine's IPv6 prefix its own, such as the machine id.
        bridged: The host takes part, so its routes count as taken and there is a gateway.

    Raises:
        ConflictError: A wanted subnet overlaps a taken one, or no default one is left.
        EngineError: A pool makes no sense.
    """
    pools = []
    versions = set()
    for wanted in config.pools:
        if not wanted.subnet:
            if wanted.gateway or wanted.ip_range or wanted.aux_addresses:
                raise EngineError(
                    f"network {config.name}: gateway, ip_range and aux_addresses need a subnet",
                    hint="add ipam.config.subnet",
                )
            continue
        pool = _checked(config.name, wanted)
        subnet = ipaddress.ip_network(pool.subnet)
        clash = _overlap(subnet, taken)
        if clash is not None:
            raise ConflictError(
                f"network {config.name}: subnet {subnet} overlaps {clash}, which is in use on this machine",
                hint="choose another subnet, or leave it out to get a free one",
            )
        pools.append(pool)
        versions.add(subnet.version)
        taken = (*taken, subnet)
    if config.enable_ipv4 and 4 not in versions:
        if not bridged:
            raise EngineError(
                f"network {config.name}: driver {config.driver} needs to know the subnet it joins",
                hint="set ipam.config.subnet and gateway",
            )
        pools.insert(0, _choose(config.name, default_subnets(), taken))
    if config.enable_ipv6 and 6 not in versions:
        pools.append(_choose(config.name, default_subnets6(machine, config.id), taken))
    if not pools:
        raise EngineError(f"network {config.name} has neither IPv4 nor IPv6", hint="enable one of them")
    return tuple(pools)


def _choose(name: str, candidates: Iterable[Subnet], taken: Collection[Subnet]) -> IpamPool:
    for subnet in candidates:
        if _overlap(subnet, taken) is None:
            return IpamPool(subnet=str(subnet), gateway=str(subnet[1]))
    raise ConflictError(
        f"network {name}: all default subnets are in use on this machine",
        hint="remove networks that are no longer needed, or set ipam.config.subnet",
    )


def _overlap(subnet: Subnet, taken: Iterable[Subnet]) -> Subnet | None:
    for other in taken:
        if isinstance(subnet, ipaddress.IPv4Network):
            if isinstance(other, ipaddress.IPv4Network) and subnet.overlaps(other):
                return other
        elif isinstance(other, ipaddress.IPv6Network) and subnet.overlaps(other):
            return other
    return None


def _checked(name: str, pool: IpamPool) -> IpamPool:
    subnet = _network(name, "subnet", pool.subnet)
    if subnet.num_addresses < 4 or subnet.prefixlen < 8:
        raise EngineError(
            f"network {name}: subnet {subnet} is too {'small' if subnet.prefixlen >= 8 else 'large'}",
            hint=f"use a prefix length between 8 and {subnet.max_prefixlen - 2}",
        )
    if subnet.is_multicast or subnet.is_loopback or subnet.is_link_local:
        raise EngineError(
            f"network {name}: subnet {subnet} has a special meaning", hint="choose another subnet"
        )
    gateway = _inside(name, "gateway", pool.gateway, subnet) if pool.gateway else subnet[1]
    if pool.ip_range:
        block = _network(name, "ip_range", pool.ip_range)
        if (
            block.version != subnet.version
            or not _contains(subnet, block[0])
            or not _contains(subnet, block[-1])
        ):
            raise EngineError(f"network {name}: ip_range {block} is not inside {subnet}")
    auxiliary = {
        key: str(_inside(name, f"aux_addresses.{key}", value, subnet))
        for key, value in pool.aux_addresses.items()
    }
    return IpamPool(subnet=str(subnet), gateway=str(gateway), ip_range=pool.ip_range, aux_addresses=auxiliary)


def _network(name: str, field: str, value: str) -> Subnet:
    try:
        return ipaddress.ip_network(value)
    except ValueError as error:
        raise EngineError(
            f"network {name}: {field} '{value}' is not a network: {error}", hint="write it like 10.5.0.0/16"
        ) from None


def _inside(name: str, field: str, value: str, subnet: Subnet) -> Address:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        raise EngineError(f"network {name}: {field} '{value}' is not an address") from None
    if not _contains(subnet, address):
        raise EngineError(f"network {name}: {field} {address} is not inside {subnet}")
    return address


def _contains(subnet: Subnet, address: Address) -> bool:
    return address.version == subnet.version and int(subnet[0]) <= int(address) <= int(subnet[-1])


def pick(pool: IpamPool, leased: Collection[str], last: str) -> str:
    """The next free address, upward from *last* and round, so that a released one rests a while; or empty.

    Args:
        pool: A filled pool.
        leased: Addresses in use, as `ipaddress` writes them; others may be among them.
        last: The one given out before, or empty.
    """
    subnet = ipaddress.ip_network(pool.subnet)
    block = ipaddress.ip_network(pool.ip_range) if pool.ip_range else subnet
    first, end = int(block[0]), int(block[-1])
    if first == int(subnet[0]):
        first += 1
    if subnet.version == 4 and end == int(subnet[-1]):
        end -= 1
    # Compared as text, in canonical form: thousands of leases need not be parsed for one new one.
    reserved = {*leased, *pool.aux_addresses.values(), pool.gateway}
    start = int(ipaddress.ip_address(last)) + 1 if last else first
    if not first <= start <= end:
        start = first
    kind = ipaddress.IPv4Address if subnet.version == 4 else ipaddress.IPv6Address
    size = end - first + 1
    # At most one more candidate than there are reserved ones has to be looked at.
    for step in range(min(size, len(reserved) + 1)):
        candidate = str(kind(first + (start - first + step) % size))
        if candidate not in reserved:
            return candidate
    return ""


def wanted(pools: Iterable[IpamPool], address: str, network: str, field: str) -> str:
    """*address* in canonical form, when a container may ask for it on a network with *pools*.

    Raises:
        EngineError: It is not an address, is in no pool, or is the gateway's or a reserved one.
    """
    try:
        value = ipaddress.ip_address(address)
    except ValueError:
        raise EngineError(f"network {network}: {field} '{address}' is not an address") from None
    for pool in pools:
        subnet = ipaddress.ip_network(pool.subnet)
        if not _contains(subnet, value):
            continue
        if str(value) == pool.gateway or value in (subnet[0], subnet[-1]):
            raise EngineError(f"network {network}: {field} {value} is the gateway's or the network's own")
        return str(value)
    subnets = ", ".join(pool.subnet for pool in pools)
    raise EngineError(
        f"network {network}: {field} {value} is not in its subnet ({subnets})",
        hint="give the network a subnet that contains it",
    )


def mac_for(address: str) -> str:
    """A local MAC address made from the IP address: neighbours' caches stay right when it is reused."""
    value = ipaddress.ip_address(address)
    tail = value.packed if value.version == 4 else hashlib.sha256(value.packed).digest()[:4]
    return ":".join(f"{byte:02x}" for byte in b"\x02\x42" + tail)
