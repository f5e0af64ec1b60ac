"""DNS messages (RFC 1035, EDNS of RFC 6891): just what a resolver for containers reads and writes. Pure."""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import TYPE_CHECKING

from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

A, PTR, AAAA, OPT, ANY = 1, 12, 28, 41, 255
IN = 1
NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = 0, 1, 2, 3, 4, 5
TTL = 5
"""Seconds. Short, since a stopped replica must not be asked for long; Docker says 600."""
PLAIN_SIZE = 512
LARGEST_SIZE = 4096
_OWN_SIZE = 1232

_HEADER = struct.Struct("!HHHHHH")
_RESPONSE, _TRUNCATED, _RECURSION_DESIRED, _RECURSION_AVAILABLE = 0x8000, 0x0200, 0x0100, 0x0080
_OPCODE = 0x7800
_TO_QUESTION = b"\xc0\x0c"


class MalformedError(Exception):
    """Not a query. `reply` is what the sender is to get; empty when it is to get nothing."""

    def __init__(self, reply: bytes = b"") -> None:
        super().__init__("malformed DNS message")
        self.reply = reply


@frozen
class Query:
    """One question.

    Attributes:
        id: Chosen by the client.
        flags: The header's second word.
        name: Lower case, without the final dot.
        kind: Type of the wanted records.
        question: The question section as it was sent.
        size: The largest UDP answer the client takes, bytes.
        edns: The client speaks EDNS.
    """

    id: int
    flags: int
    name: str
    kind: int
    question: bytes
    size: int
    edns: bool


def parse_query(data: bytes) -> Query:
    """Read a client's message.

    Raises:
        MalformedError: It is not a query for one name of class IN.
    """
    if len(data) < 12:
        raise MalformedError
    number, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    if flags & _RESPONSE:
        raise MalformedError
    if flags & _OPCODE:
        raise MalformedError(_error(number, flags, NOTIMP))
    if questions != 1 or answers or authorities:
        raise MalformedError(_error(number, flags, FORMERR))
    try:
        name, end = _name(data, 12)
        kind, klass = struct.unpack_from("!HH", data, end)
        edns = _edns(data, end + 4) if additional else None
    except (struct.error, IndexError, ValueError):
        raise MalformedError(_error(number, flags, FORMERR)) from None
    if klass != IN:
        raise MalformedError(_error(number, flags, NOTIMP))
    size = PLAIN_SIZE if edns is None else min(max(edns, PLAIN_SIZE), LARGEST_SIZE)
    return Query(number, flags, name, kind, data[12 : end + 4], size, edns is not None)


def _name(data: bytes, offset: int) -> tuple[str, int]:
    """The name at *offset*, lower case, and where it ends. A question has nothing to point back to."""
    labels = []
    start = offset
    while True:
        length = data[offset]
        if length > 63:
            raise ValueError("compressed or reserved label in a question")
        offset += 1
        if not length:
            break
        if offset + length > len(data):
            raise ValueError("name runs over the end")
        labels.append(data[offset : offset + length])
        offset += length
        if offset - start > 254:
            raise ValueError("name is too long")
    return b".".join(labels).decode("latin-1").lower(), offset


def _edns(data: bytes, offset: int) -> int | None:
    """The UDP size of an OPT record that comes first in the additional section."""
    if data[offset] != 0:
        return None
    kind, size = struct.unpack_from("!HH", data, offset + 1)
    return size if kind == OPT else None


def _error(number: int, flags: int, code: int) -> bytes:
    kept = flags & (_OPCODE | _RECURSION_DESIRED)
    return _HEADER.pack(number, _RESPONSE | _RECURSION_AVAILABLE | kept | code, 0, 0, 0, 0)


def answer(
    query: Query, records: Sequence[tuple[int, bytes]], code: int = NOERROR, *, tcp: bool = False
) -> bytes:
    """The reply with *records* (type and data) under the question's name; cut, and marked so, to fit UDP."""
    options = struct.pack("!BHHIH", 0, OPT, _OWN_SIZE, 0, 0) if query.edns else b""
    room = (65535 if tcp else query.size) - 12 - len(query.question) - len(options)
    body = []
    truncated = 0
    for kind, data in records:
        record = _TO_QUESTION + struct.pack("!HHIH", kind, IN, TTL, len(data)) + data
        room -= len(record)
        if room < 0:
            truncated = _TRUNCATED
            break
        body.append(record)
    flags = _RESPONSE | _RECURSION_AVAILABLE | truncated | (query.flags & _RECURSION_DESIRED) | code
    head = _HEADER.pack(query.id, flags, 1, len(body), 0, 1 if options else 0)
    return head + query.question + b"".join(body) + options


def address_record(address: str) -> tuple[int, bytes]:
    """Type and data of the record for an address."""
    if ":" in address:
        return AAAA, socket.inet_pton(socket.AF_INET6, address)
    return A, socket.inet_pton(socket.AF_INET, address)


def name_record(name: str) -> tuple[int, bytes]:
    """Type and data of a pointer to a name; labels that are too long are cut."""
    labels = [label.encode("latin-1", "replace")[:63] for label in name.split(".") if label]
    return PTR, b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def pointed_address(name: str) -> str:
    """The address that `4.3.2.1.in-addr.arpa` or a name in ip6.arpa asks about, or empty."""
    try:
        if name.endswith(".in-addr.arpa"):
            parts = name.removesuffix(".in-addr.arpa").split(".")
            return str(ipaddress.IPv4Address(".".join(reversed(parts))))
        if name.endswith(".ip6.arpa"):
            digits = "".join(reversed(name.removesuffix(".ip6.arpa").split(".")))
            return str(ipaddress.IPv6Address(bytes.fromhex(digits))) if len(digits) == 32 else ""
    except ValueError:
        pass
    return ""


def with_id(message: bytes, number: int) -> bytes:
    """The same message under another id."""
    return struct.pack("!H", number) + message[2:]


def answers(message: bytes, number: int, question: bytes) -> int | None:
    """The reply code of an upstream's *message*, None when it does not answer this id and question."""
    if len(message) < 12 + len(question):
        return None
    got, flags = struct.unpack_from("!HH", message)
    if got != number or not flags & _RESPONSE:
        return None
    # Servers may change the case of the name's letters; the rest has to be the same bytes.
    if message[12 : 12 + len(question)].lower() != question.lower():
        return None
    return int(flags & 0xF)
