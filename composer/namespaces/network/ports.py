"""Published ports on the host's side: real sockets that take the port, and who holds it when that fails.

Translation happens before a packet reaches these sockets. They are there so that nobody else takes the port,
and for what cannot be translated: connections to ::1, and IPv6 to a container without it; `relay` serves
those.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from typing import TYPE_CHECKING, Any

from composer.engine import PublishedPort
from composer.errors import ConflictError, EngineError, UnsupportedError
from composer.values import to_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from composer.engine import PortMapping

ANY4, ANY6 = "0.0.0.0", "::"  # noqa: S104 - what publishing without an address means
_ATTEMPTS = 64
_HELD = 4000
"""Sockets of one container that are held; more would eat the descriptors of its shim."""
NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_KINDS = {
    "tcp": (socket.SOCK_STREAM, 0),
    "udp": (socket.SOCK_DGRAM, 0),
    "sctp": (socket.SOCK_STREAM, getattr(socket, "IPPROTO_SCTP", 132)),
}


class BoundPorts:
    """The published ports of one container, bound.

    Attributes:
        ports: One entry for each address; a mapping without an address is `0.0.0.0` and, where the machine
            has IPv6, `::`.
    """

    def __init__(self) -> None:
        self._held: list[tuple[PublishedPort, socket.socket | None]] = []

    @property
    def ports(self) -> tuple[PublishedPort, ...]:
        """What is published, with real port numbers."""
        return tuple(port for port, _ in self._held)

    def fds(self) -> list[int]:
        """Descriptors of the sockets, in the order of `to_dict`."""
        return [sock.fileno() for _, sock in self._held if sock is not None]

    def to_dict(self) -> list[dict[str, Any]]:
        """A `PublishedPort` as JSON for each descriptor."""
        return [to_json(port) for port, sock in self._held if sock is not None]

    def hold(self, port: PublishedPort, sock: socket.socket | None) -> None:
        """Take a socket over; None when the kernel has no sockets of this protocol.

        Of a very large range only the first sockets are kept.
        """
        if sock is not None and len(self._held) >= _HELD:
            sock.close()
            sock = None
        self._held.append((port, sock))

    def close(self) -> None:
        """Close this process's descriptors; a shim that got copies keeps the ports."""
        for _, sock in self._held:
            if sock is not None:
                sock.close()
        self._held = [(port, None) for port, _ in self._held]


def bind(
    mappings: Iterable[PortMapping], default_address: str, holder: Callable[[str, int], str]
) -> BoundPorts:
    """Bind every mapping; nothing stays bound when one of them fails.

    Args:
        mappings: What a container publishes.
        default_address: For mappings without an address; empty means all, IPv4 and IPv6.
        holder: Called with protocol and number of a port in use; says who has it, or returns "".

    Raises:
        ConflictError: A port is in use; the message names the holder when it can be known.
        EngineError: The address is not one of this machine, or binding is refused.
    """
    bound = BoundPorts()
    try:
        for mapping in mappings:
            _bind_one(bound, mapping, mapping.host_ip or default_address, holder)
    except BaseException:
        bound.close()
        raise
    return bound


def addresses_of(host_ip: str) -> tuple[str, ...]:
    """The addresses that are bound for a mapping's `host_ip`."""
    if not host_ip:
        return (ANY4, ANY6)
    return (str(ipaddress.ip_address(host_ip)),)


