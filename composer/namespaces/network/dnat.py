"""The little nftables table in each container that sends its DNS queries to our socket.

Lean: imported by the shim. The table never changes but for one port number, so it is encoded here, in one
netfilter batch, and costs neither a library nor a process. Port 53 itself stays free for programs
that want to listen there. Constants carry the names of linux/netfilter/nf_tables.h.
"""

from __future__ import annotations

import socket
import struct

from composer.namespaces.network.netlink import (
    NETLINK_NETFILTER,
    NLM_F_APPEND,
    NLM_F_CREATE,
    Batch,
    attribute,
    nested,
    open_netlink,
    text,
)

_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NFTABLES = 10
_NEWTABLE, _NEWCHAIN, _NEWRULE = (_NFTABLES << 8) | 0, (_NFTABLES << 8) | 3, (_NFTABLES << 8) | 6
_NF_INET_LOCAL_OUT = 3
_PRIORITY_DSTNAT = -100
_REG_1, _REG_2 = 1, 2
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_META_L4PROTO = 16
_NAT_DNAT = 1
_TABLE, _CHAIN = "composer-dns", "queries"
DNS_ADDRESS, _PORT = "127.0.0.11", 53
"""What resolv.conf in a container names."""


def _be(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">i" if value < 0 else ">I", value))


def _expression(name: str, *data: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *data))


def _equals(value: bytes) -> bytes:
    return _expression("cmp", _be(1, _REG_1), _be(2, 0), nested(3, attribute(1, value)))


def _payload(base: int, offset: int, length: int) -> bytes:
    return _expression("payload", _be(1, _REG_1), _be(2, base), _be(3, offset), _be(4, length))


def _match(protocol: int) -> bytes:
    """`ip daddr ADDRESS PROTOCOL dport PORT`, and the address in the register that `nat` takes it from."""
    address = socket.inet_aton(DNS_ADDRESS)
    return b"".join(
        (
            _payload(_NETWORK_HEADER, 16, 4),
            _equals(address),
            _expression("meta", _be(1, _REG_1), _be(2, _META_L4PROTO)),
            _equals(bytes([protocol])),
            _payload(_TRANSPORT_HEADER, 2, 2),
            _equals(struct.pack(">H", _PORT)),
            _expression("immediate", _be(1, _REG_1), nested(2, attribute(1, address))),
        )
    )


# Encoded once, in the zygote: it would be a twentieth of what a container's start computes.
_MATCHES = tuple(_match(protocol) for protocol in (socket.IPPROTO_UDP, socket.IPPROTO_TCP))
_NAT = _expression(
    "nat",
    _be(1, _NAT_DNAT),
    _be(2, socket.AF_INET),
    _be(3, _REG_1),
    _be(4, _REG_1),
    _be(5, _REG_2),
    _be(6, _REG_2),
)
_HEAD = struct.pack(">BBH", socket.AF_INET, 0, 0)
_BATCH = struct.pack(">BBH", 0, 0, _NFTABLES)
_IN_TABLE = _HEAD + text(1, _TABLE)
_NAT_CHAIN = (
    _IN_TABLE
    + text(3, _CHAIN)
    + nested(4, _be(1, _NF_INET_LOCAL_OUT), _be(2, _PRIORITY_DSTNAT))
    + text(7, "nat")
)
_IN_CHAIN = _IN_TABLE + text(2, _CHAIN)


def redirect(udp_port: int, tcp_port: int) -> None:
    """In the caller's network namespace, send what goes to `DNS_ADDRESS`, port 53, to two other ports.

    Raises:
        OSError: The kernel has no nftables or no NAT (errno ENOENT, EOPNOTSUPP, EPROTONOSUPPORT).
    """
    batch = Batch()
    batch.mark(_BATCH_BEGIN, _BATCH)
    batch.add(_NEWTABLE, _IN_TABLE, "make the DNS table", flags=NLM_F_CREATE)
    batch.add(_NEWCHAIN, _NAT_CHAIN, "make the DNS chain", flags=NLM_F_CREATE)
    for match, to_port in zip(_MATCHES, (udp_port, tcp_port), strict=True):
        port = _expression("immediate", _be(1, _REG_2), nested(2, attribute(1, struct.pack(">H", to_port))))
        batch.add(
            _NEWRULE,
            _IN_CHAIN + nested(4, match, port, _NAT),
            "make the DNS rule",
            flags=NLM_F_CREATE | NLM_F_APPEND,
        )
    batch.mark(_BATCH_END, _BATCH)
    with open_netlink(NETLINK_NETFILTER) as sock:
        batch.run(sock)
