"""The files that tell a container about names: /etc/hosts and /etc/resolv.conf. Only the host's are read."""

from __future__ import annotations

import ipaddress
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from composer.errors import EngineError
from composer.frozen import frozen
from composer.namespaces.network.dnat import DNS_ADDRESS
from composer.values import is_address

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from composer.engine import ContainerConfig, Endpoint
    from composer.namespaces.network.setups import EndpointSetup

_LOOPBACK_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
_HOSTS_LIMIT = 1 << 20
RESOLV_CONF = "/etc/resolv.conf"
_SYSTEMD_RESOLV_CONF = "/run/systemd/resolve/resolv.conf"


@frozen
class ResolvConf:
    """What a resolv.conf(5) says."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def hosts_file(config: ContainerConfig, setups: Sequence[EndpointSetup], host_gateway: str) -> str:
    """The content of /etc/hosts.

    Args:
        config: The container.
        setups: Its endpoints; none with the host's network.
        host_gateway: What `host-gateway` in extra_hosts stands for.

    Raises:
        EngineError: An entry of extra_hosts is not `name=address`, or needs a gateway and there is none.
    """
    lines = [_read("/etc/hosts") if config.network_mode == "host" else _LOOPBACK_HOSTS]
    if not lines[0].endswith("\n"):
        lines.append("\n")
    for entry in config.extra_hosts:
        name, _, address = entry.partition("=")
        lines.append(f"{_extra_address(entry, address, host_gateway)}\t{name}\n")
    return "".join([*lines, *own_lines(config, setups)])


def own_lines(config: ContainerConfig, places: Iterable[EndpointSetup | Endpoint]) -> list[str]:
    """The lines of /etc/hosts with the container's own addresses on some networks."""
    hostname = config.hostname or config.id[:12]
    names = f"{hostname}.{config.domainname} {hostname}" if config.domainname else hostname
    return [
        f"{address}\t{names}\n"
        for place in places
        for address in (place.ipv4_address, place.ipv6_address)
        if address
    ]


def edit_hosts(path: Path, joined: Sequence[str], left: Sequence[str]) -> None:
    """Change lines of a running container's /etc/hosts; what the container wrote itself stays.

    Args:
        path: The file that is mounted there: it is written in place. One of more than 1 MiB is left alone.
        joined: Lines to add.
        left: Lines to take away.
    """
    with suppress(OSError), open(path, "r+b") as file:
        text = file.read(_HOSTS_LIMIT + 1)
        if len(text) > _HOSTS_LIMIT:
            return
        gone = {line.encode() for line in left}
        lines = [line for line in text.splitlines(keepends=True) if line not in gone]
        if lines and not lines[-1].endswith(b"\n"):
            lines[-1] += b"\n"
        lines += [line for line in (entry.encode() for entry in joined) if line not in lines]
        file.seek(0)
        file.write(b"".join(lines))
        file.truncate()


def _extra_address(entry: str, address: str, host_gateway: str) -> str:
    if address == "host-gateway":
        if not host_gateway:
            raise EngineError(
                f"extra_hosts: '{entry}' needs a bridge network to reach the host by",
                hint="join a network with driver bridge, or write the host's address",
                about="extra_hosts",
            )
        return host_gateway
    try:
        return str(ipaddress.ip_address(address.strip("[]")))
    except ValueError:
        raise EngineError(f"extra_hosts: '{entry}' does not end in an address", about="extra_hosts") from None


def resolv_conf(config: ContainerConfig) -> str:
    """The content of /etc/resolv.conf: our resolver for a container on networks, else the host's servers."""
    host = host_resolv_conf()
    search = config.dns_search or host.search
    options = config.dns_options or host.options
    if config.network_mode == "bridge" and config.attachments:
        servers: Sequence[str] = (DNS_ADDRESS,)
        if not any(option.startswith("ndots") for option in options):
            options = (*options, "ndots:0")
    else:
        servers = config.dns or _direct_servers(config, host)
    lines = [f"nameserver {server}\n" for server in servers]
    search = tuple(domain for domain in search if domain != ".")
    if search:
        lines.append(f"search {' '.join(search)}\n")
    if options:
        lines.append(f"options {' '.join(options)}\n")
    return "".join(lines)


def _direct_servers(config: ContainerConfig, host: ResolvConf) -> Sequence[str]:
    if config.network_mode == "host":
        return parse(_read(RESOLV_CONF)).servers
    return tuple(server for server in host.servers if not is_loopback(server))


def host_resolv_conf() -> ResolvConf:
    """The host's, with systemd-resolved's own servers instead of its stub on a loopback address."""
    conf = parse(_read(RESOLV_CONF))
    if conf.servers and all(is_loopback(server) for server in conf.servers):
        real = parse(_read(_SYSTEMD_RESOLV_CONF))
        if real.servers:
            return ResolvConf(real.servers, conf.search, conf.options)
    return conf


class HostServers:
    """The host's name servers, read again when the files change (a laptop that changes networks)."""

    def __init__(self) -> None:
        self._stamp: tuple[object, ...] = ()
        self._servers: tuple[str, ...] = ()

    def __call__(self) -> tuple[str, ...]:
        """Up to three servers, in order."""
        stamp = tuple(_stamp(path) for path in (RESOLV_CONF, _SYSTEMD_RESOLV_CONF))
        if stamp != self._stamp:
            self._servers = host_resolv_conf().servers[:3]
            self._stamp = stamp
        return self._servers


def parse(text: str) -> ResolvConf:
    """Read resolv.conf(5): of `search` and `domain` the last one counts, options add up."""
    servers: list[str] = []
    search: tuple[str, ...] = ()
    options: list[str] = []
    for line in text.splitlines():
        words = line.split("#")[0].split(";")[0].split()
        match words:
            case ["nameserver", address, *_] if is_address(address):
                servers.append(address)
            case ["search" | "domain", *domains]:
                search = tuple(domains)
            case ["options", *found]:
                options += found
    return ResolvConf(tuple(servers), search, tuple(options))


def is_loopback(server: str) -> bool:
    """Whether a name server's address means the machine that asks."""
    return ipaddress.ip_address(server.partition("%")[0]).is_loopback


def _stamp(path: str) -> object:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except OSError:
        return ""
