"""Names inside containers: real queries from inside network namespaces to 127.0.0.11."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.to_thread
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.reversename
import dns.rrset
import pytest

from composer.engine import Attachment, ContainerState
from composer.namespaces.network import endpoint
from composer.namespaces.network.resolver import Resolver

pytestmark = pytest.mark.root


@asynccontextmanager
async def resolving(machine, *containers, forward=True, upstreams=(), links=None, status="running"):
    async with Resolver() as resolver:
        for container in containers:
            with container.inside():
                udp, tcp = endpoint.dns_sockets()
            resolver.add(
                container.config.id,
                udp.detach(),
                tcp.detach(),
                networks=[setup.network for setup in container.setups],
                forward=forward,
                upstreams=upstreams,
                links=links,
            )
        resolver.set_zones(machine.manager.names([state(item, status) for item in containers]))
        yield resolver


def state(container, status="running"):
    return ContainerState(
        id=container.config.id,
        name=container.config.name,
        status=status,
        config=container.config,
        endpoints=tuple(setup.endpoint() for setup in container.setups),
    )


def _ask(container, name, kind, *, tcp, port, payload, timeout):
    query = dns.message.make_query(name, kind, use_edns=0 if payload else -1, payload=payload or 0)
    with container.inside():
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    with sock:
        if tcp:
            sock.connect(("127.0.0.11", port))
            return dns.query.tcp(query, "127.0.0.11", timeout=timeout, sock=sock)
        sock.connect(("127.0.0.11", port))
        sock.settimeout(timeout)
        sock.send(query.to_wire())
        answer = dns.message.from_wire(sock.recv(65535))
        assert query.is_response(answer)
        return answer


async def ask(container, name, kind="A", *, tcp=False, port=53, payload=0, seconds=3.0):
    return await anyio.to_thread.run_sync(
        lambda: _ask(container, name, kind, tcp=tcp, port=port, payload=payload, timeout=seconds)
    )


def texts(answer):
    return sorted(item.to_text() for rrset in answer.answer for item in rrset)


def test_all_names_of_a_container_by_udp_and_tcp(machine):
    async def run():
        network = machine.network("back")
        web = machine.container(Attachment(network=network.id, aliases=("web", "www")), name="shop-web-1")
        other = machine.container(network)
        async with resolving(machine, web, other):
            names = ["web", "WWW", "shop-web-1", web.config.id[:12], "web.back", "web."]
            for name in names:
                assert texts(await ask(other, name)) == [web.address], name
            assert texts(await ask(other, "web", tcp=True)) == [web.address]
            assert texts(await ask(web, "web")) == [web.address]

    anyio.run(run)


def test_all_replicas_answer_and_a_stopped_one_is_gone_at_once(machine):
    async def run():
        network = machine.network()
        attachment = Attachment(network=network.id, aliases=("web",))
        first, second = machine.container(attachment), machine.container(attachment)
        async with resolving(machine, first, second) as resolver:
            assert texts(await ask(first, "web")) == sorted([first.address, second.address])
            orders = {(await ask(first, "web")).answer[0][0].to_text() for _ in range(40)}
            assert len(orders) == 2
            resolver.set_zones(machine.manager.names([state(first), state(second, "exited")]))
            assert texts(await ask(first, "web")) == [first.address]
            resolver.set_zones(machine.manager.names([state(first, "exited"), state(second, "exited")]))
            assert (await ask(first, "web")).rcode() == dns.rcode.NXDOMAIN

    anyio.run(run)


def test_families_pointers_and_other_types(machine):
    async def run():
        network = machine.network("six", enable_ipv6=True)
        plain = machine.network("four")
        web = machine.container(Attachment(network=network.id, aliases=("web",)), name="web-1")
        other = machine.container(network, Attachment(network=plain.id, aliases=("me",)))
        async with resolving(machine, web, other):
            assert texts(await ask(other, "web", "AAAA")) == [web.setups[0].ipv6_address]
            empty = await ask(other, "me", "AAAA")
            assert (empty.rcode(), empty.answer) == (dns.rcode.NOERROR, [])
            mail = await ask(other, "web", "MX")
            assert (mail.rcode(), mail.answer) == (dns.rcode.NOERROR, [])
            for address in (web.address, web.setups[0].ipv6_address):
                name = dns.reversename.from_address(address)
                assert texts(await ask(other, name, "PTR")) == ["web-1.six."]

    anyio.run(run)


def test_only_names_of_own_networks_and_links_for_one_container(machine):
    async def run():
        front, back = machine.network("front"), machine.network("back")
        web = machine.container(Attachment(network=front.id, aliases=("web",)), name="shop-web-1")
        db = machine.container(Attachment(network=back.id, aliases=("db",)))
        async with resolving(machine, web, db, forward=False) as resolver:
            assert (await ask(web, "db")).rcode() == dns.rcode.SERVFAIL
            with web.inside():
                udp, tcp = endpoint._bind(0)
            port = udp.getsockname()[1]
            resolver.add(
                "linked", udp.detach(), tcp.detach(), networks=[front.id], links={"site": "shop-web-1"}
            )
            assert texts(await ask(web, "SITE", port=port)) == [web.address]

    anyio.run(run)


class Upstream:
    """A name server of the outside world, in the remote host's namespace."""

    def __init__(self, namespace, address, rcode=dns.rcode.NOERROR, *, spoof=False):
        self.seen = []
        self._rcode, self._spoof = rcode, spoof
        with namespace.inside():
            self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.udp.bind((address, 53))
            self.tcp = socket.create_server((address, 53))
        self.threads = [threading.Thread(target=self._datagrams), threading.Thread(target=self._streams)]
        for thread in self.threads:
            thread.daemon = True
            thread.start()

    def _reply(self, wire, source):
        query = dns.message.from_wire(wire)
        self.seen.append((query.question[0].name.to_text(), source))
        answer = dns.message.make_response(query)
        answer.set_rcode(self._rcode)
        if self._rcode == dns.rcode.NOERROR:
            answer.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "203.0.113.5"))
        return answer

    def _datagrams(self):
        while True:
            try:
                wire, source = self.udp.recvfrom(65535)
            except OSError:
                return
            if not wire:
                return
            answer = self._reply(wire, source[0])
            if self._spoof:
                wrong = dns.message.from_wire(answer.to_wire())
                wrong.id ^= 1
                self.udp.sendto(wrong.to_wire(), source)
                other = dns.message.make_response(dns.message.make_query("evil.example", "A"))
                other.id = answer.id
                self.udp.sendto(other.to_wire(), source)
            self.udp.sendto(answer.to_wire(), source)

    def _streams(self):
        while True:
            try:
                sock, source = self.tcp.accept()
            except OSError:
                return
            with sock:
                size = struct.unpack("!H", sock.recv(2))[0]
                wire = self._reply(sock.recv(size), source[0]).to_wire()
                sock.sendall(struct.pack("!H", len(wire)) + wire)

    def close(self):
        for sock in (self.udp, self.tcp):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()


