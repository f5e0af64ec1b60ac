"""How registries are reached: timeouts, proxies, certificates, plain http, mirrors.

Read from the environment, from Docker's `daemon.json` (`registry-mirrors`, `insecure-registries`) and
`certs.d`, and from podman's `registries.conf`, so that what a machine is set up for holds here too.
"""

from __future__ import annotations

import json
import os
import ssl
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from composer.errors import RegistryError
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

DOCKER_HUB = "docker.io"
DOCKER_HUB_HOST = "registry-1.docker.io"


class Host(NamedTuple):
    """One place that serves a repository.

    Attributes:
        host: `host[:port]`.
        schemes: In the order in which they are tried.
        prefix: Path before the repository's name.
        mirror_of: The registry it mirrors, or empty for the registry itself.
    """

    host: str
    schemes: tuple[str, ...]
    prefix: str = ""
    mirror_of: str = ""


@frozen
class Settings:
    """Everything that configuration says about registries.

    Attributes:
        connect_timeout: Seconds for TCP and TLS.
        idle_timeout: Seconds without a byte before a transfer is given up.
        tries: How often a request is sent at most.
        pause: Seconds before the second try; trebled for each further one.
        longest_pause: Most seconds that a Retry-After is obeyed.
        insecure: Hosts that may be spoken to by http and without certificate checks.
        mirrors: Registry -> mirrors, in order.
        blocked: Registries that must not be contacted.
        environ: For proxies.
        certificates: Directories like /etc/docker/certs.d.
    """

    connect_timeout: float = 10.0
    idle_timeout: float = 60.0
    tries: int = 4
    pause: float = 1.0
    longest_pause: float = 60.0
    insecure: frozenset[str] = frozenset()
    mirrors: Mapping[str, tuple[Host, ...]] = field(default_factory=dict)
    blocked: frozenset[str] = frozenset()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    certificates: tuple[Path, ...] = (Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None, *, etc: Path = Path("/etc")) -> Settings:
        """Read the machine's configuration.

        COMPOSER_INSECURE_REGISTRIES and COMPOSER_REGISTRY_MIRRORS (for Docker Hub) are lists with commas.

        Raises:
            RegistryError: A file is malformed.
        """
        env = os.environ if environ is None else environ
        insecure = set(_words(env.get("COMPOSER_INSECURE_REGISTRIES", "")))
        mirrors: dict[str, list[Host]] = {}
        for url in _words(env.get("COMPOSER_REGISTRY_MIRRORS", "")):
            mirrors.setdefault(DOCKER_HUB, []).append(_mirror(url, DOCKER_HUB))
        blocked: set[str] = set()
        daemon = _read_json(etc / "docker" / "daemon.json")
        insecure.update(map(str, daemon.get("insecure-registries") or ()))
        for url in daemon.get("registry-mirrors") or ():
            mirrors.setdefault(DOCKER_HUB, []).append(_mirror(str(url), DOCKER_HUB))
        for entry in _registries_conf(etc / "containers" / "registries.conf"):
            name = str(entry.get("prefix") or entry.get("location") or "")
            if entry.get("insecure"):
                insecure.add(str(entry.get("location") or name))
            if entry.get("blocked"):
                blocked.add(name)
            for mirror in entry.get("mirror") or ():
                location = str(mirror.get("location") or "")
                host, _, prefix = location.partition("/")
                if mirror.get("insecure"):
                    insecure.add(host)
                schemes = ("https", "http") if mirror.get("insecure") or is_loopback(host) else ("https",)
                mirrors.setdefault(name, []).append(Host(host, schemes, prefix, name))
        return cls(
            insecure=frozenset(insecure),
            mirrors={name: tuple(hosts) for name, hosts in mirrors.items()},
            blocked=frozenset(blocked),
            environ=env,
            certificates=(etc / "docker" / "certs.d", etc / "containers" / "certs.d"),
        )

    def hosts(self, domain: str, *, pushing: bool = False) -> tuple[Host, ...]:
        """Where repositories of *domain* are found: its mirrors (never for pushing), then itself.

        Raises:
            RegistryError: The machine's configuration blocks it.
        """
        if domain in self.blocked:
            raise RegistryError(f"registry {domain} is blocked by this machine's registries.conf")
        host = DOCKER_HUB_HOST if domain == DOCKER_HUB else domain
        plain = is_loopback(domain) or self.is_insecure(domain)
        own = Host(host, ("https", "http") if plain else ("https",))
        return (own,) if pushing else (*self.mirrors.get(domain, ()), own)

    def is_insecure(self, host: str) -> bool:
        """Whether configuration allows plain http and unknown certificates."""
        return host in self.insecure or host.rpartition(":")[0] in self.insecure

    def proxy_for(self, scheme: str, host: str) -> str:
        """The proxy's URL for *host*, or empty. Loopback never goes through one."""
        if is_loopback(host):
            return ""
        name = f"{scheme}_proxy"
        proxy = self.environ.get(name) or self.environ.get(name.upper()) or ""
        excluded = self.environ.get("no_proxy") or self.environ.get("NO_PROXY") or ""
        if not proxy or any(_excluded(host, pattern) for pattern in _words(excluded)):
            return ""
        return proxy if "://" in proxy else f"http://{proxy}"

    def tls_context(self, host: str, port: int) -> ssl.SSLContext:
        """System certificates (SSL_CERT_FILE is obeyed), plus those in `certs.d/HOST[:PORT]`.

        Raises:
            RegistryError: A certificate file is malformed.
        """
        context = ssl.create_default_context()
        name = host if port == 443 else f"{host}:{port}"
        if self.is_insecure(name) or self.is_insecure(f"{host}:{port}"):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        for base in self.certificates:
            for directory in (base / f"{host}:{port}", base / host):
                _load_certificates(context, directory)
        return context


def is_loopback(host: str) -> bool:
    """Whether `host[:port]` can only be this machine."""
    import ipaddress

    name = host
    if host.startswith("["):
        name = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        name = host.partition(":")[0]
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _load_certificates(context: ssl.SSLContext, directory: Path) -> None:
    try:
        files = sorted(directory.iterdir())
    except OSError:
        return
    try:
        for file in files:
            if file.suffix == ".crt":
                context.load_verify_locations(cafile=file)
            elif file.suffix == ".cert" and file.with_suffix(".key").exists():
                context.load_cert_chain(file, file.with_suffix(".key"))
    except (OSError, ssl.SSLError) as error:
        raise RegistryError(f"a certificate in {directory} cannot be used: {error}") from error


def _excluded(host: str, pattern: str) -> bool:
    bare = pattern.removeprefix("*").lstrip(".").rpartition(":")[0] or pattern.removeprefix("*").lstrip(".")
    return pattern == "*" or host == bare or host.endswith(f".{bare}")


def _mirror(url: str, registry: str) -> Host:
    parts = urlsplit(url if "://" in url else f"https://{url}")
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise RegistryError(f"{url!r} is no address of a mirror")
    return Host(parts.netloc, (parts.scheme,), parts.path.strip("/"), registry)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except OSError:
        return {}
    except ValueError as error:
        raise RegistryError(f"{path} is not JSON: {error}") from error
    return document if isinstance(document, dict) else {}


def _registries_conf(path: Path) -> Iterable[dict[str, Any]]:
    try:
        data = path.read_text()
    except (OSError, UnicodeDecodeError):
        return ()
    import tomllib

    try:
        entries = tomllib.loads(data).get("registry") or ()
    except tomllib.TOMLDecodeError as error:
        raise RegistryError(f"{path} is not TOML: {error}") from error
    return entries if isinstance(entries, list) else ()
