"""Networks come and go: what they take, whom they refuse, how they are repaired, and that nothing stays."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest

from composer.engine import Attachment, IpamPool, PortMapping
from composer.errors import ComposerError, ConflictError, EngineError, NotFoundError, UnsupportedError
from composer.namespaces.network import endpoint, nft
from composer.namespaces.network.manager import NetworkManager
from composer.namespaces.network.watch import watch

from .conftest import Namespace

pytestmark = pytest.mark.root


def links(machine):
    return {entry["ifname"]: entry for entry in json.loads(machine.run("ip", "-json", "link", "show"))}


def has_links_of(machine, kind):
    more = ["id", "9"] if kind == "vlan" else []
    with machine.inside():
        done = subprocess.run(
            ["ip", "link", "add", "probe0", "link", "up0", "type", kind, *more], check=False
        )
        subprocess.run(["ip", "link", "del", "probe0"], check=False)
    return done.returncode == 0


def ruleset(machine):
    return machine.run("nft", "list", "ruleset")


def test_nothing_is_left_when_the_last_network_goes(machine):
    before = set(links(machine))
    front, back = machine.network(enable_ipv6=True), machine.network(internal=True)
    web = machine.container(front, back, ports=(PortMapping(80, 8080), PortMapping(53, 5353, protocol="udp")))
    web.finish()
    machine.containers.clear()
    machine.manager.remove(front.id)
    assert "composer" in ruleset(machine)
    machine.manager.remove(back.id)
    assert set(links(machine)) == before
    assert ruleset(machine) == ""
    assert machine.manager.list() == ()


def test_links_say_whose_they_are(machine):
    web = machine.container(machine.network())
    names = {name for name, link in links(machine).items() if link.get("ifalias") == machine.manager.alias}
    assert names == {web.setups[0].parent, web.setups[0].link}


def test_network_in_use_is_not_removed(machine):
    network = machine.network()
    machine.container(network, name="web-1")
    with pytest.raises(ConflictError, match="in use by web-1"):
        machine.manager.remove(network.id)


def test_lease_of_a_container_that_was_never_finished_does_not_count(machine):
    network = machine.network()
    machine.manager.reserve(machine.config(network))  # its directory was never made
    machine.manager.remove(network.id)
    with pytest.raises(NotFoundError):
        machine.manager.get(network.id)


def test_name_and_subnet_are_taken_once(machine):
    network = machine.network("front", pools=(IpamPool(subnet="10.77.0.0/24"),))
    with pytest.raises(ConflictError, match="network front exists already"):
        machine.network("front")
    with pytest.raises(ConflictError, match=r"subnet 10\.77\.0\.128/25 overlaps 10\.77\.0\.0/24"):
        machine.network("other", pools=(IpamPool(subnet="10.77.0.128/25"),))
    with pytest.raises(ConflictError, match=r"overlaps 192\.0\.2\.0/24"):
        machine.network("uplink", pools=(IpamPool(subnet="192.0.2.0/25"),))
    assert [state.config.id for state in machine.manager.list()] == [network.id]


def test_default_subnets_avoid_the_hosts_routes_and_each_other(machine):
    machine.run("ip", "route", "add", "172.18.0.0/16", "via", "192.0.2.9")
    first, second = machine.network(), machine.network()
    subnets = [machine.manager.get(item.id).pools[0].subnet for item in (first, second)]
    assert subnets == ["172.19.0.0/16", "172.20.0.0/16"]


def test_exhausted_pools_say_so_and_leave_nothing(machine):
    machine.run("ip", "route", "add", "172.16.0.0/12", "via", "192.0.2.9")
    machine.run("ip", "route", "add", "192.168.0.0/16", "via", "192.0.2.9")
    before = set(links(machine))
    with pytest.raises(ConflictError, match="all default subnets are in use"):
        machine.network()
    assert set(links(machine)) == before


def test_full_network(machine):
    network = machine.network(pools=(IpamPool(subnet="10.1.2.0/29"),))
    addresses = {machine.container(network).address for _ in range(5)}
    assert addresses == {f"10.1.2.{number}" for number in range(2, 7)}
    with pytest.raises(ConflictError, match="no free address"):
        machine.container(network)


def test_addresses_stay_with_a_container_and_rest_when_given_back(machine):
    network = machine.network()
    first = machine.container(network)
    again = machine.manager.reserve(first.config)
    assert again == first.setups
    first.finish()
    machine.containers.clear()
    second = machine.container(network)
    assert second.address != first.address


def test_wanted_address_is_given_or_refused(machine):
    network = machine.network(pools=(IpamPool(subnet="10.9.0.0/24", aux_addresses={"router": "10.9.0.2"}),))
    wanted = Attachment(network=network.id, ipv4_address="10.9.0.77", mac_address="02:42:00:11:22:33")
    web = machine.container(wanted, name="web")
    assert web.address == "10.9.0.77"
    assert "02:42:00:11:22:33" in web.run("ip", "link", "show", "eth0")
    assert machine.container(network).address == "10.9.0.3"
    replacement = machine.config(wanted)
    machine.paths.container(replacement.id).mkdir()
    assert machine.manager.reserve(replacement)[0].ipv4_address == "10.9.0.77"
    with pytest.raises(ConflictError, match=r"10\.9\.0\.77 .* is held by web"):
        machine.manager.reserve(replacement, starting=True)
    machine.manager.release(web.config.id)
    assert machine.manager.reserve(replacement, starting=True)[0].ipv4_address == "10.9.0.77"
    with pytest.raises(EngineError, match="is not in its subnet"):
        machine.container(Attachment(network=network.id, ipv4_address="10.8.0.1"))


def test_port_in_use_names_the_process(machine):
    network = machine.network()
    taken = socket.create_server(("0.0.0.0", 8080))
    config = machine.config(network, ports=(PortMapping(80, 8080, path="services.web.ports[0]"),))
    for check in (lambda: machine.manager.check_ports([config]), lambda: machine.manager.bind(config)):
        with pytest.raises(ConflictError, match=rf"0\.0\.0\.0:8080/tcp .*\(pid {os.getpid()}\)") as caught:
            check()
        assert caught.value.path == "services.web.ports[0]"
    taken.close()
    machine.manager.check_ports([config])


def test_port_in_use_on_loopback_or_by_udp_counts(machine):
    network = machine.network()
    with socket.create_server(("127.0.0.1", 8081)), pytest.raises(ConflictError):
        machine.manager.check_ports([machine.config(network, ports=(PortMapping(80, 8081),))])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 8082))
        with pytest.raises(ConflictError, match="8082/udp"):
            machine.manager.check_ports(
                [machine.config(network, ports=(PortMapping(80, 8082, protocol="udp"),))]
            )
        machine.manager.check_ports([machine.config(network, ports=(PortMapping(80, 8082),))])


def test_port_of_another_container_names_it(machine):
    network = machine.network()
    web = machine.container(network, ports=(PortMapping(80, 8080),), name="shop-web-1")
    other = machine.config(network, ports=(PortMapping(80, 8080),), name="blog-web-1")
    with pytest.raises(ConflictError, match="by container shop-web-1"):
        machine.manager.check_ports([other])
    machine.manager.check_ports([other], leaving=[web.config.id])
    machine.manager.check_ports([web.config])


def test_two_containers_of_a_plan_want_one_port(machine):
    network = machine.network()
    configs = [machine.config(network, ports=(PortMapping(80, 8080),), name=name) for name in ("a", "b")]
    with pytest.raises(ConflictError, match="8080/tcp is published by both a and b"):
        machine.manager.check_ports(configs)


def test_port_range_takes_the_first_free_one_and_ends(machine):
    network = machine.network()
    mapping = PortMapping(80, 8000, host_port_end=8001)
    assert machine.container(network, ports=(mapping,)).ports[0].host_port == 8000
    assert machine.container(network, ports=(mapping,)).ports[0].host_port == 8001
    with pytest.raises(ConflictError, match="no port of 8000-8001/tcp is free"):
        machine.container(network, ports=(mapping,))


def test_ephemeral_port_is_the_same_on_both_families(machine):
    web = machine.container(machine.network(), ports=(PortMapping(80),))
    assert [port.host_ip for port in web.ports] == ["0.0.0.0", "::"]
    assert len({port.host_port for port in web.ports}) == 1
    web.serve(80)
    assert machine.ask("127.0.0.1", web.ports[0].host_port) == web.setups[0].gateway


def test_address_the_machine_does_not_have(machine):
    with pytest.raises(EngineError, match=r"cannot publish on 198\.51\.100\.1"):
        machine.container(machine.network(), ports=(PortMapping(80, 8080, host_ip="198.51.100.1"),))


def test_bound_port_is_held_and_given_back_at_once(machine):
    network = machine.network()
    web = machine.container(network, ports=(PortMapping(80, 8080),))
    web.serve(80)
    for _ in range(3):
        assert machine.ask("127.0.0.1", 8080) == web.setups[0].gateway
    with pytest.raises(OSError, match="in use"):
        socket.create_server(("0.0.0.0", 8080))
    web.finish()
    machine.containers.clear()
    socket.create_server(("0.0.0.0", 8080)).close()
    assert machine.ask("127.0.0.1", 8080) == "refused"


def test_flushed_ruleset_is_repaired(machine):
    web = machine.container(machine.network(), ports=(PortMapping(80, 8080),))
    web.serve(80)
    machine.run("nft", "flush", "ruleset")
    assert machine.ask("127.0.0.1", 8080, timeout=0.4) == "timeout"
    machine.manager.reconcile()
    assert machine.remote.ask("192.0.2.1", 8080) == "192.0.2.9"


def test_a_change_repairs_a_flushed_ruleset_too(machine):
    network = machine.network()
    web = machine.container(network, ports=(PortMapping(80, 8080),))
    web.serve(80)
    machine.run("nft", "flush", "ruleset")
    machine.container(network, ports=(PortMapping(80, 8081),))
    assert machine.remote.ask("192.0.2.1", 8080) == "192.0.2.9"


def test_reboot_brings_bridges_back_and_forgets_ports_of_the_dead(machine):
    network = machine.network()
    web = machine.container(network, ports=(PortMapping(80, 8080),))
    machine.run("ip", "link", "delete", web.setups[0].parent)
    machine.run("nft", "flush", "ruleset")
    machine.manager.reconcile(live=[])
    assert web.setups[0].parent in links(machine)
    assert "8080" not in ruleset(machine)
    other = machine.container(network)
    other.serve(80)
    assert machine.ask(other.address, 80) == machine.manager.get(network.id).pools[0].gateway


def test_ports_of_dead_containers_are_unpublished(machine):
    network = machine.network()
    web = machine.container(network, ports=(PortMapping(80, 8080),))
    machine.container(network, ports=(PortMapping(80, 8081),))
    live = [item.config.id for item in machine.containers if item is not web]
    machine.manager.reconcile(live=live)
    assert "8080" not in ruleset(machine)
    assert "8081" in ruleset(machine)


def test_joining_and_leaving_a_network_at_run_time(machine):
    front, back = machine.network("a-front"), machine.network("b-back")
    web = machine.container(back)
    web.config = replace(web.config, attachments=(*web.config.attachments, Attachment(network=front.id)))
    setups = machine.manager.reserve(web.config)
    with web.inside():
        endpoint.setup_endpoints([setups[1].to_dict()], machine.netlink)
    assert "dev eth1" in web.run("ip", "route", "show", "default")
    web.config = replace(web.config, attachments=web.config.attachments[:1])
    remaining = machine.manager.reserve(web.config)
    with web.inside():
        endpoint.remove_endpoint(setups[1].to_dict(), machine.netlink)
        endpoint.set_gateways([setup.to_dict() for setup in remaining])
    assert "dev eth0" in web.run("ip", "route", "show", "default")
    machine.manager.remove(front.id)


@pytest.mark.parametrize(("driver", "mode"), [("macvlan", "bridge"), ("ipvlan", "l2"), ("ipvlan", "l3")])
def test_containers_on_the_uplink_itself(machine, driver, mode):
    if not has_links_of(machine, driver):
        with pytest.raises(UnsupportedError, match=f"this kernel has no {driver}"):
            machine.network(
                driver=driver, options={"parent": "up0"}, pools=(IpamPool(subnet="192.0.2.0/24"),)
            )
        return
    network = machine.network(
        driver=driver,
        options={"parent": "up0", f"{driver}_mode": mode},
        pools=(IpamPool(subnet="192.0.2.0/24", gateway="192.0.2.9", ip_range="192.0.2.64/26"),),
    )
    web = machine.container(network, ports=(PortMapping(80, 8080),))
    web.serve(80)
    assert web.address == "192.0.2.64"
    assert web.ports == ()
    if mode != "l3":
        assert machine.remote.ask(web.address, 80) == "192.0.2.9"
    other = machine.container(network)
    assert other.ask(web.address, 80) == other.address


def test_vlan_interface_is_made_and_removed(machine):
    pool = (IpamPool(subnet="10.44.0.0/24"),)
    if not has_links_of(machine, "vlan"):
        with pytest.raises(UnsupportedError, match="this kernel has no vlan"):
            machine.network(driver="macvlan", options={"parent": "up0.44"}, pools=pool)
        return
    network = machine.network(driver="macvlan", options={"parent": "up0.44"}, pools=pool)
    assert "up0.44" in links(machine)
    machine.manager.remove(network.id)
    assert "up0.44" not in links(machine)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"driver": "overlay"}, UnsupportedError, "driver 'overlay' is not supported"),
        ({"options": {"com.example.x": "1"}}, UnsupportedError, r"option 'com\.example\.x' is not supported"),
        ({"driver": "macvlan"}, EngineError, "needs a host interface"),
        ({"driver": "macvlan", "options": {"parent": "up0"}}, EngineError, "needs to know the subnet"),
        ({"enable_ipv4": False}, EngineError, "neither IPv4 nor IPv6"),
        ({"options": {"com.docker.network.bridge.name": "lo"}}, ConflictError, "interface lo"),
        ({"options": {"com.docker.network.bridge.name": "a/../b"}}, EngineError, "not an interface name"),
        ({"options": {"com.docker.network.driver.mtu": "9"}}, EngineError, "not a size"),
    ],
)
def test_refused_networks_leave_nothing(machine, options, error, message):
    before = set(links(machine))
    with pytest.raises(error, match=message):
        machine.network(**options)
    assert set(links(machine)) == before
    assert machine.manager.list() == ()


def test_chosen_bridge_name_and_mtu(machine):
    options = {"com.docker.network.bridge.name": "shop0", "com.docker.network.driver.mtu": "1400"}
    web = machine.container(machine.network(options=options))
    assert "mtu 1400" in machine.run("ip", "link", "show", "shop0")
    assert "mtu 1400" in web.run("ip", "link", "show", "eth0")


def drop_forwarded(machine, kind):
    """A machine on which Docker, ufw or an administrator has forbidden forwarding."""
    tools = ["iptables-legacy", "ip6tables-legacy"] if kind.endswith("legacy") else ["iptables", "ip6tables"]
    for tool in tools:
        machine.run(tool, "-P", "FORWARD", "DROP")
        if kind.startswith("docker"):
            machine.run(tool, "-N", "DOCKER-USER")
            machine.run(tool, "-A", "DOCKER-USER", "-j", "RETURN")
            machine.run(tool, "-A", "FORWARD", "-j", "DOCKER-USER")


def iptables_rules(machine, kind):
    tool = "iptables-legacy-save" if kind.endswith("legacy") else "iptables-save"
    return [line for line in machine.run(tool).splitlines() if line[:1] not in "#:"]


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("kind", ["plain", "docker", "plain-legacy", "docker-legacy"])
def test_beside_a_firewall_that_drops_forwarded_packets(machine, kind, later):
    if not later:
        drop_forwarded(machine, kind)
        before = iptables_rules(machine, kind)
    network = machine.network(enable_ipv6=True)
    if later:
        drop_forwarded(machine, kind)
        before = iptables_rules(machine, kind)
        machine.manager.reconcile()
        machine.manager.reconcile()
    web = machine.container(network, ports=(PortMapping(80, 8080),))
    web.serve(80)
    other = machine.container(network)
    assert machine.remote.ask("192.0.2.1", 8080) == "192.0.2.9"
    assert other.ask(web.address, 80) == other.address
    assert other.ask("192.0.2.1", 8080) == other.setups[0].gateway
    machine.remote.serve(7, address="192.0.2.9")
    assert web.ask("192.0.2.9", 7) == "192.0.2.1"
    ours = [line for line in iptables_rules(machine, kind) if machine.manager.alias in line]
    assert len(ours) == 2
    for container in list(machine.containers):
        container.finish()
    machine.containers.clear()
    machine.manager.remove(network.id)
    assert iptables_rules(machine, kind) == before


@pytest.mark.parametrize("tool", ["iptables", "iptables-legacy"])
def test_a_firewall_without_rules_is_left_alone(machine, tool):
    machine.run(tool, "-P", "FORWARD", "ACCEPT")
    machine.container(machine.network())
    machine.manager.reconcile()
    assert machine.run(tool, "-S", "FORWARD") == "-P FORWARD ACCEPT\n"


def test_without_the_library_the_program_does_the_same(machine, monkeypatch):
    monkeypatch.setattr(nft, "_LIBRARIES", ("libnftables.so.none",))
    drop_forwarded(machine, "plain")
    network = machine.network(enable_ipv6=True)
    web = machine.container(network, ports=(PortMapping(80, 8080),))
    web.serve(80)
    assert machine.remote.ask("192.0.2.1", 8080) == "192.0.2.9"
    machine.run("nft", "flush", "table", "inet", machine.manager.alias)
    machine.manager.reconcile()
    assert machine.remote.ask("192.0.2.1", 8080) == "192.0.2.9"
    web.finish()
    machine.containers.clear()
    machine.manager.remove(network.id)
    assert machine.manager.alias not in ruleset(machine)


def test_chain_of_somebody_elses_making_is_named(machine):
    assert machine.manager.obstacles() == ()
    machine.run(
        "nft",
        "add table inet mine; add chain inet mine fw { type filter hook forward priority 0; policy drop; }",
    )
    assert machine.manager.obstacles() == ("inet mine fw",)


def test_two_processes_use_one_installation(machine):
    network = machine.network()
    other = NetworkManager(machine.paths)
    first = machine.container(network, ports=(PortMapping(80, 8080),))
    assert other.get(network.id).containers == (first.config.id,)
    other.unpublish(first.config.id)
    assert "8080" not in ruleset(machine)
    machine.manager.unpublish(first.config.id)
    other.close()


def test_udp_flow_follows_the_new_container(machine):
    network = machine.network()
    mapping = PortMapping(53, 5353, protocol="udp")
    old = machine.container(network, ports=(mapping,))
    old.serve(53, "udp")
    with machine.remote.inside():
        client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(2)
    client.connect(("192.0.2.1", 5353))
    client.send(b"?")
    assert client.recv(100) == b"192.0.2.9"
    old.finish()
    machine.containers.clear()
    new = machine.container(network, ports=(mapping,))
    new.serve(53, "udp")
    client.send(b"?")
    assert client.recv(100) == b"192.0.2.9"
    client.close()


def test_flush_is_repaired_by_itself(machine):
    web = machine.container(machine.network(), ports=(PortMapping(80, 8080),))
    web.serve(80)

    async def run():
        async with anyio.create_task_group() as group:
            group.start_soon(watch, machine.manager)
            await anyio.lowlevel.checkpoint()
            machine.run("nft", "flush", "ruleset")
            assert machine.remote.ask("192.0.2.1", 8080, timeout=0.1) == "timeout"
            await anyio.sleep(1)
            assert machine.remote.ask("192.0.2.1", 8080) == "192.0.2.9"
            group.cancel_scope.cancel()

    anyio.run(run)


def test_a_container_starts_again_while_its_last_namespace_still_dies(machine):
    network = machine.network()
    web = machine.container(network)
    again = Namespace()
    document = web.setups[0].to_dict()
    with again.inside():
        endpoint.setup_endpoints([document], machine.netlink)
    assert document["link"] != web.setups[0].link
    assert {document["link"], web.setups[0].link} <= set(links(machine))
    web.close()
    machine.containers.clear()
    web.sockets.clear()
    again.serve(80)
    assert machine.ask(web.address, 80) == web.setups[0].gateway
    again.close()


def test_failed_set_up_leaves_no_link(machine):
    web = machine.container(machine.network())
    before = set(links(machine))
    bad = web.setups[0].to_dict() | {"link": "vethbad", "interface": "eth7", "gateways": ["10.99.0.1"]}
    with web.inside(), pytest.raises(OSError, match=r"cannot add default route via 10\.99\.0\.1"):
        endpoint.setup_endpoints([bad], machine.netlink)
    assert set(links(machine)) == before


def test_a_very_large_range_is_published_whole(machine):
    network = machine.network()
    mappings = tuple(PortMapping(20000 + number, 20000 + number) for number in range(150))
    web = machine.container(network, ports=mappings)
    assert len(web.ports) == 300
    assert len(web.bound.fds()) == len(web.bound.to_dict()) == 300
    web.serve(20149)
    assert machine.remote.ask("192.0.2.1", 20149) == "192.0.2.9"


def test_removing_a_network_takes_leftover_links_along(machine):
    network = machine.network()
    before = set(links(machine)) - {machine.manager.get(network.id).bridge}
    for _ in range(3):
        container = machine.container(network)
        machine.manager.release(container.config.id)
    machine.manager.remove(network.id)
    assert set(links(machine)) == before


def test_a_bridge_whose_maker_was_killed_goes_and_others_stay(machine):
    network = machine.network()
    machine.container(network)
    machine.run("ip", "link", "add", "foreign0", "type", "bridge")
    before = set(links(machine))
    machine.run("ip", "link", "add", "br-killed", "type", "bridge")
    machine.run("ip", "link", "set", "br-killed", "alias", machine.manager.alias)
    machine.manager.reconcile()
    assert set(links(machine)) == before


def test_a_full_disk_leaves_no_network(machine, monkeypatch):
    before = set(links(machine))

    @contextmanager
    def failing():
        with machine.manager._database.connection() as db:
            yield db
            db.rollback()
            raise ComposerError("cannot write composer.db: database or disk is full")

    machine.manager.list()
    monkeypatch.setattr(machine.manager._database, "transaction", failing)
    with pytest.raises(ComposerError, match="disk is full"):
        machine.network()
    assert set(links(machine)) == before
