"""The nftables table of this installation: address translation, isolation, published ports.

One table `inet composer`, nothing of anybody else's. Packets that are not ours pay two lookups in maps keyed
by interface name. A published port is one map element, so publishing is one small transaction. The text of
the whole table can be made from the records at any time (`whole`), which repairs it after somebody's
`nft flush ruleset`; single changes are made with the other functions. All of them are pure.

How a packet goes:

    to HOST:port from outside     prerouting: publish -> forward: to_NETWORK accepts what was translated
    to HOST:port from the host    output: publish -> postrouting: 127/8 becomes the gateway's address
    to HOST:port from a container prerouting: publish -> forward -> postrouting: masquerade (hairpin)
    from a container outside      forward: not ours to decide -> postrouting: nat_NETWORK masquerades
    from network A to network B   forward: to_B drops
    to a container from outside   forward: to_NETWORK drops
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@frozen
class FilteredNetwork:
    """What the table needs to know of a bridge network."""

    id: str
    bridge: str
    subnets: tuple[str, ...]
    internal: bool = False
    icc: bool = True
    masquerade: bool = True

    @property
    def tag(self) -> str:
        """What makes the names of its chains unique."""
        return self.id[:12]


@frozen
class Translation:
    """A published port in the kernel: host address and port become the container's.

    `host_ip` is `0.0.0.0` or `::` for all addresses of the family; `address` is of the same family.
    """

    protocol: str
    host_ip: str
    host_port: int
    address: str
    port: int


def _skeleton(table: str, networks: Sequence[FilteredNetwork]) -> str:
    """The table, with the networks' subnets only.

    They are part of the definition because nft 1.0.6 cannot add intervals to a map that it made in the same
    transaction.
    """
    chains = "\n".join(f"  chain nat_{network.tag} {{ }}" for network in networks)
    return f"""