@pytest.fixture
def upstream(machine):
    servers = []

    def start(address="192.0.2.9", **options):
        if address != "192.0.2.9":
            machine.remote.run("ip", "addr", "add", f"{address}/24", "dev", "eth0")
        servers.append(Upstream(machine.remote, address, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_unknown_names_go_upstream_from_the_containers_namespace(machine, upstream):
    server = upstream(spoof=True)

    async def run():
        container = machine.container(machine.network(options={_MASQUERADE: "false"}))
        async with resolving(machine, container, upstreams=("192.0.2.9",)):
            for tcp in (False, True):
                answer = await ask(container, "www.example.org", tcp=tcp)
                assert texts(answer) == ["203.0.113.5"]
            assert server.seen == [("www.example.org.", container.address)] * 2

    anyio.run(run)


def test_next_server_is_asked_when_one_fails(machine, upstream):
    bad, good = upstream("192.0.2.10", rcode=dns.rcode.REFUSED), upstream("192.0.2.11")

    async def run():
        container = machine.container(machine.network())
        async with resolving(machine, container, upstreams=("192.0.2.10", "192.0.2.11")):
            assert texts(await ask(container, "example.org")) == ["203.0.113.5"]
            assert (len(bad.seen), len(good.seen)) == (1, 1)

    anyio.run(run)


def test_internal_network_never_asks_upstream(machine, upstream):
    server = upstream()

    async def run():
        container = machine.container(machine.network(internal=True))
        async with resolving(machine, container, forward=False, upstreams=("192.0.2.9",)):
            assert (await ask(container, "secret.example.org")).rcode() == dns.rcode.SERVFAIL
        assert server.seen == []

    anyio.run(run)


def test_long_answers_are_cut_and_whole_over_tcp_or_edns(machine):
    async def run():
        network = machine.network()
        container = machine.container(network)
        async with resolving(machine, container) as resolver:
            zone = machine.manager.names([state(container)])[network.id]
            many = tuple(f"10.0.{i // 250}.{i % 250 + 1}" for i in range(60))
            resolver.set_zones({network.id: type(zone)(zone.network_name, {"web": many}, {})})
            cut = await ask(container, "web")
            assert cut.flags & dns.flags.TC
            assert 0 < len(texts(cut)) < 60
            assert len(texts(await ask(container, "web", tcp=True))) == 60
            large = await ask(container, "web", payload=4096)
            assert len(texts(large)) == 60
            assert large.edns == 0

    anyio.run(run)


def test_port_53_stays_free_for_the_container(machine):
    async def run():
        container = machine.container(machine.network())
        async with resolving(machine, container):
            with container.inside():
                own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                own.bind(("0.0.0.0", 53))
                server = socket.create_server(("0.0.0.0", 53))
            assert texts(await ask(container, container.config.name)) == [container.address]
            own.close()
            server.close()

    anyio.run(run)


def test_slow_tcp_clients_and_bursts_do_not_stop_others(machine):
    async def run():
        network = machine.network()
        container = machine.container(network)
        idle = []

        def open_idle_connections():
            with container.inside():
                for _ in range(100):
                    sock = socket.create_connection(("127.0.0.11", 53))
                    sock.send(b"\x00")
                    idle.append(sock)

        async with resolving(machine, container, upstreams=("192.0.2.77",)):
            await anyio.to_thread.run_sync(open_idle_connections)
            with container.inside():
                flood = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                flood.connect(("127.0.0.11", 53))
            query = dns.message.make_query("not.known.example", "A").to_wire()
            for _ in range(10):
                for _ in range(100):
                    flood.send(query)
                await anyio.sleep(0.02)
            assert texts(await ask(container, container.config.name)) == [container.address]
            flood.setblocking(False)
            refused = dns.message.from_wire(flood.recv(512))
            assert refused.rcode() == dns.rcode.REFUSED
            flood.close()
        for sock in idle:
            sock.close()

    anyio.run(run)


def test_removed_container_is_served_no_more_and_leaves_no_descriptor(machine):
    async def run():
        import os

        container = machine.container(machine.network())
        before = len(os.listdir("/proc/self/fd"))
        async with resolving(machine, container) as resolver:
            assert texts(await ask(container, container.config.name)) == [container.address]
            resolver.remove(container.config.id)
            await anyio.sleep(0.01)
            with pytest.raises((TimeoutError, ConnectionRefusedError)):
                await ask(container, container.config.name, seconds=0.3)
        assert len(os.listdir("/proc/self/fd")) <= before + 4  # the event loop's own

    anyio.run(run)


_MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
