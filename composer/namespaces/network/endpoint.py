"""What a shim does in its container's network namespace: links, addresses, routes, DNS sockets.

Lean: imported by the shim. An endpoint is a plain dict, `setups.EndpointSetup` as JSON:

    network, network_name   id and name of the network
    driver                  bridge, macvlan or ipvlan
    parent                  the bridge, or the interface a macvlan or ipvlan belongs to
    link                    name of the veth's host end; empty for macvlan and ipvlan
    alias                   what `ip link` shows at the host end
    interface               name inside
    mac_address, mtu        of the interface inside; mtu 0 leaves the kernel's
    addresses               with prefix length, `172.18.0.2/16`
    gateways                default routes this endpoint provides, at most one per family
    hairpin, isolated       flags of the bridge port
    mode                    of a macvlan or ipvlan
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket

from composer.namespaces.network import dnat, links
from composer.namespaces.network.dnat import DNS_ADDRESS
from composer.namespaces.network.netlink import Batch, NetlinkError, open_netlink

TYPE_CHECKING = False  # the module typing costs 400 KiB in every shim
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_LOOPBACK = 1


def setup_endpoints(setups: Sequence[dict[str, Any]], host: socket.socket) -> None:
    """Bring `lo` up in the caller's network namespace and join every network of *setups*, in order.

    Works for the first networks of a new namespace as for one more of a running container.

    Args:
        setups: See the module's docstring; may be empty. `link` is changed when its name is still in use.
        host: A netlink socket that was opened in the host's namespace.

    Raises:
        NetlinkError: The kernel refused; host ends that were made are removed again.
    """
    try:
        if setups:
            with open("/proc/thread-self/ns/net", "rb") as namespace:
                _make_links(setups, host, namespace.fileno())
        _configure(setups)
    except OSError:
        for setup in setups:
            with contextlib.suppress(OSError):
                remove_endpoint(setup, host)
        raise


def _make_links(setups: Sequence[dict[str, Any]], host: socket.socket, namespace: int) -> None:
    batch = Batch()
    for setup in setups:
        name = setup["interface"]
        mac, mtu = setup["mac_address"], setup["mtu"]
        parent = links.index_of(host, setup["parent"])
        if not parent:
            raise NetlinkError(
                errno.ENODEV, f"network {setup['network_name']} has lost its interface {setup['parent']}"
            )
        if setup["driver"] == "bridge":
            if links.index_of(host, setup["link"]):
                # The namespace of the last run dies in its own time, and so long its host end has the name.
                # Deleting that takes 11-22 ms; another name takes nothing.
                setup["link"] = f"veth{os.urandom(5).hex()}"
            links.add_veth(batch, setup["link"], parent, name, mac, mtu, namespace)
            links.set_bridge_port(
                batch, setup["link"], setup["alias"], hairpin=setup["hairpin"], isolated=setup["isolated"]
            )
        else:
            links.add_child(batch, setup["driver"], parent, name, setup["mode"], mac, mtu, namespace)
    batch.run(host)


def _configure(setups: Sequence[dict[str, Any]]) -> None:
    batch = Batch()
    links.set_up(batch, _LOOPBACK, "lo")
    for setup in setups:
        name = setup["interface"]
        _set_ipv6(name, enabled=any(":" in address for address in setup["addresses"]))
        index = socket.if_nametoindex(name)
        for address in setup["addresses"]:
            links.add_address(batch, index, address)
        links.set_up(batch, index, name)
        for gateway in setup["gateways"]:
            links.add_default_route(batch, index, gateway)
    with open_netlink() as sock:
        batch.run(sock)


def _set_ipv6(name: str, *, enabled: bool) -> None:
    """Without an IPv6 address the interface does no IPv6 at all; with one, it takes no advertisements."""
    settings = {"accept_ra": "0", "accept_dad": "0"} if enabled else {"disable_ipv6": "1"}
    for setting, value in settings.items():
        try:
            fd = os.open(f"/proc/sys/net/ipv6/conf/{name}/{setting}", os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:  # a kernel without IPv6
            return
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)


def remove_endpoint(setup: dict[str, Any], host: socket.socket) -> None:
    """Delete the host end of a veth, which takes the other end along; of macvlan and ipvlan, the link inside.

    Call it before the namespace ends: the kernel tears namespaces down later, and slowly.
    """
    batch = Batch()
    if setup["driver"] == "bridge":
        links.delete(batch, setup["link"])
        batch.run(host)
        return
    links.delete(batch, setup["interface"])
    with open_netlink() as sock:
        batch.run(sock)


def set_gateways(setups: Sequence[dict[str, Any]]) -> None:
    """Put the default routes of *setups* in force again, after a network was joined or left."""
    batch = Batch()
    for setup in setups:
        index = socket.if_nametoindex(setup["interface"])
        for gateway in setup["gateways"]:
            links.add_default_route(batch, index, gateway)
    with open_netlink() as sock:
        batch.run(sock)


def dns_sockets() -> tuple[socket.socket, socket.socket]:
    """A UDP and a listening TCP socket that receive what the container sends to 127.0.0.11 port 53.

    They sit on high ports behind a translation table, so that the container may bind port 53 itself; where
    the kernel cannot translate, on port 53. `lo` must be up.

    Raises:
        OSError: The sockets cannot be bound.
    """
    with contextlib.suppress(OSError):
        udp, tcp = _bind(0)
        try:
            dnat.redirect(udp.getsockname()[1], tcp.getsockname()[1])
        except OSError:
            udp.close()
            tcp.close()
            raise
        return udp, tcp
    return _bind(53)


def _bind(port: int) -> tuple[socket.socket, socket.socket]:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        udp.bind((DNS_ADDRESS, port))
        tcp.bind((DNS_ADDRESS, port))
        tcp.listen(64)
    except OSError:
        udp.close()
        tcp.close()
        raise
    return udp, tcp