table inet {table} {{
  comment "composer: published ports and isolation of its networks"
  map ports4 {{ type inet_proto . inet_service : ipv4_addr . inet_service; }}
  map ports6 {{ type inet_proto . inet_service : ipv6_addr . inet_service; }}
  map ports4_at {{ type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }}
  map ports6_at {{ type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }}
  set bridges {{ type ifname; }}
  map to_networks {{ type ifname : verdict; }}
  map from_networks {{ type ifname : verdict; }}
{chains}
  map nat4 {{ type ipv4_addr : verdict; flags interval; {_subnets("nat4", networks)} }}
  map nat6 {{ type ipv6_addr : verdict; flags interval; {_subnets("nat6", networks)} }}
  chain publish {{
    dnat ip to ip daddr . meta l4proto . th dport map @ports4_at
    dnat ip to meta l4proto . th dport map @ports4
    dnat ip6 to ip6 daddr . meta l4proto . th dport map @ports6_at
    dnat ip6 to meta l4proto . th dport map @ports6
  }}
  chain from_outside {{
    type nat hook prerouting priority -100; policy accept;
    ip daddr != 127.0.0.0/8 fib daddr type local jump publish
    meta nfproto ipv6 fib daddr type local jump publish
  }}
  chain from_host {{
    type nat hook output priority -100; policy accept;
    meta nfproto ipv4 fib daddr type local jump publish
    ip6 daddr != ::1 fib daddr type local jump publish
  }}
  chain leaving {{
    type nat hook postrouting priority 100; policy accept;
    oifname @bridges ip saddr 127.0.0.0/8 masquerade
    ip saddr vmap @nat4
    ip6 saddr vmap @nat6
  }}
  chain forwarding {{
    type filter hook forward priority 0; policy accept;
    iifname vmap @from_networks
    oifname vmap @to_networks
  }}
  chain guard {{
    type filter hook prerouting priority -300; policy accept;
    iifname @bridges ip daddr 127.0.0.0/8 drop
  }}
}}
"""


def _subnets(name: str, networks: Sequence[FilteredNetwork]) -> str:
    elements = [
        f"{subnet} : jump nat_{network.tag}"
        for network in networks
        for subnet in network.subnets
        if _nat_map(subnet) == name
    ]
    return f"elements = {{ {', '.join(elements)} }};" if elements else ""


def add_network(table: str, network: FilteredNetwork) -> str:
    """Commands that let a network into the table."""
    lines = [
        f"add element inet {table} {_nat_map(subnet)} {{ {subnet} : jump nat_{network.tag} }}"
        for subnet in network.subnets
    ]
    return f"add chain inet {table} nat_{network.tag}\n{_rules(table, network)}" + "\n".join(lines) + "\n"


def _rules(table: str, network: FilteredNetwork) -> str:
    tag, bridge = network.tag, network.bridge
    lines = [f"add chain inet {table} to_{tag}"]
    rules = []
    if not network.internal:
        rules += ["ct state established,related accept", "ct status dnat accept"]
    rules.append(f'iifname "{bridge}" {"accept" if network.icc else "drop"}')
    rules.append("drop")
    lines += [f"add rule inet {table} to_{tag} {rule}" for rule in rules]
    if network.internal:
        lines.append(f"add chain inet {table} from_{tag}")
        lines.append(f'add rule inet {table} from_{tag} oifname != "{bridge}" drop')
        lines.append(f'add element inet {table} from_networks {{ "{bridge}" : jump from_{tag} }}')
    else:
        if network.masquerade:
            lines.append(f'add rule inet {table} nat_{tag} oifname != "{bridge}" masquerade')
        lines.append(f'add rule inet {table} nat_{tag} oifname "{bridge}" ct status dnat masquerade')
    lines.append(f'add element inet {table} bridges {{ "{bridge}" }}')
    lines.append(f'add element inet {table} to_networks {{ "{bridge}" : jump to_{tag} }}')
    return "\n".join(lines) + "\n"


def remove_network(table: str, network: FilteredNetwork) -> str:
    """Commands that take a network out again; nothing may be published through it any more."""
    tag, bridge = network.tag, network.bridge
    lines = [f"delete element inet {table} {_nat_map(subnet)} {{ {subnet} }}" for subnet in network.subnets]
    lines.append(f'delete element inet {table} to_networks {{ "{bridge}" }}')
    lines.append(f'delete element inet {table} bridges {{ "{bridge}" }}')
    chains = [f"to_{tag}", f"nat_{tag}"]
    if network.internal:
        lines.append(f'delete element inet {table} from_networks {{ "{bridge}" }}')
        chains.append(f"from_{tag}")
    lines += [f"flush chain inet {table} {chain}" for chain in chains]
    lines += [f"delete chain inet {table} {chain}" for chain in chains]
    return "\n".join(lines) + "\n"


def remove_table(table: str) -> str:
    """Commands that delete the table, whether it exists or not."""
    return f"add table inet {table}\ndelete table inet {table}\n"


def publish(table: str, translations: Iterable[Translation]) -> str:
    """Commands that add published ports."""
    return _elements("add", table, translations)


def unpublish(table: str, translations: Iterable[Translation]) -> str:
    """Commands that take published ports away."""
    return _elements("delete", table, translations)


def whole(table: str, networks: Sequence[FilteredNetwork], translations: Sequence[Translation]) -> str:
    """Commands that replace the table by one that holds exactly this; open connections live on."""
    parts = [remove_table(table), _skeleton(table, networks)]
    parts += [_rules(table, network) for network in networks]
    parts.append(publish(table, translations))
    return "".join(parts)


def _elements(verb: str, table: str, translations: Iterable[Translation]) -> str:
    lines = []
    for item in translations:
        version = ipaddress.ip_address(item.address).version
        everywhere = item.host_ip in ("", "0.0.0.0", "::")  # noqa: S104 - the meaning of no address
        key = f"{item.protocol} . {item.host_port}"
        if not everywhere:
            key = f"{item.host_ip} . {key}"
        value = f" : {item.address} . {item.port}" if verb == "add" else ""
        name = f"ports{version}" if everywhere else f"ports{version}_at"
        lines.append(f"{verb} element inet {table} {name} {{ {key}{value} }}")
    return "\n".join(lines) + "\n" if lines else ""


def _nat_map(subnet: str) -> str:
    return "nat6" if ":" in subnet else "nat4"
