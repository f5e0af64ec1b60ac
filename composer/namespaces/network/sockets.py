"""Non-blocking sockets under anyio, and sockets in other network namespaces."""

from __future__ import annotations

import fcntl
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio

from composer.namespaces.kernel import constants, syscalls

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIOCGSKNS = 0x894C


def adopt(fd: int) -> socket.socket:
    """A socket object for a descriptor, which it owns from now on."""
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    return sock


def namespace_of(sock: socket.socket) -> int:
    """A descriptor of the network namespace that a socket belongs to; see SIOCGSKNS in socket(7)."""
    return fcntl.ioctl(sock, _SIOCGSKNS)


@contextmanager
def inside(namespace: int) -> Iterator[None]:
    """Be in another network namespace for as long as it takes to make a socket; never await inside.

    Only the calling thread moves.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(namespace, constants.CLONE_NEWNET)
        try:
            yield
        finally:
            syscalls.setns(home, constants.CLONE_NEWNET)
    finally:
        os.close(home)


async def accept(listener: socket.socket) -> tuple[socket.socket, tuple[str, int]]:
    """Wait for a connection."""
    while True:
        await anyio.wait_readable(listener)
        try:
            sock, address = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            continue
        sock.setblocking(False)
        return sock, address[:2]


async def connect(sock: socket.socket, address: tuple[str, int]) -> None:
    """Connect a non-blocking TCP socket.

    Raises:
        OSError: The other side refused, or cannot be reached.
    """
    try:
        sock.connect(address)
    except BlockingIOError:
        await anyio.wait_writable(sock)
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code)) from None


async def receive(sock: socket.socket, size: int) -> bytes:
    """Up to *size* bytes; none at the end of the stream."""
    while True:
        try:
            return sock.recv(size)
        except BlockingIOError:
            await anyio.wait_readable(sock)


async def receive_exactly(sock: socket.socket, size: int) -> bytes:
    """*size* bytes, or none when the stream ends before."""
    data = b""
    while len(data) < size:
        chunk = await receive(sock, size - len(data))
        if not chunk:
            return b""
        data += chunk
    return data


async def send_all(sock: socket.socket, data: bytes) -> None:
    """Send all of *data*."""
    view = memoryview(data)
    while view:
        try:
            view = view[sock.send(view) :]
        except BlockingIOError:
            await anyio.wait_writable(sock)
