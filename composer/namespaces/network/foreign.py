"""Getting along with other firewalls on the machine: Docker, ufw, firewalld, iptables that drops.

An accept in our table does not help against a drop in another table's chain of the same hook. So where one
of the well-known firewalls drops forwarded packets, it is told about each of our bridges, in the way it
offers for that:

- iptables (Docker, ufw, scripts), both kinds of it: two accepting rules with our comment in front of
  `DOCKER-USER` when there is one (Docker leaves it alone), else of `FORWARD`;
- firewalld: the bridge joins the zone `trusted`, at run time only.

All of it goes away with the bridge. Nothing else of theirs is touched, and where none of them runs, nothing
is done. A dropping chain of anybody else's own making is not changed; `obstacles` names it.
"""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from composer.namespaces.network.nft import NftError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from composer.namespaces.network.nft import Nftables

_CHAIN = re.compile(r"^\s*chain (\S+) \{", re.MULTILINE)
_IDLE = re.compile(
    r"^\tchain FORWARD \{[^\n]*\n\t\ttype filter hook forward [^\n]*policy accept;\n\t\}", re.MULTILINE
)
_RULE = re.compile(r'^\s*(.*comment "([^"]*)".*) # handle (\d+)$', re.MULTILINE)
_BASE = re.compile(
    r"^table (\w+) (\S+) \{|^\tchain (\S+) \{[^\n]*\n\t\ttype filter hook forward [^\n]*policy drop;",
    re.MULTILINE,
)
_DIRECTIONS = ("oifname", "iifname")
_LEGACY_TABLES = {
    "iptables-legacy": "/proc/net/ip_tables_names",
    "ip6tables-legacy": "/proc/net/ip6_tables_names",
}
_FIREWALLD = (
    "busctl",
    "call",
    "org.fedoraproject.FirewallD1",
    "/org/fedoraproject/FirewallD1",
    "org.fedoraproject.FirewallD1.zone",
)


def allow(nft: Nftables, bridges: Iterable[str], comment: str) -> None:
    """Let packets of *bridges* pass; what is in place already is left alone."""
    bridges = tuple(bridges)
    tables = _list(nft, "list tables")
    for family in ("ip", "ip6"):
        if f"table {family} filter" not in tables:
            continue
        chain = _front_chain(_list(nft, f"list table {family} filter"))
        if chain:
            _insert(nft, family, chain, bridges, comment)
    if _has_firewalld(tables):
        trusted = _run(*_FIREWALLD, "getInterfaces", "s", "trusted")
        for bridge in bridges:
            if f'"{bridge}"' not in trusted:
                _quietly(*_FIREWALLD, "addInterface", "ss", "trusted", bridge)
    for program in _legacy():
        if _run(program, "-S", "FORWARD").split() == ["-P", "FORWARD", "ACCEPT"]:
            continue
        chain = "DOCKER-USER" if _quietly(program, "-n", "-L", "DOCKER-USER") else "FORWARD"
        for rule in _legacy_rules(bridges, comment):
            if not _quietly(program, "-w", "-C", chain, *rule):
                _quietly(program, "-w", "-I", chain, *rule)


def forget(nft: Nftables, bridge: str, comment: str) -> None:
    """Take everything about *bridge* out of other firewalls again."""
    tables = _list(nft, "list tables")
    for family in ("ip", "ip6"):
        if f"table {family} filter" not in tables:
            continue
        for chain in ("DOCKER-USER", "FORWARD"):
            for text, handle in _ours(_list(nft, f"list chain {family} filter {chain}"), comment):
                if f'"{bridge}"' in text:
                    nft.run(f"delete rule {family} filter {chain} handle {handle}")
    if _has_firewalld(tables):
        _quietly(*_FIREWALLD, "removeInterface", "ss", "trusted", bridge)
    for program in _legacy():
        for chain in ("DOCKER-USER", "FORWARD"):
            for rule in _legacy_rules((bridge,), comment):
                _quietly(program, "-w", "-D", chain, *rule)


def obstacles(nft: Nftables) -> list[str]:
    """Chains that drop forwarded packets and that nobody but their owner can open: `inet filter forward`."""
    found = []
    table = ""
    for family, name, chain in _BASE.findall(_list(nft, "list chains")):
        if name:
            table = f"{family} {name}"
        elif table not in ("ip filter", "ip6 filter", "inet firewalld"):
            found.append(f"{table} {chain}")
    return found


def _front_chain(listing: str) -> str:
    """The chain in which to accept; none where FORWARD lets everything pass, having no rule at all."""
    chains = set(_CHAIN.findall(listing))
    if "FORWARD" not in chains or _IDLE.search(listing):
        return ""
    return "DOCKER-USER" if "DOCKER-USER" in chains else "FORWARD"


def _insert(nft: Nftables, family: str, chain: str, bridges: Iterable[str], comment: str) -> None:
    present = [rule for rule, _ in _ours(_list(nft, f"list chain {family} filter {chain}"), comment)]
    commands = [
        f'insert rule {family} filter {chain} {direction} "{bridge}" counter accept comment "{comment}"'
        for bridge in bridges
        for direction in _DIRECTIONS
        if not any(rule.startswith(f'{direction} "{bridge}"') for rule in present)
    ]
    if commands:
        nft.run("\n".join(commands))


def _ours(listing: str, comment: str) -> Iterator[tuple[str, str]]:
    """Our rules in a chain: their text and handle."""
    for rule, said, handle in _RULE.findall(listing):
        if said == comment:
            yield rule, handle


def _list(nft: Nftables, command: str) -> str:
    try:
        return nft.run(command)
    except NftError:
        return ""


def _legacy() -> list[str]:
    """Programs for the old kernel interface, where its filter table is in use."""
    found = []
    for program, path in _LEGACY_TABLES.items():
        try:
            with open(path, encoding="ascii") as file:
                if "filter" in file.read().split():
                    found.append(program)
        except OSError:
            continue
    return found


def _legacy_rules(bridges: Iterable[str], comment: str) -> Iterator[tuple[str, ...]]:
    for bridge in bridges:
        for direction in ("-o", "-i"):
            yield direction, bridge, "-m", "comment", "--comment", comment, "-j", "ACCEPT"


def _has_firewalld(tables: str) -> bool:
    return "table inet firewalld" in tables or "table ip firewalld" in tables


def _quietly(*argv: str) -> bool:
    """Run a program; whether it succeeded. These firewalls are optional, and so is their answer."""
    return _finished(argv) is not None


def _run(*argv: str) -> str:
    done = _finished(argv)
    return done.stdout if done else ""


def _finished(argv: tuple[str, ...]) -> subprocess.CompletedProcess[str] | None:
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return None if done.returncode else done
