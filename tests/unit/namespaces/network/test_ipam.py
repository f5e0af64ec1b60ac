"""Which subnet a network gets, and which address a container."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composer.engine import IpamPool, NetworkConfig
from composer.errors import ConflictError, EngineError
from composer.namespaces.network import ipam


def fill(*pools, taken=(), **options):
    config = NetworkConfig(id="a" * 64, name="net", pools=pools, **options)
    return ipam.fill(config, [ipaddress.ip_network(text) for text in taken], "machine")


def test_first_default_subnet_leaves_dockers_own_for_last():
    assert fill() == (IpamPool(subnet="172.18.0.0/16", gateway="172.18.0.1"),)
    subnets = [str(subnet) for subnet in ipam.default_subnets()]
    assert subnets[0] == "172.18.0.0/16"
    assert subnets[-1] == "172.17.0.0/16"
    assert len(subnets) == len(set(subnets)) == 31


def test_any_overlap_counts():
    assert fill(taken=["172.18.200.0/30", "172.16.0.0/14", "::/0"])[0].subnet == "172.20.0.0/16"


def test_ipv6_prefix_belongs_to_the_machine_and_the_network():
    first = fill(enable_ipv6=True)[1]
    assert ipaddress.ip_network(first.subnet).subnet_of(ipaddress.ip_network("fd00::/8"))
    assert first.subnet.endswith("/64")
    second = fill(enable_ipv6=True, taken=[first.subnet])[1]
    assert second.subnet != first.subnet
    assert second.subnet[:14] == first.subnet[:14]


def test_given_pools_are_completed():
    pools = fill(IpamPool(subnet="10.0.0.0/24"), IpamPool(subnet="fd01::/64", gateway="fd01::5"))
    assert pools == (
        IpamPool(subnet="10.0.0.0/24", gateway="10.0.0.1"),
        IpamPool(subnet="fd01::/64", gateway="fd01::5"),
    )


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        (IpamPool(subnet="10.0.0.1/24"), "has host bits set"),
        (IpamPool(subnet="10.0.0.0/31"), "too small"),
        (IpamPool(subnet="10.0.0.0/32"), "too small"),
        (IpamPool(subnet="0.0.0.0/0"), "too large"),
        (IpamPool(subnet="::/0"), "too large"),
        (IpamPool(subnet="127.0.0.0/8"), "special meaning"),
        (IpamPool(subnet="224.0.0.0/8"), "special meaning"),
        (IpamPool(subnet="fe80::/64"), "special meaning"),
        (IpamPool(subnet="rubbish"), "not a network"),
        (IpamPool(subnet="10.0.0.0/33"), "not a network"),
        (IpamPool(subnet="fd00::zz/64"), "not a network"),
        (IpamPool(subnet="10.0.0.0/24", gateway="10.0.1.1"), "gateway 10.0.1.1 is not inside"),
        (IpamPool(subnet="10.0.0.0/24", gateway="fd00::1"), "is not inside"),
        (IpamPool(subnet="10.0.0.0/24", gateway="gw"), "is not an address"),
        (IpamPool(subnet="10.0.0.0/24", ip_range="10.0.1.0/25"), "ip_range .* is not inside"),
        (IpamPool(subnet="10.0.0.0/24", ip_range="fd00::/64"), "ip_range .* is not inside"),
        (IpamPool(subnet="10.0.0.0/24", aux_addresses={"x": "10.9.9.9"}), r"aux_addresses\.x"),
        (IpamPool(gateway="10.0.0.1"), "need a subnet"),
    ],
)
def test_pools_that_make_no_sense(pool, message):
    with pytest.raises(EngineError, match=message):
        fill(pool)


def test_two_pools_of_one_network_must_not_overlap():
    with pytest.raises(ConflictError):
        fill(IpamPool(subnet="10.0.0.0/16"), IpamPool(subnet="10.0.5.0/24"))


@settings(max_examples=60, deadline=None)
@given(
    prefix=st.integers(24, 30),
    leased=st.sets(st.integers(0, 255)),
    last=st.one_of(st.none(), st.integers(0, 255)),
)
def test_picked_address_is_free_and_inside(prefix, leased, last):
    subnet = ipaddress.ip_network(f"10.0.0.0/{prefix}")
    pool = IpamPool(subnet=str(subnet), gateway="10.0.0.1", aux_addresses={"a": "10.0.0.3"})
    inside = [str(subnet[number]) for number in leased if number < subnet.num_addresses]
    before = str(subnet[last]) if last is not None and last < subnet.num_addresses else ""
    picked = ipam.pick(pool, inside, before)
    free = {str(host) for host in subnet.hosts()} - set(inside) - {"10.0.0.1", "10.0.0.3"}
    if free:
        assert picked in free
    else:
        assert picked == ""


def test_addresses_go_upward_and_round_within_the_range():
    pool = IpamPool(subnet="10.0.0.0/24", gateway="10.0.0.1", ip_range="10.0.0.8/29")
    assert ipam.pick(pool, [], "") == "10.0.0.8"
    assert ipam.pick(pool, ["10.0.0.8"], "10.0.0.8") == "10.0.0.9"
    assert ipam.pick(pool, ["10.0.0.15"], "10.0.0.15") == "10.0.0.8"


@pytest.mark.parametrize("address", ["10.0.0.0", "10.0.0.1", "10.0.0.255", "10.0.1.1", "fd00::1", "web"])
def test_addresses_a_container_may_not_ask_for(address):
    with pytest.raises(EngineError):
        ipam.wanted([IpamPool(subnet="10.0.0.0/24", gateway="10.0.0.1")], address, "net", "ipv4_address")


def test_mac_follows_from_the_address():
    assert ipam.mac_for("172.18.0.2") == "02:42:ac:12:00:02"
    assert ipam.mac_for("fd00::2") != ipam.mac_for("fd00::3")
