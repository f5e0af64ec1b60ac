"""Which packets reach which container: the table of paths in the design, row by row, with real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from composer.engine import Attachment, IpamPool, PortMapping

if TYPE_CHECKING:
    from .conftest import Machine

pytestmark = pytest.mark.root

PORT = 8080


def published(machine: Machine, protocol: str = "tcp", host_ip: str = ""):
    network = machine.network()
    web = machine.container(
        network, ports=(PortMapping(80, PORT, host_ip=host_ip, protocol=protocol),), name="web"
    )
    web.serve(80, protocol)
    return network, web


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_remote_host_reaches_published_port_and_is_seen(machine, protocol):
    published(machine, protocol)
    assert machine.remote.ask("192.0.2.1", PORT, protocol) == "192.0.2.9"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_host_reaches_published_port_by_its_own_address(machine, protocol):
    published(machine, protocol)
    assert machine.ask("192.0.2.1", PORT, protocol) == "192.0.2.1"


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_host_reaches_published_port_by_127_0_0_1_as_the_gateway(machine, protocol):
    network, _ = published(machine, protocol)
    gateway = machine.manager.get(network.id).pools[0].gateway
    assert machine.ask("127.0.0.1", PORT, protocol) == gateway


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_container_reaches_its_own_published_port_by_the_host(machine, protocol):
    network, web = published(machine, protocol)
    gateway = machine.manager.get(network.id).pools[0].gateway
    assert web.ask("192.0.2.1", PORT, protocol) == gateway


def test_neighbour_reaches_published_port_by_the_host(machine):
    network, _ = published(machine)
    other = machine.container(network)
    gateway = machine.manager.get(network.id).pools[0].gateway
    assert other.ask("192.0.2.1", PORT) == gateway
    assert other.ask(gateway, PORT) == gateway


def test_neighbours_reach_each_other_directly(machine):
    network, web = published(machine)
    other = machine.container(network)
    assert other.ask(web.address, 80) == other.address


def test_container_on_another_network_reaches_published_port_by_the_host(machine):
    published(machine)
    other = machine.container(machine.network())
    assert other.ask("192.0.2.1", PORT) != "timeout"


def test_container_on_another_network_does_not_reach_it_directly(machine):
    _, web = published(machine)
    other = machine.container(machine.network())
    assert other.ask(web.address, 80, timeout=0.4) == "timeout"


def test_remote_host_does_not_reach_a_container_by_its_address(machine):
    _, web = published(machine)
    web.serve(81)
    assert machine.remote.ask(web.address, 81, timeout=0.4) == "timeout"
    assert machine.remote.ask(web.address, 80, timeout=0.4) == "timeout"


def test_host_reaches_a_container_by_its_address(machine):
    _, web = published(machine)
    assert machine.ask(web.address, 80) != "timeout"


def test_container_reaches_the_world_with_the_hosts_address(machine):
    machine.remote.serve(7, address="192.0.2.9")
    container = machine.container(machine.network())
    assert container.ask("192.0.2.9", 7) == "192.0.2.1"


def test_masquerade_can_be_switched_off(machine):
    machine.remote.serve(7, address="192.0.2.9")
    options = {"com.docker.network.bridge.enable_ip_masquerade": "false"}
    container = machine.container(machine.network(options=options))
    assert container.ask("192.0.2.9", 7) == container.address


def test_port_on_127_0_0_1_is_for_the_host_alone(machine):
    published(machine, host_ip="127.0.0.1")
    machine.remote.run(
        "ip", "route", "add", "127.0.0.1/32", "via", "192.0.2.1", "src", "192.0.2.9", "table", "main"
    )
    machine.remote.run("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
    assert machine.ask("127.0.0.1", PORT) != "timeout"
    assert machine.ask("192.0.2.1", PORT) == "refused"
    assert machine.remote.ask("192.0.2.1", PORT, timeout=0.4) == "refused"
    machine.remote.run("ip", "route", "del", "local", "127.0.0.0/8", "table", "local")
    machine.remote.run("ip", "route", "del", "local", "127.0.0.1", "table", "local")
    assert machine.remote.ask("127.0.0.1", PORT, timeout=0.4) != "192.0.2.9"


def test_port_on_one_address_is_not_on_the_others(machine):
    published(machine, host_ip="192.0.2.1")
    assert machine.remote.ask("192.0.2.1", PORT) == "192.0.2.9"
    assert machine.ask("127.0.0.1", PORT) == "refused"


def test_containers_cannot_reach_the_hosts_loopback(machine):
    machine.serve(9, address="127.0.0.1")
    network = machine.network()
    container = machine.container(network)
    gateway = machine.manager.get(network.id).pools[0].gateway
    container.run("ip", "route", "del", "local", "127.0.0.0/8", "table", "local")
    container.run("ip", "route", "del", "local", "127.0.0.1", "table", "local")
    container.run("sysctl", "-qw", "net.ipv4.conf.all.route_localnet=1")
    container.run("ip", "route", "add", "127.0.0.1/32", "via", gateway, "src", container.address)
    assert container.ask("127.0.0.1", 9, timeout=0.4) == "timeout"


def test_internal_network_has_no_way_out_and_none_in(machine):
    machine.remote.serve(7, address="192.0.2.9")
    network = machine.network(internal=True)
    first, second = machine.container(network), machine.container(network)
    first.serve(80)
    assert second.ask(first.address, 80) == second.address
    assert "unreachable" in first.ask("192.0.2.9", 7, timeout=0.4)
    gateway = machine.manager.get(network.id).pools[0].gateway
    first.run("ip", "route", "add", "default", "via", gateway)
    assert first.ask("192.0.2.9", 7, timeout=0.4) == "timeout"
    assert machine.remote.ask(first.address, 80, timeout=0.4) == "timeout"


def test_network_without_icc_keeps_its_containers_apart(machine):
    network = machine.network(options={"com.docker.network.bridge.enable_icc": "false"})
    first, second = machine.container(network), machine.container(network)
    first.serve(80)
    assert second.ask(first.address, 80, timeout=0.4) in (
        "timeout",
        "unreachable: [Errno 113] No route to host",
    )


def test_default_route_is_the_highest_gw_priority(machine):
    front, back = machine.network("front"), machine.network("back")
    container = machine.container(
        Attachment(network=back.id, priority=5), Attachment(network=front.id, gw_priority=1)
    )
    gateway = machine.manager.get(front.id).pools[0].gateway
    assert [setup.interface for setup in container.setups] == ["eth0", "eth1"]
    assert container.run("ip", "route", "show", "default").split()[:5] == [
        "default",
        "via",
        gateway,
        "dev",
        "eth1",
    ]


def test_ipv6_network(machine):
    network = machine.network(enable_ipv6=True)
    web = machine.container(network, ports=(PortMapping(80, PORT),))
    web.serve(80, address="::")
    other = machine.container(network)
    mine = web.setups[0].ipv6_address
    assert other.ask(mine, 80) == other.setups[0].ipv6_address
    assert machine.remote.ask("2001:db8::1", PORT) == "2001:db8::9"
    assert machine.ask("2001:db8::1", PORT) == "2001:db8::1"
    assert web.ask("2001:db8::1", PORT) == machine.manager.get(network.id).pools[1].gateway
    machine.remote.serve(7, address="2001:db8::9")
    assert web.ask("2001:db8::9", 7) == "2001:db8::1"
    third = machine.container(machine.network(enable_ipv6=True))
    assert third.ask(mine, 80, timeout=0.4) == "timeout"


def test_ipv6_only_network_with_given_subnet(machine):
    pool = IpamPool(subnet="fd12:3456::/64", gateway="fd12:3456::fe")
    network = machine.network(enable_ipv4=False, enable_ipv6=True, pools=(pool,))
    first = machine.container(Attachment(network=network.id, ipv6_address="fd12:3456::10"))
    second = machine.container(network)
    first.serve(80, address="::")
    assert second.ask("fd12:3456::10", 80) == "fd12:3456::1"
    assert "inet " not in first.run("ip", "-o", "addr", "show", "eth0")
