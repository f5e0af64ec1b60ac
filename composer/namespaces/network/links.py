"""Requests of rtnetlink(7) for links, addresses and routes, as bytes for a `netlink.Batch`.

Lean: imported by the shim. Constants carry the names of linux/if_link.h and linux/rtnetlink.h.
"""

from __future__ import annotations

import errno
import socket
import struct

from composer.namespaces.network.netlink import (
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    Batch,
    attribute,
    attributes,
    dump,
    nested,
    request,
    text,
    u32,
)

TYPE_CHECKING = False  # the module typing costs 400 KiB in every shim
if TYPE_CHECKING:
    from collections.abc import Iterator

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_LINK = 1, 3, 4, 5
_IFLA_MASTER, _IFLA_LINKINFO, _IFLA_IFALIAS, _IFLA_NET_NS_FD = 10, 18, 20, 28
_IFLA_INFO_KIND, _IFLA_INFO_DATA, _IFLA_INFO_SLAVE_KIND, _IFLA_INFO_SLAVE_DATA = 1, 2, 4, 5
_IFLA_GROUP = 27
_LEAVING_GROUP = 0x4C000000
_VETH_INFO_PEER = 1
_IFLA_BRPORT_MODE, _IFLA_BRPORT_ISOLATED = 4, 33
_IFLA_MACVLAN_MODE, _IFLA_IPVLAN_MODE, _IFLA_VLAN_ID = 1, 1, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS, _IFA_BROADCAST = 1, 2, 8, 4
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_TABLE = 1, 4, 5, 15

_IFF_UP = 1
_IFA_F_NODAD = 0x02
_RT_TABLE_MAIN = 254
_RTPROT_BOOT = 3
_SCOPE_UNIVERSE, _SCOPE_LINK, _SCOPE_HOST = 0, 253, 254
_RTN_UNICAST = 1

MACVLAN_MODES = {"private": 1, "vepa": 2, "bridge": 4, "passthru": 8}
IPVLAN_MODES = {"l2": 0, "l3": 1, "l3s": 2}

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")


def _link(index: int = 0, *, up: bool = False) -> bytes:
    return _LINK.pack(socket.AF_UNSPEC, 0, index, _IFF_UP if up else 0, _IFF_UP if up else 0)


def _mac(value: str) -> bytes:
    return attribute(_IFLA_ADDRESS, bytes.fromhex(value.replace(":", "")))


def family_of(address: str) -> socket.AddressFamily:
    """AF_INET6 for text with a colon, else AF_INET."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def add_bridge(batch: Batch, name: str, mac: str, mtu: int) -> None:
    """Make a bridge that is up. A fixed MAC keeps it from changing as ports come and go."""
    body = _link(up=True) + text(_IFLA_IFNAME, name) + _mac(mac)
    if mtu:
        body += u32(_IFLA_MTU, mtu)
    body += nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "bridge"))
    batch.add(RTM_NEWLINK, body, f"make bridge {name}", flags=NLM_F_CREATE | NLM_F_EXCL)


def add_veth(batch: Batch, name: str, master: int, peer: str, mac: str, mtu: int, namespace: int) -> None:
    """Make a pair in one message: the host end up and on the bridge, the peer born inside with its name.

    Args:
        batch: Where the request goes; it is sent on a socket of the host's namespace.
        name: The host's end.
        master: Interface index of the bridge.
        peer: Name inside.
        mac: MAC address inside.
        mtu: Of both ends; 0 leaves the kernel's.
        namespace: Descriptor of the network namespace in which the peer is born.
    """
    size = u32(_IFLA_MTU, mtu) if mtu else b""
    inside = _link() + text(_IFLA_IFNAME, peer) + _mac(mac) + size + u32(_IFLA_NET_NS_FD, namespace)
    body = _link(up=True) + text(_IFLA_IFNAME, name) + u32(_IFLA_MASTER, master) + size
    body += nested(
        _IFLA_LINKINFO,
        text(_IFLA_INFO_KIND, "veth"),
        nested(_IFLA_INFO_DATA, attribute(_VETH_INFO_PEER | 0x8000, inside)),
    )
    batch.add(RTM_NEWLINK, body, f"make veth {name}", flags=NLM_F_CREATE | NLM_F_EXCL)


def set_alias(batch: Batch, name: str, alias: str) -> None:
    """Say in `ip link` whose link this is."""
    body = _link() + text(_IFLA_IFNAME, name) + text(_IFLA_IFALIAS, alias)
    batch.add(RTM_NEWLINK, body, f"set alias of {name}")


def set_bridge_port(batch: Batch, name: str, alias: str, *, hairpin: bool, isolated: bool) -> None:
    """Let a port's packets come back through it (`hairpin`), or talk to no other isolated port."""
    data = attribute(_IFLA_BRPORT_MODE, bytes([hairpin])) + attribute(
        _IFLA_BRPORT_ISOLATED, bytes([isolated])
    )
    body = _link() + text(_IFLA_IFNAME, name) + text(_IFLA_IFALIAS, alias)
    body += nested(
        _IFLA_LINKINFO,
        text(_IFLA_INFO_SLAVE_KIND, "bridge"),
        attribute(_IFLA_INFO_SLAVE_DATA | 0x8000, data),
    )
    batch.add(RTM_NEWLINK, body, f"set bridge port {name}")


