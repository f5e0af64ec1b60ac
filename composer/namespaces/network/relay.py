"""Published ports in user space, for what the kernel cannot translate.

That is a connection to ::1, one over IPv6 to a container that has IPv4 only, and everything when somebody
removed the translation. The sockets are those that hold the published ports; the shim keeps them, so a new
agent goes on where the old one ended. The container sees the host's address on its network.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import TYPE_CHECKING, Any, Self

import anyio
from anyio.lowlevel import checkpoint

from composer.engine import PublishedPort
from composer.namespaces.network import sockets
from composer.namespaces.network.setups import published_through
from composer.values import from_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from types import TracebackType

    from composer.namespaces.network.setups import EndpointSetup

_CHUNK = 1 << 16
_CONNECT_SECONDS = 10.0
_UDP_IDLE_SECONDS = 60.0
_CONNECTIONS = 1024
_BURST = 64


class Relay:
    """Carries connections from published ports into containers while the context is open."""

    def __init__(self) -> None:
        self._serving: dict[str, tuple[anyio.CancelScope, list[socket.socket]]] = {}
        self._group = anyio.create_task_group()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(kind, error, traceback)

    def add(
        self,
        container: str,
        held: Sequence[dict[str, Any]],
        fds: Sequence[int],
        setups: Sequence[EndpointSetup],
    ) -> None:
        """Serve a container's published ports; replaces an earlier registration.

        Args:
            container: Container id.
            held: `BoundPorts.to_dict()`.
            fds: The descriptors that belong to it; they are duplicated.
            setups: The container's endpoints.
        """
        self.remove(container)
        ipv4, ipv6 = published_through(setups)
        ports = []
        for entry, fd in zip(held, fds, strict=True):
            port = from_json(PublishedPort, entry)
            address = (ipv6 or ipv4) if ":" in port.host_ip else (ipv4 or ipv6)
            if address and port.protocol in ("tcp", "udp"):
                ports.append((sockets.adopt(os.dup(fd)), port.protocol, (address, port.container_port)))
        if ports:
            scope = anyio.CancelScope()
            self._serving[container] = (scope, [sock for sock, _, _ in ports])
            self._group.start_soon(self._serve, scope, ports)

    def remove(self, container: str) -> None:
        """Serve a container no more, and end its connections; its ports can be bound again at once."""
        scope, listeners = self._serving.pop(container, (None, []))
        for sock in listeners:
            anyio.notify_closing(sock)
            sock.close()
        if scope is not None:
            scope.cancel()

    async def _serve(
        self, scope: anyio.CancelScope, ports: list[tuple[socket.socket, str, tuple[str, int]]]
    ) -> None:
        with contextlib.ExitStack() as stack:
            for sock, _, _ in ports:
                stack.enter_context(sock)
            with scope:
                async with anyio.create_task_group() as group:
                    for sock, protocol, target in ports:
                        serve = _serve_tcp if protocol == "tcp" else _serve_udp
                        group.start_soon(_until_closed, serve, sock, target)


async def _until_closed(
    serve: Callable[[socket.socket, tuple[str, int]], Awaitable[None]],
    sock: socket.socket,
    target: tuple[str, int],
) -> None:
    try:
        await serve(sock, target)
    except* (OSError, anyio.ClosedResourceError):
        if sock.fileno() >= 0:
            raise


async def _serve_tcp(listener: socket.socket, target: tuple[str, int]) -> None:
    limit = anyio.Semaphore(_CONNECTIONS)
    async with anyio.create_task_group() as group:
        while True:
            await limit.acquire()
            sock, _ = await sockets.accept(listener)
            group.start_soon(_carry, sock, target, limit)


async def _carry(client: socket.socket, target: tuple[str, int], limit: anyio.Semaphore) -> None:
    """Both directions of one connection, until both have ended or one fails."""
    try:
        with client, contextlib.suppress(OSError), _socket(target, socket.SOCK_STREAM) as server:
            connected = False
            with anyio.move_on_after(_CONNECT_SECONDS):
                await sockets.connect(server, target)
                connected = True
            if connected:
                async with anyio.create_task_group() as group:
                    group.start_soon(_pump, client, server, group.cancel_scope)
                    await _pump(server, client, group.cancel_scope)
    finally:
        limit.release()


async def _pump(source: socket.socket, sink: socket.socket, scope: anyio.CancelScope) -> None:
    try:
        while data := await sockets.receive(source, _CHUNK):
            await sockets.send_all(sink, data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        scope.cancel()


async def _serve_udp(sock: socket.socket, target: tuple[str, int]) -> None:
    """One socket towards the container per client, for as long as they talk."""
    flows: dict[Any, socket.socket] = {}
    async with anyio.create_task_group() as group:
        while True:
            await anyio.wait_readable(sock)
            for _ in range(_BURST):
                try:
                    data, client = sock.recvfrom(_CHUNK)
                except BlockingIOError:
                    break
                except OSError:
                    continue  # an ICMP error about an earlier answer
                flow = flows.get(client)
                if flow is None:
                    if len(flows) >= _CONNECTIONS:
                        continue
                    flow = flows[client] = _socket(target, socket.SOCK_DGRAM)
                    flow.connect(target)
                    group.start_soon(_answer_udp, sock, flow, flows, client)
                with contextlib.suppress(OSError):
                    flow.send(data)
            await checkpoint()


async def _answer_udp(
    sock: socket.socket, flow: socket.socket, flows: dict[Any, socket.socket], client: Any
) -> None:
    try:
        with flow:
            while True:
                data = None
                with anyio.move_on_after(_UDP_IDLE_SECONDS), contextlib.suppress(ConnectionRefusedError):
                    data = await sockets.receive(flow, _CHUNK)
                if data is None:
                    return
                with contextlib.suppress(OSError):
                    sock.sendto(data, client)
    finally:
        del flows[client]


def _socket(target: tuple[str, int], kind: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in target[0] else socket.AF_INET
    return socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
