"""Getting along with other firewalls on the machine: Docker, ufw, iptables with a dropping FORWARD chain.

An accept in our table does not help against a drop in another table's chain of the same hook. So where
iptables chains exist that drop forwarded packets, two accepting rules for each of our bridges are put in
front, in `DOCKER-USER` when there is one (Docker leaves it alone) and else in `FORWARD`. They carry our
comment and go away with the bridge. Rules are never changed otherwise.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from composer.namespaces.network.nft import NftError

if TYPE_CHECKING:
    from composer.namespaces.network.nft import Nftables

_CHAIN = re.compile(r"^\s*chain (\S+) \{", re.MULTILINE)
_RULE = re.compile(r'^\s*(.*comment "([^"]*)".*) # handle (\d+)$', re.MULTILINE)


def allow(nft: Nftables, bridge: str, comment: str) -> None:
    """Let packets of *bridge* pass chains of iptables that drop; nothing to do where there are none."""
    for family in ("ip", "ip6"):
        chain = _dropping_chain(nft, family)
        if not chain:
            continue
        _remove(nft, family, chain, bridge, comment)
        nft.run(
            f'insert rule {family} filter {chain} oifname "{bridge}" counter accept comment "{comment}"\n'
            f'insert rule {family} filter {chain} iifname "{bridge}" counter accept comment "{comment}"\n'
        )


def forget(nft: Nftables, bridge: str, comment: str) -> None:
    """Take the rules of *bridge* away again."""
    for family in ("ip", "ip6"):
        for chain in ("DOCKER-USER", "FORWARD"):
            _remove(nft, family, chain, bridge, comment)


def _dropping_chain(nft: Nftables, family: str) -> str:
    listing = _list(nft, f"list table {family} filter")
    chains = set(_CHAIN.findall(listing))
    if "FORWARD" not in chains:
        return ""
    return "DOCKER-USER" if "DOCKER-USER" in chains else "FORWARD"


def _remove(nft: Nftables, family: str, chain: str, bridge: str, comment: str) -> None:
    listing = _list(nft, f"list chain {family} filter {chain}")
    for rule, said, handle in _RULE.findall(listing):
        if said == comment and f'"{bridge}"' in rule:
            nft.run(f"delete rule {family} filter {chain} handle {handle}")


def _list(nft: Nftables, command: str) -> str:
    try:
        return nft.run(command)
    except NftError:
        return ""