def add_child(
    batch: Batch, kind: str, parent: int, name: str, mode: str, mac: str, mtu: int, namespace: int
) -> None:
    """Make a macvlan or ipvlan of the interface with index *parent*, born in *namespace*."""
    modes = MACVLAN_MODES if kind == "macvlan" else IPVLAN_MODES
    number = modes[mode]
    data = (
        u32(_IFLA_MACVLAN_MODE, number)
        if kind == "macvlan"
        else attribute(_IFLA_IPVLAN_MODE, struct.pack("=H", number))
    )
    body = _link() + text(_IFLA_IFNAME, name) + u32(_IFLA_LINK, parent) + u32(_IFLA_NET_NS_FD, namespace)
    if kind == "macvlan":  # an ipvlan has its parent's address
        body += _mac(mac)
    if mtu:
        body += u32(_IFLA_MTU, mtu)
    body += nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, kind), nested(_IFLA_INFO_DATA, data))
    batch.add(RTM_NEWLINK, body, f"make {kind} {name}", flags=NLM_F_CREATE | NLM_F_EXCL)


def add_vlan(batch: Batch, name: str, parent: int, number: int) -> None:
    """Make the VLAN sub-interface *name* (`eth0.10`) of *parent*, up."""
    data = attribute(_IFLA_VLAN_ID, struct.pack("=H", number))
    body = _link(up=True) + text(_IFLA_IFNAME, name) + u32(_IFLA_LINK, parent)
    body += nested(_IFLA_LINKINFO, text(_IFLA_INFO_KIND, "vlan"), nested(_IFLA_INFO_DATA, data))
    batch.add(RTM_NEWLINK, body, f"make vlan {name}", flags=NLM_F_CREATE | NLM_F_EXCL)


def set_up(batch: Batch, index: int, name: str) -> None:
    """Bring a link up."""
    batch.add(RTM_NEWLINK, _link(index, up=True), f"bring {name} up")


def delete(batch: Batch, name: str) -> None:
    """Delete a link by name; one that is not there is fine."""
    batch.add(RTM_DELLINK, _link() + text(_IFLA_IFNAME, name), f"delete {name}", tolerate=(errno.ENODEV,))


def delete_with_ports(sock: socket.socket, name: str) -> None:
    """Delete a bridge and whatever links are on it, all at once; a bridge that is gone is fine.

    The kernel waits for all its processors several times for each deletion; deleting a group waits once.
    """
    index = index_of(sock, name)
    if not index:
        return
    batch = Batch()
    for member in (index, *_ports(sock, index)):
        body = _link(member) + u32(_IFLA_GROUP, _LEAVING_GROUP | index)
        batch.add(RTM_NEWLINK, body, f"group the links of {name}", tolerate=(errno.ENODEV,))
    body = _link() + u32(_IFLA_GROUP, _LEAVING_GROUP | index)
    batch.add(RTM_DELLINK, body, f"delete {name}", tolerate=(errno.ENODEV,))
    batch.run(sock)


