"""Connections to registries: TCP, TLS, proxies, a pool, and a way to end all of them at once."""

from __future__ import annotations

import base64
import ipaddress
import socket
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from composer.errors import RegistryError

if TYPE_CHECKING:
    from composer.registry.settings import Settings

_IDLE_PER_HOST = 8


class TransportError(RegistryError):
    """A connection could not be made, broke, or took too long; trying again may help.

    Args:
        message: What happened.
        before_answer: No byte of an answer had come.
    """

    def __init__(self, message: str, *, before_answer: bool = False, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.before_answer = before_answer


class Aborted(RegistryError):  # noqa: N818 - an interruption is not an error of anybody
    """Somebody ended the transfer."""


class Abort:
    """Ends blocked transfers from another thread."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()

    def is_set(self) -> bool:
        """Whether everything is to end."""
        return self._event.is_set()

    def set(self) -> None:
        """End everything: blocked reads and writes fail at once."""
        self._event.set()
        with self._lock:
            for connection in self._sockets:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def check(self) -> None:
        """Raise when the end came.

        Raises:
            Aborted: It did.
        """
        if self._event.is_set():
            raise Aborted("interrupted")

    def wait(self, seconds: float) -> None:
        """Pause, but not longer than until the end.

        Raises:
            Aborted: The end came.
        """
        if self._event.wait(seconds):
            raise Aborted("interrupted")

    def watch(self, connection: socket.socket) -> None:
        """Let `set` break this connection too."""
        with self._lock:
            self._sockets.add(connection)

    def unwatch(self, connection: socket.socket) -> None:
        """No longer."""
        with self._lock:
            self._sockets.discard(connection)


class Endpoint(NamedTuple):
    """Where a connection goes."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Endpoint:
        """The endpoint of *url*.

        Raises:
            RegistryError: It is no web address.
        """
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise RegistryError(f"{url[:200]!r} is no address: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RegistryError(f"{url[:200]!r} is no web address")
        return cls(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80))

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Pool:
    """Idle connections by endpoint.

    Args:
        settings: Timeouts, proxies, certificates.
        abort: Learns of every connection.
    """

    def __init__(self, settings: Settings, abort: Abort) -> None:
        self._settings = settings
        self._abort = abort
        self._lock = threading.Lock()
        self._idle: dict[Endpoint, list[socket.socket]] = {}
        self._contexts: dict[str, ssl.SSLContext] = {}

    def take(self, endpoint: Endpoint, *, fresh: bool = False) -> tuple[socket.socket, bool]:
        """A connection, and whether it was used before.

        Raises:
            TransportError: None could be made.
        """
        with self._lock:
            idle = self._idle.get(endpoint)
            if idle and not fresh:
                return idle.pop(), True
        self._abort.check()
        return self._connect(endpoint), False

    def give_back(self, endpoint: Endpoint, connection: socket.socket) -> None:
        """Keep a connection whose answer was read completely."""
        with self._lock:
            idle = self._idle.setdefault(endpoint, [])
            if len(idle) < _IDLE_PER_HOST:
                idle.append(connection)
                return
        self.discard(connection)

    def discard(self, connection: socket.socket) -> None:
        """Close one."""
        self._abort.unwatch(connection)
        connection.close()

    def close(self) -> None:
        """Close all idle ones."""
        with self._lock:
            connections = [connection for idle in self._idle.values() for connection in idle]
            self._idle.clear()
        for connection in connections:
            self.discard(connection)

    def is_forwarded(self, endpoint: Endpoint) -> bool:
        """Whether requests to it name the whole URL, because a proxy carries them on."""
        return endpoint.scheme == "http" and bool(self._settings.proxy_for(endpoint.scheme, endpoint.host))

    def proxy_headers(self, endpoint: Endpoint) -> dict[str, str]:
        """Credentials for the proxy, when its URL has some."""
        parts = urlsplit(self._settings.proxy_for(endpoint.scheme, endpoint.host))
        if not parts.username:
            return {}
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return {"proxy-authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def _connect(self, endpoint: Endpoint) -> socket.socket:
        from composer.registry.http import reason

        proxy = self._settings.proxy_for(endpoint.scheme, endpoint.host)
        place = Endpoint.of(proxy) if proxy else endpoint
        connection: socket.socket | None = None
        try:
            connection = socket.create_connection(
                (place.host, place.port), timeout=self._settings.connect_timeout
            )
            _refuse_metadata(connection, endpoint)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if proxy and endpoint.scheme == "https":
                self._tunnel(connection, endpoint)
            if endpoint.scheme == "https":
                context = self._context(endpoint)
                connection = context.wrap_socket(connection, server_hostname=endpoint.host)
            connection.settimeout(self._settings.idle_timeout)
        except OSError as error:
            if connection is not None:
                connection.close()
            through = f" through the proxy {place}" if proxy else ""
            hint = ""
            if isinstance(error, ssl.SSLError) and "WRONG_VERSION_NUMBER" in str(error):
                hint = "it speaks plain http; name it in COMPOSER_INSECURE_REGISTRIES if that is meant"
            raise TransportError(
                f"cannot connect to {endpoint}{through}: {reason(error)}", before_answer=True, hint=hint
            ) from error
        self._abort.watch(connection)
        return connection

    def _tunnel(self, connection: socket.socket, endpoint: Endpoint) -> None:
        """CONNECT through a proxy; RFC 9110, 9.3.6."""
        name = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        lines = [f"CONNECT {name}:{endpoint.port} HTTP/1.1", f"Host: {name}:{endpoint.port}"]
        lines += [f"{key}: {value}" for key, value in self.proxy_headers(endpoint).items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = connection.recv(1)
            if not piece or len(answer) > 65536:
                raise ConnectionError("the proxy closed the connection")
            answer += piece
        status = answer.split(b"\r\n", 1)[0].decode("latin-1")
        if status.split(" ")[1:2] != ["200"]:
            raise ConnectionError(f"the proxy answered {status!r}")

    def _context(self, endpoint: Endpoint) -> ssl.SSLContext:
        key = str(endpoint)
        with self._lock:
            known = self._contexts.get(key)
        if known is None:
            known = self._settings.tls_context(endpoint.host, endpoint.port)
            with self._lock:
                self._contexts[key] = known
        return known


def _refuse_metadata(connection: socket.socket, endpoint: Endpoint) -> None:
    """No registry lives on a link-local address; clouds serve a machine's own credentials there."""
    address = ipaddress.ip_address(connection.getpeername()[0].partition("%")[0])
    if address.is_link_local:
        connection.close()
        raise RegistryError(f"{endpoint} is a link-local address, where no registry can be")
