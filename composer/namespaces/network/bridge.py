"""The host's side of a network: the bridge, its addresses and the switches of the kernel it needs."""

from __future__ import annotations

import contextlib
import errno
import os
from typing import TYPE_CHECKING

from composer.errors import ConflictError, EngineError, UnsupportedError
from composer.namespaces.network import ipam, links
from composer.namespaces.network.netlink import Batch, NetlinkError

if TYPE_CHECKING:
    import socket

    from composer.engine import IpamPool

_SYSCTL = "/proc/sys/net"
_MODULES = {"bridge": "bridge", "vlan": "8021q", "macvlan": "macvlan", "ipvlan": "ipvlan"}


def interface_address(pool: IpamPool) -> str:
    """The gateway of *pool* with its prefix length."""
    return f"{pool.gateway}/{pool.subnet.rpartition('/')[2]}"


def make(sock: socket.socket, name: str, pools: tuple[IpamPool, ...], mtu: int, alias: str) -> None:
    """Make the bridge, give it the gateways' addresses and let packets pass.

    Args:
        sock: A netlink socket of the caller's own network namespace.
        name: Interface name.
        pools: Filled pools of the network.
        mtu: Bytes, 0 for the kernel's.
        alias: Text that `ip link` shows: whose bridge this is.

    Raises:
        ConflictError: There is an interface with this name.
        UnsupportedError: No privileges, or a kernel without bridges.
    """
    batch = Batch()
    links.add_bridge(batch, name, ipam.mac_for(pools[0].gateway), mtu)
    links.set_alias(batch, name, alias)
    try:
        batch.run(sock)
    except NetlinkError as error:
        if error.errno == errno.EEXIST:
            raise ConflictError(
                f"there is a network interface {name} on this machine already",
                hint="choose another com.docker.network.bridge.name",
            ) from error
        raise _refused(error, "bridge") from error
    try:
        _configure(sock, name, pools)
    except OSError as error:
        remove(sock, name)
        raise EngineError(f"cannot set up bridge {name}: {error.strerror}", errno=error.errno or 0) from error


def remove(sock: socket.socket, name: str) -> None:
    """Delete a link; one that is gone already is fine."""
    batch = Batch()
    links.delete(batch, name)
    batch.run(sock)


def make_vlan(sock: socket.socket, name: str) -> bool:
    """Make the VLAN sub-interface `eth0.10` of `eth0` when it is missing; says whether it was.

    Raises:
        EngineError: Neither the interface nor one it could belong to exists.
    """
    if links.index_of(sock, name):
        return False
    parent, _, number = name.rpartition(".")
    index = links.index_of(sock, parent) if number.isdecimal() and 0 < int(number) < 4095 else 0
    if not index:
        raise EngineError(
            f"there is no network interface {name} on this machine", hint="correct driver_opts.parent"
        )
    batch = Batch()
    links.add_vlan(batch, name, index, int(number))
    try:
        batch.run(sock)
    except NetlinkError as error:
        raise _refused(error, "vlan") from error
    return True


def check_child(sock: socket.socket, kind: str, parent: str, mode: str, name: str) -> None:
    """See whether the kernel makes a macvlan or ipvlan of *parent*, by making one called *name* for a moment.

    Raises:
        EngineError: It does not; for a kernel without them, an `UnsupportedError`.
    """
    with open("/proc/thread-self/ns/net", "rb") as here:
        batch = Batch()
        index = links.index_of(sock, parent)
        links.add_child(batch, kind, index, name, mode, "02:42:00:00:00:01", 0, here.fileno())
        links.delete(batch, name)
        try:
            batch.run(sock)
        except NetlinkError as error:
            raise _refused(error, kind) from error


def _refused(error: NetlinkError, kind: str) -> EngineError:
    if error.errno == errno.EPERM:
        return UnsupportedError(str(error.strerror), errno=errno.EPERM, hint="run composer as root")
    if error.errno == errno.EOPNOTSUPP:
        message = f"this kernel has no {kind} interfaces"
        return UnsupportedError(message, errno=errno.EOPNOTSUPP, hint=f"load the module {_MODULES[kind]}")
    return EngineError(str(error.strerror), errno=error.errno or 0)


def _configure(sock: socket.socket, name: str, pools: tuple[IpamPool, ...]) -> None:
    has_ipv6 = any(":" in pool.subnet for pool in pools)
    if has_ipv6:
        write(f"ipv6/conf/{name}/accept_ra", "0")
        write(f"ipv6/conf/{name}/accept_dad", "0")
        write(f"ipv6/conf/{name}/disable_ipv6", "0")
        _forward_ipv6(name)
    else:
        with contextlib.suppress(FileNotFoundError):
            write(f"ipv6/conf/{name}/disable_ipv6", "1")
    # Lets the host reach published ports by 127.0.0.1; the firewall's guard chain closes the other direction.
    write(f"ipv4/conf/{name}/route_localnet", "1")
    if read("ipv4/ip_forward") == "0":
        write("ipv4/ip_forward", "1")
    index = links.index_of(sock, name)
    batch = Batch()
    for pool in pools:
        links.add_address(batch, index, interface_address(pool))
    batch.run(sock)


def _forward_ipv6(own: str) -> None:
    """Turn IPv6 forwarding on, and let interfaces keep the routes they learn from router advertisements.

    A forwarding interface with accept_ra 1 stops listening to routers, which would cut the host off.
    """
    if read("ipv6/conf/all/forwarding") == "1":
        return
    for interface in os.listdir(f"{_SYSCTL}/ipv6/conf"):
        if interface in ("all", "lo", own):
            continue
        if read(f"ipv6/conf/{interface}/accept_ra") == "1" and interface != "default":
            write(f"ipv6/conf/{interface}/accept_ra", "2")
    write("ipv6/conf/all/forwarding", "1")


def read(name: str) -> str:
    """The value of a switch below /proc/sys/net of the caller's network namespace."""
    fd = os.open(f"{_SYSCTL}/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, 64).decode().strip()
    finally:
        os.close(fd)


def write(name: str, value: str) -> None:
    """Set a switch below /proc/sys/net of the caller's network namespace."""
    fd = os.open(f"{_SYSCTL}/{name}", os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, value.encode())
    finally:
        os.close(fd)