def _ports(sock: socket.socket, bridge: int) -> list[int]:
    found = []
    for _, payload in dump(sock, RTM_GETLINK, _link() + u32(_IFLA_MASTER, bridge)):
        found.append(int(_LINK.unpack_from(payload)[2]))
    return found


def add_address(batch: Batch, index: int, interface: str) -> None:
    """Give the link *index* an address with its prefix length, such as `10.0.0.1/24`.

    IPv6 addresses skip duplicate address detection: they come from our own leases.
    """
    address, _, prefix = interface.partition("/")
    family = family_of(address)
    raw = socket.inet_pton(family, address)
    body = _ADDRESS.pack(family, int(prefix), 0, _SCOPE_UNIVERSE, index) + attribute(_IFA_LOCAL, raw)
    body += attribute(_IFA_ADDRESS, raw)
    if family == socket.AF_INET6:
        body += u32(_IFA_FLAGS, _IFA_F_NODAD)
    elif int(prefix) < 31:
        hosts = (1 << (32 - int(prefix))) - 1
        body += attribute(_IFA_BROADCAST, (int.from_bytes(raw, "big") | hosts).to_bytes(4, "big"))
    batch.add(
        RTM_NEWADDR,
        body,
        f"add address {interface}",
        flags=NLM_F_CREATE | NLM_F_EXCL,
        tolerate=(errno.EEXIST,),
    )


def add_default_route(batch: Batch, index: int, gateway: str) -> None:
    """Make *gateway* the way out; `inet` or `inet6` means: straight out of the link."""
    if gateway in ("inet", "inet6"):
        family = socket.AF_INET if gateway == "inet" else socket.AF_INET6
        body = b""
        scope = _SCOPE_LINK
    else:
        family = family_of(gateway)
        body = attribute(_RTA_GATEWAY, socket.inet_pton(family, gateway))
        scope = _SCOPE_UNIVERSE
    head = _ROUTE.pack(family, 0, 0, 0, _RT_TABLE_MAIN, _RTPROT_BOOT, scope, _RTN_UNICAST, 0)
    batch.add(
        RTM_NEWROUTE,
        head + body + u32(_RTA_OIF, index),
        f"add default route via {gateway}",
        flags=NLM_F_CREATE | NLM_F_REPLACE,
    )


def host_networks(sock: socket.socket) -> Iterator[str]:
    """What this machine has addresses in and routes to, as `address/prefix`, without default routes."""
    for _, payload in dump(sock, RTM_GETADDR, _ADDRESS.pack(0, 0, 0, 0, 0)):
        family, prefix, *_ = _ADDRESS.unpack_from(payload)
        found = attributes(payload[8:])
        raw = found.get(_IFA_LOCAL) or found.get(_IFA_ADDRESS)
        if raw:
            yield f"{socket.inet_ntop(family, raw)}/{prefix}"
    for _, payload in dump(sock, RTM_GETROUTE, _ROUTE.pack(*[0] * 9)):
        family, prefix, *_rest = _ROUTE.unpack_from(payload)
        raw = attributes(payload[12:]).get(_RTA_DST)
        if raw and prefix and family in (socket.AF_INET, socket.AF_INET6):
            yield f"{socket.inet_ntop(family, raw)}/{prefix}"


def kinds(sock: socket.socket) -> dict[str, tuple[str, str]]:
    """All links in the socket's namespace: by name the kind (`bridge`; empty for a card) and the alias."""
    found = {}
    for _, payload in dump(sock, RTM_GETLINK, _LINK.pack(0, 0, 0, 0, 0)):
        said = attributes(payload[16:])
        kind = attributes(said.get(_IFLA_LINKINFO, b"")).get(_IFLA_INFO_KIND, b"")
        alias = said.get(_IFLA_IFALIAS, b"")
        name, *rest = (raw.rstrip(b"\0").decode() for raw in (said[_IFLA_IFNAME], kind, alias))
        found[name] = (rest[0], rest[1])
    return found


def index_of(sock: socket.socket, name: str) -> int:
    """The index of a link in the socket's own namespace (not the caller's), 0 when there is none."""
    payload = request(sock, RTM_GETLINK, _link() + text(_IFLA_IFNAME, name), tolerate=(errno.ENODEV,))
    return int(_LINK.unpack_from(payload)[2]) if payload else 0
