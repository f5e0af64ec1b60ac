"""The relay: published ports over ::1, IPv6 to IPv4 containers, and after somebody flushed nftables."""

from __future__ import annotations

import os
import socket
import threading

import anyio
import anyio.to_thread
import pytest

from composer.engine import PortMapping
from composer.namespaces.network.relay import Relay
from tests.support.scratch import eventually

pytestmark = pytest.mark.root

PORT = 8080


def relayed(machine, work, protocol="tcp", **options):
    web = machine.container(machine.network(**options), ports=(PortMapping(80, PORT, protocol=protocol),))

    async def run():
        async with Relay() as relay:
            relay.add(web.config.id, web.bound.to_dict(), web.bound.fds(), web.setups)
            await anyio.to_thread.run_sync(lambda: work(web))
            relay.remove(web.config.id)

    before = len(os.listdir("/proc/self/fd"))
    anyio.run(run)
    # The server of this test closes its end in a thread of its own.
    eventually(lambda: len(os.listdir("/proc/self/fd")) <= before + len(web.sockets))


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
@pytest.mark.parametrize("address", ["::1", "2001:db8::1"])
def test_host_reaches_an_ipv4_container_over_ipv6(machine, address, protocol):
    def work(web):
        web.serve(80, protocol)
        assert machine.ask(address, PORT, protocol) == web.setups[0].gateway
        assert machine.ask(address, PORT, protocol) == web.setups[0].gateway

    relayed(machine, work, protocol)


def test_remote_host_reaches_an_ipv4_container_over_ipv6(machine):
    def work(web):
        web.serve(80)
        assert machine.remote.ask("2001:db8::1", PORT) == web.setups[0].gateway

    relayed(machine, work)


def test_loopback_of_an_ipv6_network(machine):
    def work(web):
        web.serve(80, address="::")
        assert machine.ask("::1", PORT) == web.setups[0].gateways[1]

    relayed(machine, work, enable_ipv6=True)


def test_everything_when_the_translation_is_gone(machine):
    def work(web):
        web.serve(80)
        machine.run("nft", "flush", "ruleset")
        assert machine.ask("127.0.0.1", PORT) == web.setups[0].gateway
        assert machine.remote.ask("192.0.2.1", PORT) == web.setups[0].gateway

    relayed(machine, work)


def test_large_streams_and_half_closed_connections_arrive_whole(machine):
    data = os.urandom(5_000_000)

    def work(web):
        with web.inside():
            server = socket.create_server(("", 80))
        client = socket.create_connection(("::1", PORT))
        inner, _ = server.accept()
        received = bytearray()

        def send():
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)

        thread = threading.Thread(target=send)
        thread.start()
        while chunk := inner.recv(1 << 16):
            received += chunk
        inner.sendall(b"got it")
        inner.close()
        assert client.recv(100) == b"got it"
        assert client.recv(100) == b""
        thread.join()
        assert bytes(received) == data
        client.close()
        server.close()

    relayed(machine, work)


def test_a_container_that_refuses_closes_the_connection(machine):
    relayed(machine, lambda web: _assert_closed(machine.ask("::1", PORT)))


def _assert_closed(answer):
    assert answer == "closed" or "reset" in answer


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_port_that_is_served_no_more_can_be_bound_at_once(machine, protocol):
    network = machine.network()
    web, other = (
        machine.container(network, ports=(PortMapping(80, port, protocol=protocol),))
        for port in (PORT, PORT + 1)
    )
    other.serve(80, protocol)

    async def run():
        async with Relay() as relay:
            for container in (web, other):
                relay.add(
                    container.config.id,
                    container.bound.to_dict(),
                    container.bound.fds(),
                    container.setups,
                )
            await anyio.sleep(0.05)
            web.bound.close()
            relay.remove(web.config.id)
            machine.manager.bind(web.config).close()
            # The others are served on.
            asked = await anyio.to_thread.run_sync(machine.ask, "::1", PORT + 1, protocol)
            assert asked == other.setups[0].gateway

    anyio.run(run)
