"""Answers to `WWW-Authenticate`: basic, and bearer tokens as registries hand them out.

See the distribution project's `token.md` and `oauth.md`, RFC 9110 section 11, RFC 6749 section 6.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from composer.errors import RegistryError
from composer.registry.http import Body

if TYPE_CHECKING:
    from composer.registry.credentials import Credentials
    from composer.registry.http import Http

_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_SCHEME = re.compile(rf"\s*({_WORD})(?:\s+|$|(?=,))")
_PARAMETER = re.compile(rf'\s*({_WORD})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|({_WORD}))\s*')
_LEAST_LIFE = 60.0
_EARLY = 10.0


class Challenge(NamedTuple):
    """One way in that a registry offers."""

    scheme: str
    parameters: dict[str, str]


def challenges(header: str) -> list[Challenge]:
    """Parse `WWW-Authenticate`, which may hold several challenges and commas inside quotes."""
    result: list[Challenge] = []
    position = 0
    while position < len(header):
        scheme = _SCHEME.match(header, position)
        if scheme is None:
            break
        position = scheme.end()
        parameters: dict[str, str] = {}
        while found := _PARAMETER.match(header, position):
            value = found[3] if found[2] is None else re.sub(r"\\(.)", r"\1", found[2])
            parameters[found[1].lower()] = value
            position = found.end()
            if header[position : position + 1] != ",":
                break
            position += 1
        result.append(Challenge(scheme[1].lower(), parameters))
        while header[position : position + 1] in (",", " "):
            position += 1
    return result


class _Token(NamedTuple):
    header: str
    expires: float


class Authenticator:
    """Knows how to get past one registry host.

    Args:
        http: Sends requests to the token service.
        credentials: Who we are, or None for anonymous.
    """

    def __init__(self, http: Http, credentials: Credentials | None) -> None:
        self._http = http
        self._credentials = credentials
        self._lock = threading.Lock()
        self._challenge: Challenge | None = None
        self._tokens: dict[tuple[str, ...], _Token] = {}

    @property
    def source(self) -> str:
        """Where the credentials were found, or empty for anonymous."""
        return self._credentials.source or "the login" if self._credentials else ""

    def header(self, scopes: tuple[str, ...]) -> str:
        """The Authorization to send at once, or empty when none is known to be needed."""
        with self._lock:
            challenge = self._challenge
            known = self._tokens.get(scopes)
        if challenge is None:
            return ""
        if known is not None and known.expires - _EARLY > time.monotonic():
            return known.header
        return self._answer(challenge, scopes)

    def answer(self, header: str, url: str, scopes: tuple[str, ...]) -> str:
        """The Authorization for a 401 whose challenge was *header*.

        Raises:
            RegistryError: There is no way in that we know, or the token service refused.
        """
        offered = {challenge.scheme: challenge for challenge in challenges(header)}
        bearer, basic = offered.get("bearer"), offered.get("basic")
        chosen = bearer or (basic if self._credentials else None)
        if chosen is None:
            if basic:
                raise RegistryError(
                    f"{urlsplit(url).netloc} wants a login", hint=f"composer login {urlsplit(url).netloc}"
                )
            raise RegistryError(f"{urlsplit(url).netloc} asks for an unknown kind of login: {header[:100]!r}")
        if bearer:
            realm = bearer.parameters.get("realm", "")
            scheme = urlsplit(realm).scheme
            if scheme not in ("http", "https") or (scheme == "http" and url.startswith("https:")):
                raise RegistryError(
                    f"{urlsplit(url).netloc} names the token service {realm[:200]!r}, unencrypted"
                )
        with self._lock:
            self._challenge = chosen
            self._tokens.pop(scopes, None)
        return self._answer(chosen, scopes)

    def _answer(self, challenge: Challenge, scopes: tuple[str, ...]) -> str:
        known = self._credentials
        if challenge.scheme == "basic":
            return _basic(known) if known else ""
        if known and known.registry_token:
            return f"Bearer {known.registry_token}"
        wanted = scopes or tuple(filter(None, [challenge.parameters.get("scope", "")]))
        token, life = self._fetch(challenge.parameters, wanted)
        header = f"Bearer {token}"
        with self._lock:
            self._tokens[scopes] = _Token(header, time.monotonic() + max(life, _LEAST_LIFE))
        return header

    def _fetch(self, parameters: dict[str, str], scopes: tuple[str, ...]) -> tuple[str, float]:
        """A bearer token and its life in seconds."""
        realm, service = parameters["realm"], parameters.get("service", "")
        known = self._credentials
        if known and known.identity_token:
            form = {
                "grant_type": "refresh_token",
                "service": service,
                "client_id": "composer",
                "scope": " ".join(scopes),
                "refresh_token": known.identity_token,
            }
            headers = {"content-type": "application/x-www-form-urlencoded"}
            response = self._http.request("POST", realm, headers, Body.of(urlencode(form).encode()))
            data = response.read()
            if response.status not in (404, 405):
                return self._token(response.status, data, realm)
        query = [("service", service)] if service else []
        query += [("scope", scope) for scope in scopes]
        headers = {}
        if known and known.username:
            query.append(("account", known.username))
            headers["authorization"] = _basic(known)
        url = realm + ("&" if "?" in realm else "?") + urlencode(query)
        response = self._http.request("GET", url, headers)
        return self._token(response.status, response.read(), realm)

    def _token(self, status: int, data: bytes, realm: str) -> tuple[str, float]:
        host = urlsplit(realm).netloc
        if status in (400, 401, 403):
            if self._credentials:
                raise RegistryError(
                    f"{host} refused the credentials from {self.source}",
                    hint="log in again with: composer login",
                )
            raise RegistryError(f"{host} gives no token to strangers", hint="log in with: composer login")
        if status != 200:
            raise RegistryError(f"{host} answered {status} when asked for a token")
        try:
            document: dict[str, Any] = json.loads(data)
            token = document.get("token") or document.get("access_token")
            life = float(document.get("expires_in") or _LEAST_LIFE)
        except (ValueError, TypeError, AttributeError) as error:
            raise RegistryError(f"{host} sent no token: {error}") from error
        if not isinstance(token, str) or not token or not token.isascii() or any(c < "!" for c in token):
            raise RegistryError(f"{host} sent no token")
        return token, life


def _basic(credentials: Credentials) -> str:
    pair = f"{credentials.username}:{credentials.password}"
    return "Basic " + base64.b64encode(pair.encode()).decode()
