"""Connection tracking: UDP flows that were translated to a container that is gone."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING

from composer.namespaces.network.netlink import (
    NETLINK_NETFILTER,
    Batch,
    attribute,
    attributes,
    dump,
    open_netlink,
)

if TYPE_CHECKING:
    from collections.abc import Collection

_CTNETLINK = 1
_GET, _DELETE = (_CTNETLINK << 8) | 1, (_CTNETLINK << 8) | 2
_CTA_TUPLE_ORIG, _CTA_TUPLE_PROTO = 1, 2
_CTA_PROTO_NUM, _CTA_PROTO_DST_PORT = 1, 3
_ENOENT = 2


def forget_flows(ports: Collection[int]) -> None:
    """Delete tracked UDP flows to these ports of the host, so that the next packet is translated anew.

    Without it a client that keeps sending from one port reaches the old container's address for ever. A
    kernel without the interface is left alone: then flows end after their time-out of half a minute or more.
    """
    if not ports:
        return
    with contextlib.suppress(OSError), open_netlink(NETLINK_NETFILTER) as sock:
        batch = Batch()
        for family in (socket.AF_INET, socket.AF_INET6):
            head = struct.pack(">BBH", family, 0, 0)
            for _, payload in dump(sock, _GET, head):
                original = attributes(payload[4:]).get(_CTA_TUPLE_ORIG, b"")
                protocol = attributes(attributes(original).get(_CTA_TUPLE_PROTO, b""))
                if protocol.get(_CTA_PROTO_NUM, b"")[:1] != bytes([socket.IPPROTO_UDP]):
                    continue
                if int.from_bytes(protocol.get(_CTA_PROTO_DST_PORT, b""), "big") in ports:
                    flow = head + attribute(_CTA_TUPLE_ORIG | 0x8000, original)
                    batch.add(_DELETE, flow, "forget a flow", tolerate=(_ENOENT,))
        batch.run(sock)
