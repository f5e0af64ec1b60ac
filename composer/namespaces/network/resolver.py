"""The name server of containers: one per agent, one pair of sockets per container.

The sockets were made inside each container's network namespace, so the socket tells who asks. Names of the
container's networks are answered from `Zone` values; everything else is asked of upstream servers, from
inside the container's namespace (its routes and firewall apply), or from the host's when the host's own
server listens on a loopback address. A container on internal networks only gets no answer from outside.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import socket
import struct
from typing import TYPE_CHECKING, Self

import anyio
from anyio.lowlevel import checkpoint

from composer.namespaces.network import dns, sockets
from composer.namespaces.network.files import HostServers, is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType

    from anyio.abc import TaskGroup

    from composer.namespaces.network.zones import Zone

_UPSTREAM_SECONDS = 4.0
_IDLE_SECONDS = 10.0
_SERVERS = 3
_QUERIES_EACH = 256
_CONNECTIONS_EACH = 32
_BURST = 64


class _Client:
    """One container: its sockets, its networks and what it is waiting for."""

    def __init__(
        self,
        udp: socket.socket,
        tcp: socket.socket,
        networks: Sequence[str],
        upstreams: Sequence[str],
        links: Mapping[str, str],
        *,
        forward: bool,
    ) -> None:
        self.udp = udp
        self.tcp = tcp
        self.namespace = sockets.namespace_of(udp)
        self.networks = tuple(networks)
        self.upstreams = tuple(upstreams)
        self.links = {alias.lower(): name.lower() for alias, name in links.items()}
        self.forward = forward
        self.scope = anyio.CancelScope()
        self.queries = 0
        self.connections = 0

    def close(self) -> None:
        self.udp.close()
        self.tcp.close()
        if self.namespace >= 0:
            os.close(self.namespace)
            self.namespace = -1


class Resolver:
    """Answers DNS queries of containers while the context is open."""

    def __init__(self) -> None:
        self._clients: dict[str, _Client] = {}
        self._zones: Mapping[str, Zone] = {}
        self._host_servers = HostServers()
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
        try:
            await self._group.__aexit__(kind, error, traceback)
        finally:
            for client in self._clients.values():
                client.close()
            self._clients.clear()

    def set_zones(self, zones: Mapping[str, Zone]) -> None:
        """The names of all networks from now on; replaces what was known."""
        self._zones = zones

    def add(
        self,
        container: str,
        udp: int,
        tcp: int,
        *,
        networks: Sequence[str],
        upstreams: Sequence[str] = (),
        links: Mapping[str, str] | None = None,
        forward: bool = True,
    ) -> None:
        """Serve a container; it replaces an earlier registration under the same id.

        Args:
            container: Container id.
            udp: Descriptor of its UDP socket; owned by the resolver from now on.
            tcp: Descriptor of its listening TCP socket; likewise.
            networks: Network ids, in the order in which names are looked up.
            upstreams: Its own name servers (`dns`); empty means the host's, as they are at the time.
            links: `name -> container name`, for this container only.
            forward: Ask others about unknown names; false when all its networks are internal.
        """
        self.remove(container)
        client = _Client(
            sockets.adopt(udp), sockets.adopt(tcp), networks, upstreams, links or {}, forward=forward
        )
        self._clients[container] = client
        self._group.start_soon(self._serve, client)

    def remove(self, container: str) -> None:
        """Serve a container no more."""
        client = self._clients.pop(container, None)
        if client is not None:
            client.scope.cancel()

    async def _serve(self, client: _Client) -> None:
        try:
            with client.scope:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._serve_tcp, client)
                    await self._serve_udp(client, group)
        finally:
            # After this task nobody waits for the descriptors any more, so their numbers may be used again.
            client.close()

    async def _serve_udp(self, client: _Client, group: TaskGroup) -> None:
        while True:
            await anyio.wait_readable(client.udp)
            for _ in range(_BURST):
                try:
                    data, address = client.udp.recvfrom(dns.LARGEST_SIZE)
                except BlockingIOError:
                    break
                except OSError:
                    continue  # an ICMP error about an earlier answer
                reply, query = self._answer(client, data, tcp=False)
                if query is None:
                    _send(client.udp, reply, address)
                elif client.queries >= _QUERIES_EACH:
                    _send(client.udp, dns.answer(query, (), dns.REFUSED), address)
                else:
                    client.queries += 1
                    group.start_soon(self._forward_udp, client, data, query, address)
            await checkpoint()

    async def _forward_udp(
        self, client: _Client, data: bytes, query: dns.Query, address: tuple[str, int]
    ) -> None:
        try:
            _send(client.udp, await self._forward(client, data, query, _ask_udp), address)
        finally:
            client.queries -= 1

    async def _serve_tcp(self, client: _Client) -> None:
        async with anyio.create_task_group() as group:
            while True:
                sock, _ = await sockets.accept(client.tcp)
                if client.connections >= _CONNECTIONS_EACH:
                    sock.close()
                    continue
                client.connections += 1
                group.start_soon(self._converse, client, sock)

    async def _converse(self, client: _Client, sock: socket.socket) -> None:
        """Queries one after the other on a connection, until it rests too long."""
        try:
            with sock, contextlib.suppress(OSError):
                while True:
                    data = b""
                    with anyio.move_on_after(_IDLE_SECONDS):
                        data = await _receive_framed(sock)
                    if not data:
                        return
                    reply, query = self._answer(client, data, tcp=True)
                    if query is not None:
                        reply = await self._forward(client, data, query, _ask_tcp)
                    if not reply:
                        return
                    with anyio.fail_after(_IDLE_SECONDS):
                        await sockets.send_all(sock, struct.pack("!H", len(reply)) + reply)
        except TimeoutError:
            return
        finally:
            client.connections -= 1

    def _answer(self, client: _Client, data: bytes, *, tcp: bool) -> tuple[bytes, dns.Query | None]:
        """A reply, or the query when somebody else has to be asked."""
        try:
            query = dns.parse_query(data)
        except dns.MalformedError as error:
            return error.reply, None
        found = self._lookup(client, query)
        if found is None:
            if client.forward:
                return b"", query
            return dns.answer(query, (), dns.SERVFAIL, tcp=tcp), None
        code, records = found
        return dns.answer(query, records, code, tcp=tcp), None

    def _lookup(self, client: _Client, query: dns.Query) -> tuple[int, list[tuple[int, bytes]]] | None:
        """Reply code and records for a name of the container's networks; None for a name of others."""
        if query.kind == dns.PTR and (address := dns.pointed_address(query.name)):
            for network in client.networks:
                zone = self._zones.get(network)
                if zone is not None and address in zone.pointers:
                    name = f"{zone.pointers[address]}.{zone.network_name}"
                    return dns.NOERROR, [dns.name_record(name)]
            return None
        known = False
        for network in client.networks:
            addresses = self._addresses(client, self._zones.get(network), query.name)
            if addresses is None:
                continue
            if not addresses:
                known = True
                continue
            records = [dns.address_record(address) for address in addresses]
            records = [record for record in records if query.kind in (record[0], dns.ANY)]
            random.shuffle(records)
            return dns.NOERROR, records
        return (dns.NXDOMAIN, []) if known else None

    def _addresses(self, client: _Client, zone: Zone | None, name: str) -> tuple[str, ...] | None:
        if zone is None:
            return None
        for candidate in (name, name.removesuffix(f".{zone.network_name.lower()}")):
            target = client.links.get(candidate, candidate)
            if target in zone.names:
                return zone.names[target]
        return None

    async def _forward(
        self,
        client: _Client,
        data: bytes,
        query: dns.Query,
        ask: Callable[[socket.socket, str, bytes, int, bytes], Awaitable[bytes]],
    ) -> bytes:
        """What the first useful upstream server says, else SERVFAIL."""
        answer = b""
        for server in (client.upstreams or self._host_servers())[:_SERVERS]:
            from_host = not client.upstreams and is_loopback(server)
            number = secrets.randbits(16)
            with (
                contextlib.suppress(OSError),
                self._socket(client, server, ask is _ask_tcp, from_host) as sock,
            ):
                with anyio.move_on_after(_UPSTREAM_SECONDS):
                    answer = await ask(sock, server, dns.with_id(data, number), number, query.question)
                if answer and answer[3] & 0xF not in (dns.SERVFAIL, dns.REFUSED):
                    break
        if not answer:
            return dns.answer(query, (), dns.SERVFAIL)
        return dns.with_id(answer, query.id)

    def _socket(self, client: _Client, server: str, stream: bool, from_host: bool) -> socket.socket:  # noqa: FBT001
        family = socket.AF_INET6 if ":" in server else socket.AF_INET
        kind = (socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) | socket.SOCK_NONBLOCK
        if from_host:
            return socket.socket(family, kind | socket.SOCK_CLOEXEC)
        with sockets.inside(client.namespace):
            return socket.socket(family, kind | socket.SOCK_CLOEXEC)


def _send(sock: socket.socket, reply: bytes, address: tuple[str, int]) -> None:
    """Send, and leave it when the client is gone or slow: DNS over UDP may lose messages."""
    if reply:
        with contextlib.suppress(OSError):
            sock.sendto(reply, address)


async def _ask_udp(sock: socket.socket, server: str, data: bytes, number: int, question: bytes) -> bytes:
    sock.connect((server, 53))  # answers from elsewhere never arrive
    sock.send(data)
    while True:
        message = await sockets.receive(sock, 65535)
        if dns.answers(message, number, question) is not None:
            return message


async def _ask_tcp(sock: socket.socket, server: str, data: bytes, number: int, question: bytes) -> bytes:
    await sockets.connect(sock, (server, 53))
    await sockets.send_all(sock, struct.pack("!H", len(data)) + data)
    message = await _receive_framed(sock)
    return message if dns.answers(message, number, question) is not None else b""


async def _receive_framed(sock: socket.socket) -> bytes:
    head = await sockets.receive_exactly(sock, 2)
    return await sockets.receive_exactly(sock, int.from_bytes(head, "big")) if head else b""
