"""Who we are at which registry: Docker's `config.json` with its helpers, and podman's `auth.json`.

Read on every look-up and written as Docker writes it, so that both programs share one login.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from composer.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping

HUB_KEY = "https://index.docker.io/v1/"
_HELPER_NAME = re.compile(r"[A-Za-z0-9._-]+")
_HELPER_SECONDS = 30
_NOT_FOUND = "credentials not found"


class Credentials(NamedTuple):
    """What a registry wants to know. A token stands alone.

    Attributes:
        username: Name, empty when only a token is known.
        password: Password or personal access token.
        identity_token: OAuth2 refresh token.
        registry_token: A bearer token that is sent as it is.
        source: Where it was found, for messages.
    """

    username: str = ""
    password: str = ""
    identity_token: str = ""
    registry_token: str = ""
    source: str = ""


class Keychain:
    """Finds, stores and removes credentials.

    Args:
        environ: DOCKER_CONFIG, HOME, REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR, DOCKER_AUTH_CONFIG.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        self._environ = os.environ if environ is None else environ

    @property
    def path(self) -> Path:
        """Docker's config.json."""
        directory = self._environ.get("DOCKER_CONFIG")
        home = self._environ.get("HOME") or os.path.expanduser("~")
        return Path(directory or Path(home, ".docker")) / "config.json"

    def find(self, domain: str, repository: str = "") -> Credentials | None:
        """The credentials for a registry, or None.

        Args:
            domain: The registry as names spell it: `docker.io`, `localhost:5000`.
            repository: For podman's entries, which may name a path.

        Raises:
            RegistryError: A file is malformed, or a helper failed.
        """
        inline = self._environ.get("DOCKER_AUTH_CONFIG")
        if inline and (found := _auths(_parse(inline, "DOCKER_AUTH_CONFIG"), domain, repository)):
            return found._replace(source="DOCKER_AUTH_CONFIG")
        config = _read(self.path)
        helpers = config.get("credHelpers") or {}
        for key, helper in helpers.items():
            if _host(key) == _host(domain):
                return self._ask(str(helper), domain)
        if store := config.get("credsStore"):
            stored = self._ask(str(store), domain)
            if stored:
                return stored
        if found := _auths(config, domain, repository):
            return found._replace(source=str(self.path))
        for path in self._podman_files():
            if found := _auths(_read(path), domain, repository):
                return found._replace(source=str(path))
        return None

    def store(self, domain: str, credentials: Credentials) -> str:
        """Keep credentials, in the helper if there is one; returns where they are now.

        Raises:
            RegistryError: They cannot be written.
        """
        config = _read(self.path)
        helper = self._helper(config, domain)
        if helper:
            token = credentials.identity_token
            self._run(
                helper,
                "store",
                json.dumps(
                    {
                        "ServerURL": _key(domain),
                        "Username": "<token>" if token else credentials.username,
                        "Secret": token or credentials.password,
                    }
                ),
            )
            return f"docker-credential-{helper}"
        pair = f"{credentials.username}:{credentials.password}"
        entry: dict[str, str] = {"auth": base64.b64encode(pair.encode()).decode()}
        if credentials.identity_token:
            entry["identitytoken"] = credentials.identity_token
        config.setdefault("auths", {})[_key(domain)] = entry
        self._write(config)
        return str(self.path)

    def erase(self, domain: str) -> bool:
        """Forget the credentials of a registry; returns whether there were any.

        Raises:
            RegistryError: The file cannot be written.
        """
        config = _read(self.path)
        helper = self._helper(config, domain)
        known = False
        if helper:
            known = self._ask(helper, domain) is not None
            if known:
                self._run(helper, "erase", _key(domain))
        auths = config.get("auths") or {}
        for key in [key for key in auths if _host(key) == _host(_key(domain))]:
            del auths[key]
            known = True
            self._write(config)
        return known

    def _helper(self, config: dict[str, Any], domain: str) -> str:
        for key, helper in (config.get("credHelpers") or {}).items():
            if _host(key) == _host(domain):
                return str(helper)
        return str(config.get("credsStore") or "")

    def _ask(self, helper: str, domain: str) -> Credentials | None:
        answer = self._run(helper, "get", _key(domain))
        if answer is None:
            return None
        document = _parse(answer, f"docker-credential-{helper}")
        user, secret = str(document.get("Username") or ""), str(document.get("Secret") or "")
        source = f"docker-credential-{helper}"
        if user == "<token>":
            return Credentials(identity_token=secret, source=source)
        return Credentials(user, secret, source=source) if user or secret else None

    def _run(self, helper: str, action: str, text: str) -> str | None:
        """Run a credential helper; None when it knows nothing."""
        if not _HELPER_NAME.fullmatch(helper):
            raise RegistryError(f"{helper!r} in {self.path} is no name of a credential helper")
        program = f"docker-credential-{helper}"
        try:
            done = subprocess.run(
                [program, action],
                input=text,
                capture_output=True,
                text=True,
                timeout=_HELPER_SECONDS,
                check=False,
                env=dict(self._environ),
            )
        except FileNotFoundError:
            raise RegistryError(
                f"{self.path} names the credential helper {program}, which is not installed",
                hint=f"install it, or remove it from {self.path}",
            ) from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise RegistryError(f"{program} {action} failed: {error}") from error
        if done.returncode:
            message = (done.stdout + done.stderr).strip()
            if _NOT_FOUND in message:
                return None
            raise RegistryError(f"{program} {action} failed: {message or done.returncode}")
        return done.stdout

    def _write(self, config: dict[str, Any]) -> None:
        from composer.state.files import write_atomic

        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        target = self.path.resolve() if self.path.is_symlink() else self.path
        write_atomic(target, json.dumps(config, indent="\t").encode() + b"\n", mode=0o600)

    def _podman_files(self) -> list[Path]:
        result = []
        if path := self._environ.get("REGISTRY_AUTH_FILE"):
            result.append(Path(path))
        runtime = self._environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
        return [*result, Path(runtime, "containers", "auth.json")]


def _key(domain: str) -> str:
    return HUB_KEY if domain == "docker.io" else domain


def _host(key: str) -> str:
    """The registry that a key of config.json means."""
    host = key.partition("://")[2] if "://" in key else key
    host = host.partition("/")[0]
    return "docker.io" if host in ("index.docker.io", "registry-1.docker.io") else host


def _auths(config: dict[str, Any], domain: str, repository: str) -> Credentials | None:
    auths = config.get("auths") or {}
    if not isinstance(auths, dict):
        return None
    path = f"{domain}/{repository}" if repository else domain
    while path:
        if isinstance(entry := auths.get(path), dict) and (found := _decode(entry)):
            return found
        path = path.rpartition("/")[0]
    for key, entry in auths.items():
        if _host(key) == _host(domain) and isinstance(entry, dict) and (found := _decode(entry)):
            return found
    return None


def _decode(entry: dict[str, Any]) -> Credentials | None:
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if auth := entry.get("auth"):
        try:
            text = base64.b64decode(str(auth), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise RegistryError("an `auth` entry of the Docker configuration is not base64") from error
        user, _, password = text.rstrip("\0").partition(":")
    found = Credentials(
        user, password, str(entry.get("identitytoken") or ""), str(entry.get("registrytoken") or "")
    )
    return found if any(found) else None


def _read(path: Path) -> dict[str, Any]:
    try:
        return _parse(path.read_text(), str(path))
    except OSError:
        return {}


def _parse(text: str, where: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise RegistryError(f"{where} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise RegistryError(f"{where} is not a JSON object")
    return document
