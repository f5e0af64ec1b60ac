"""A small encoder for netlink(7): batches of requests in one send, counted acknowledgements, dumps.

Lean: imported by the shim. One `Batch` is one system call to send and usually one to receive; setting up a
whole network namespace that way costs a tenth of a millisecond.
"""

from __future__ import annotations

import os
import socket
import struct

TYPE_CHECKING = False  # the module typing costs 400 KiB in every shim
if TYPE_CHECKING:
    from collections.abc import Iterator

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_REPLACE = 0x100
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800

_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLM_F_CAPPED = 0x100
_NLM_F_ACK_TLVS = 0x200
_NLMSGERR_ATTR_MSG = 1

_SOL_NETLINK = 270
_NETLINK_ADD_MEMBERSHIP = 1
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_NETLINK_GET_STRICT_CHK = 12

NESTED = 0x8000
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")


class NetlinkError(OSError):
    """The kernel refused a request; `strerror` says which and why."""


def open_netlink(protocol: int = NETLINK_ROUTE, *, group: int = 0) -> socket.socket:
    """A netlink socket of the caller's present network namespace; it stays in that namespace for ever.

    Args:
        protocol: The family, see netlink(7).
        group: Number of a multicast group to listen to, or 0.
    """
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    sock.bind((0, 0))
    sock.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
    sock.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
    if protocol == NETLINK_ROUTE:
        # Without it the kernel ignores the filters in the header of a dump request.
        sock.setsockopt(_SOL_NETLINK, _NETLINK_GET_STRICT_CHK, 1)
    if group:
        sock.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)
    return sock


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes."""
    length = 4 + len(payload)
    return _ATTRIBUTE.pack(length, kind) + payload + b"\0" * (-length & 3)


def nested(kind: int, *children: bytes) -> bytes:
    """An attribute made of attributes."""
    return attribute(kind | NESTED, b"".join(children))


def text(kind: int, value: str) -> bytes:
    """A string attribute with its terminating NUL."""
    return attribute(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    """A 32 bit number in host order."""
    return attribute(kind, struct.pack("=I", value))


def attributes(data: bytes) -> dict[int, bytes]:
    """Decode a run of attributes; of repeated ones the last counts."""
    found = {}
    offset = 0
    while offset + 4 <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, offset)
        if length < 4:
            break
        found[kind & 0x3FFF] = data[offset + 4 : offset + length]
        offset += (length + 3) & ~3
    return found


class Batch:
    """Requests that are sent together and acknowledged one by one.

    The kernel handles them in order and does not stop at the first that fails; rtnetlink has no
    transactions. Netfilter batches (with begin and end messages) are all or nothing.
    """

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self._what: dict[int, tuple[str, tuple[int, ...]]] = {}

    def add(
        self, kind: int, body: bytes, what: str, *, flags: int = 0, tolerate: tuple[int, ...] = ()
    ) -> None:
        """Append a request.

        Args:
            kind: Message type.
            body: The family's header and attributes.
            what: What it does, for the error message: `add address 10.0.0.2/24 to eth0`.
            flags: NLM_F_ flags besides REQUEST and ACK.
            tolerate: Error numbers that are as good as success.
        """
        sequence = len(self._messages) + 1
        self._messages.append(
            _HEADER.pack(16 + len(body), kind, NLM_F_REQUEST | NLM_F_ACK | flags, sequence, 0)
            + body
            + b"\0" * (-len(body) & 3)
        )
        self._what[sequence] = (what, tolerate)

    def mark(self, kind: int, body: bytes) -> None:
        """Append a message that is not acknowledged: the begin and end of a netfilter batch."""
        sequence = len(self._messages) + 1
        self._messages.append(_HEADER.pack(16 + len(body), kind, NLM_F_REQUEST, sequence, 0) + body)

    def run(self, sock: socket.socket) -> None:
        """Send everything and wait for every answer.

        Raises:
            NetlinkError: The first request that failed; those after it were tried too.
        """
        if not self._messages:
            return
        sock.send(b"".join(self._messages))
        pending = set(self._what)
        failure: NetlinkError | None = None
        while pending:
            # The kernel works inside send: by now every answer is queued, so this never has to wait.
            for kind, flags, sequence, payload in _messages(sock.recv(1 << 16, socket.MSG_DONTWAIT)):
                if kind != _NLMSG_ERROR:
                    continue
                code = -int(struct.unpack_from("=i", payload)[0])
                if sequence not in pending:
                    # The begin message of a netfilter batch: nothing after it was looked at.
                    raise _failure(code, "change the firewall", flags, payload)
                pending.discard(sequence)
                what, tolerate = self._what[sequence]
                if code and code not in tolerate and failure is None:
                    failure = _failure(code, what, flags, payload)
        if failure is not None:
            raise failure


def dump(sock: socket.socket, kind: int, body: bytes) -> Iterator[tuple[int, bytes]]:
    """All objects of a dump request, as (message type, family header and attributes).

    Raises:
        NetlinkError: The kernel refused.
    """
    sock.send(_HEADER.pack(16 + len(body), kind, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + body)
    while True:
        for found, flags, _, payload in _messages(sock.recv(1 << 18)):
            if found == _NLMSG_DONE:
                return
            if found == _NLMSG_ERROR:
                code = -int(struct.unpack_from("=i", payload)[0])
                if code:
                    raise _failure(code, f"dump {kind}", flags, payload)
                return
            yield found, payload


def request(sock: socket.socket, kind: int, body: bytes, *, tolerate: tuple[int, ...] = ()) -> bytes:
    """Ask for one object; returns its family header and attributes, or nothing for a tolerated error.

    Raises:
        NetlinkError: The kernel refused.
    """
    sock.send(_HEADER.pack(16 + len(body), kind, NLM_F_REQUEST, 1, 0) + body)
    for found, flags, _, payload in _messages(sock.recv(1 << 16)):
        if found == _NLMSG_ERROR:
            code = -int(struct.unpack_from("=i", payload)[0])
            if code in tolerate:
                return b""
            raise _failure(code, f"ask for {kind}", flags, payload)
        return payload
    return b""


def _messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    offset = 0
    while offset + 16 <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < 16:
            return
        yield kind, flags, sequence, data[offset + 16 : offset + length]
        offset += (length + 3) & ~3


def _failure(code: int, what: str, flags: int, payload: bytes) -> NetlinkError:
    message = os.strerror(code)
    if flags & _NLM_F_ACK_TLVS:
        # struct nlmsgerr: the error, then the request's header (and its body, when not capped).
        start = 20 if flags & _NLM_F_CAPPED else 4 + int(struct.unpack_from("=I", payload, 4)[0])
        said = attributes(payload[start:]).get(_NLMSGERR_ATTR_MSG)
        if said:
            message = f"{message}: {said.rstrip(bytes(1)).decode(errors='replace')}"
    return NetlinkError(code, f"cannot {what}: {message}")
