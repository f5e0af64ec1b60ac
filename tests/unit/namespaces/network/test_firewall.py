"""Texts for nftables; whether the kernel does what they say is tested with packets."""

from __future__ import annotations

from composer.namespaces.network import firewall
from composer.namespaces.network.firewall import FilteredNetwork, Translation

NETWORK = FilteredNetwork("ab" * 32, "br-x", ("172.18.0.0/16", "fd00::/64"))


def test_published_port_is_one_element():
    items = [
        Translation("tcp", "0.0.0.0", 8080, "172.18.0.2", 80),
        Translation("udp", "::", 53, "fd00::2", 5353),
        Translation("tcp", "127.0.0.1", 1, "172.18.0.2", 2),
    ]
    assert firewall.publish("t", items).splitlines() == [
        "add element inet t ports4 { tcp . 8080 : 172.18.0.2 . 80 }",
        "add element inet t ports6 { udp . 53 : fd00::2 . 5353 }",
        "add element inet t ports4_at { 127.0.0.1 . tcp . 1 : 172.18.0.2 . 2 }",
    ]
    assert firewall.unpublish("t", items[:1]) == "delete element inet t ports4 { tcp . 8080 }\n"
    assert firewall.publish("t", []) == ""


def test_everything_that_is_added_is_removed():
    for internal in (False, True):
        network = FilteredNetwork(NETWORK.id, NETWORK.bridge, NETWORK.subnets, internal=internal)
        added = firewall.add_network("t", network).splitlines()
        removed = firewall.remove_network("t", network).splitlines()
        chains = {line.split()[4] for line in added if line.startswith("add chain")}
        assert chains == {line.split()[4] for line in removed if line.startswith("delete chain")}
        elements = {(line.split()[4], line.split()[6]) for line in added if line.startswith("add element")}
        gone = {(line.split()[4], line.split()[6]) for line in removed if line.startswith("delete element")}
        assert elements == gone
        assert len(elements) == (5 if internal else 4)


def test_internal_network_never_masquerades():
    network = FilteredNetwork(NETWORK.id, "br-x", NETWORK.subnets, internal=True)
    text = firewall.add_network("t", network)
    assert "masquerade" not in text
    assert "established" not in text