def _bind_one(
    bound: BoundPorts, mapping: PortMapping, host_ip: str, holder: Callable[[str, int], str]
) -> None:
    if mapping.protocol not in _KINDS:
        raise EngineError(f"'{mapping.protocol}' is not a protocol for ports", path=mapping.path)
    last = mapping.host_port_end or mapping.host_port
    candidates: Iterable[int] = range(mapping.host_port, last + 1) if mapping.host_port else [0] * _ATTEMPTS
    busy = ""
    for candidate in candidates:
        sockets: list[tuple[PublishedPort, socket.socket | None]] = []
        port = candidate
        try:
            for address in addresses_of(host_ip):
                sock = open_socket(mapping.protocol, address, port)
                if sock is not None:
                    port = sock.getsockname()[1]
                sockets.append((PublishedPort(mapping.container_port, port, address, mapping.protocol), sock))
        except OSError as error:
            if not host_ip and sockets and error.errno in NO_IPV6:
                for published, opened in sockets:
                    bound.hold(published, opened)
                return
            for _, opened in sockets:
                if opened is not None:
                    opened.close()
            if error.errno != errno.EADDRINUSE:
                raise refused(error, mapping, host_ip, port) from error
            busy = addresses_of(host_ip)[len(sockets)]
            continue
        for published, opened in sockets:
            bound.hold(published, opened)
        return
    raise in_use(mapping, busy, holder)


def in_use(mapping: PortMapping, address: str, holder: Callable[[str, int], str]) -> ConflictError:
    """The error for a port somebody else has."""
    shown = f"{f'[{address}]' if ':' in address else address}:{mapping.host_port}/{mapping.protocol}"
    if mapping.host_port_end > mapping.host_port:
        return ConflictError(
            f"no port of {mapping.host_port}-{mapping.host_port_end}/{mapping.protocol} is free on {address}",
            hint="publish another range",
            path=mapping.path,
        )
    if not mapping.host_port:
        return ConflictError(f"no free {mapping.protocol} port is left on {address}", path=mapping.path)
    who = holder(mapping.protocol, mapping.host_port)
    by = f" by {who}" if who else ""
    return ConflictError(
        f"port {shown} is already in use{by}", hint="stop it, or publish another port", path=mapping.path
    )


def open_socket(protocol: str, address: str, port: int, *, listen: bool = True) -> socket.socket | None:
    """A socket that takes the port for itself; None when the kernel has none of that kind (SCTP).

    Raises:
        OSError: See bind(2).
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind, number = _KINDS[protocol]
    try:
        sock = socket.socket(family, kind | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, number)
    except OSError as error:
        if error.errno == errno.EPROTONOSUPPORT:
            return None
        raise
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            # Old connections in TIME_WAIT must not keep the port; a listening socket is exclusive anyway.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
        if listen and kind == socket.SOCK_STREAM:
            sock.listen(128)
    except OSError:
        sock.close()
        raise
    return sock


def refused(error: OSError, mapping: PortMapping, host_ip: str, port: int) -> EngineError:
    """The error for a bind(2) that failed for another reason than a port in use."""
    if error.errno == errno.EADDRNOTAVAIL:
        return EngineError(
            f"cannot publish on {host_ip}: this machine does not have that address",
            errno=error.errno,
            path=mapping.path,
        )
    if error.errno == errno.EACCES:
        return UnsupportedError(
            f"cannot publish port {port}: permission denied",
            errno=error.errno,
            hint="run composer as root, or publish a port above 1023",
            path=mapping.path,
        )
    return EngineError(
        f"cannot publish port {port}/{mapping.protocol}: {error.strerror}",
        errno=error.errno or 0,
        path=mapping.path,
    )


def process_with(protocol: str, port: int) -> str:
    """`nginx (pid 123)` for who has a socket on *port*, or empty. Reads all of /proc: only for errors."""
    inodes = {f"socket:[{inode}]" for inode in _inodes(protocol, port)}
    if not inodes:
        return ""
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            for fd in os.scandir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    if os.readlink(fd.path) in inodes:
                        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
                            return f"{file.read().strip()} (pid {pid})"
    return ""


def _inodes(protocol: str, port: int) -> Iterator[str]:
    for name in (protocol, f"{protocol}6"):
        with contextlib.suppress(OSError), open(f"/proc/net/{name}", encoding="ascii") as file:
            next(file)
            for line in file:
                fields = line.split()
                listening = protocol != "tcp" or fields[3] == "0A"
                if listening and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]
