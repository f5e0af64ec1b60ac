"""A small HTTP/1.1 client for registries: blocking sockets for worker threads, h11 for the protocol.

A blob is read by the thread that hashes and unpacks it, straight from the socket into large pieces; that is
several times cheaper per byte than handing pieces from an event loop to a thread. See
`docs/decisions/registry-client.md`. RFC 9110, RFC 9112.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from composer import __version__
from composer.errors import RegistryError
from composer.frozen import frozen
from composer.registry.transport import Abort, Endpoint, Pool, TransportError

if TYPE_CHECKING:
    from composer.registry.settings import Settings

_PIECE = 1 << 20
_REDIRECTS = 5
_HEAD_LIMIT = 1 << 18

Headers = Mapping[str, str]


@frozen
class Body:
    """What a request carries; opened again for every attempt.

    Attributes:
        open: Returns the chunks.
        size: Bytes of all chunks.
    """

    open: Callable[[], Iterable[bytes]]
    size: int

    @classmethod
    def of(cls, data: bytes) -> Body:
        """A body of these bytes."""
        return cls(lambda: (data,), len(data))


@dataclass(slots=True)
class Response:
    """An answer. Read it to its end or close it; a connection goes back to the pool at the end.

    Attributes:
        status: Status code.
        headers: Lower-case names; a repeated header's values are joined by `, `.
        url: Where it came from, after redirects.
    """

    status: int
    headers: dict[str, str]
    url: str
    _chunks: Iterator[bytes] = field(default_factory=lambda: iter(()))
    _release: Callable[[bool], None] = lambda _: None

    def chunks(self) -> Iterator[bytes]:
        """The content in pieces.

        Raises:
            TransportError: The connection broke, or was closed too early.
        """
        try:
            yield from self._chunks
        except BaseException:
            self.close()
            raise
        self._release(True)

    def read(self, limit: int = 1 << 22) -> bytes:
        """The whole content.

        Raises:
            RegistryError: It is larger than *limit* bytes.
            TransportError: The connection broke.
        """
        parts, size = [], 0
        for chunk in self.chunks():
            size += len(chunk)
            if size > limit:
                self.close()
                raise RegistryError(f"{self.url} sent more than {limit} bytes")
            parts.append(chunk)
        return b"".join(parts)

    def close(self) -> None:
        """Give up the rest."""
        self._release(False)


class Http:
    """Sends requests; safe to use from several threads.

    Args:
        settings: Timeouts, proxies, certificates.
        abort: Ends everything that is under way.
    """

    def __init__(self, settings: Settings, abort: Abort | None = None) -> None:
        self.settings = settings
        self.abort = abort or Abort()
        self._pool = Pool(settings, self.abort)
        self._warned: set[str] = set()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()

    def request(
        self, method: str, url: str, headers: Headers | None = None, body: Body | None = None
    ) -> Response:
        """Send a request and return the answer's head; redirects of GET and HEAD are followed.

        Credentials are not sent on to another host.

        Raises:
            TransportError: No connection, a timeout, or the connection broke.
            RegistryError: The answer is no HTTP, or redirects where it must not.
        """
        sent = dict(headers or {})
        for _ in range(_REDIRECTS + 1):
            response = self._send(method, url, sent, body)
            target = response.headers.get("location", "")
            if (
                response.status not in (301, 302, 303, 307, 308)
                or not target
                or method not in ("GET", "HEAD")
            ):
                return response
            response.read()
            following = urljoin(url, target)
            check_redirect(url, following)
            if origin(following) != origin(url):
                sent.pop("authorization", None)
            url = following
        raise RegistryError(f"{url} redirects too often")

    def _send(self, method: str, url: str, headers: Headers, body: Body | None) -> Response:
        endpoint = Endpoint.of(url)
        for fresh in (False, True):
            connection, reused = self._pool.take(endpoint, fresh=fresh)
            try:
                return self._exchange(connection, endpoint, method, url, headers, body)
            except TransportError as error:
                self._pool.discard(connection)
                # A server may close an idle connection at any time: that request is sent again, once.
                if reused and error.before_answer:
                    continue
                raise
            except BaseException:
                self._pool.discard(connection)
                raise
        raise TransportError(f"{endpoint} closed every connection")

    def _exchange(
        self,
        connection: socket.socket,
        endpoint: Endpoint,
        method: str,
        url: str,
        headers: Headers,
        body: Body | None,
    ) -> Response:
        import h11

        protocol = h11.Connection(our_role=h11.CLIENT, max_incomplete_event_size=_HEAD_LIMIT)
        parts = urlsplit(url)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        outgoing = {
            "host": parts.netloc.rpartition("@")[2],
            "user-agent": f"composer/{__version__}",
            **headers,
        }
        if body is not None:
            outgoing["content-length"] = str(body.size)
        elif method in ("POST", "PUT", "PATCH"):
            outgoing["content-length"] = "0"
        if self._pool.is_forwarded(endpoint):
            target = url
            outgoing.update(self._pool.proxy_headers(endpoint))
        try:
            request = h11.Request(method=method, target=target, headers=list(outgoing.items()))
            head = protocol.send(request) or b""
        except h11.LocalProtocolError as error:
            raise RegistryError(f"{method} {url} cannot be sent: {error}") from error
        early = self._write(connection, endpoint, head, protocol, body)
        try:
            status, fields = self._receive(connection, endpoint, protocol)
            url_and_method = (url, method if early is None else "")
            return self._response(connection, endpoint, protocol, status, fields, url_and_method)
        except TransportError as error:
            # The answer may explain why the server stopped reading; without one the write error does.
            raise (early or error) from error

    def _write(
        self, connection: socket.socket, endpoint: Endpoint, head: bytes, protocol: Any, body: Body | None
    ) -> TransportError | None:
        import h11

        sent_all = False
        try:
            connection.sendall(head)
            if body is not None:
                for chunk in body.open():
                    self.abort.check()
                    protocol.send_with_data_passthrough(h11.Data(data=chunk))
                    connection.sendall(chunk)
            sent_all = True
        except OSError as error:
            if not sent_all and body is not None:
                return TransportError(f"{endpoint} stopped reading: {reason(error)}")
            raise TransportError(f"{endpoint}: {reason(error)}", before_answer=True) from error
        protocol.send(h11.EndOfMessage())
        return None

    def _receive(
        self, connection: socket.socket, endpoint: Endpoint, protocol: Any
    ) -> tuple[int, dict[str, str]]:
        """Status and headers of the final answer."""
        import h11

        started = False
        try:
            while True:
                event = protocol.next_event()
                if event is h11.NEED_DATA:
                    data = connection.recv(_PIECE)
                    if not data and not started:
                        raise TransportError(f"{endpoint} closed the connection", before_answer=True)
                    started = True
                    protocol.receive_data(data)
                    continue
                if isinstance(event, h11.Response):
                    break
                if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                    raise TransportError(f"{endpoint} closed the connection")
        except h11.RemoteProtocolError as error:
            raise RegistryError(f"{endpoint} does not speak HTTP: {error}") from error
        except OSError as error:
            raise TransportError(f"{endpoint}: {reason(error)}", before_answer=not started) from error
        headers: dict[str, str] = {}
        for raw_name, raw_value in event.headers:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        return event.status_code, headers

    def _response(
        self,
        connection: socket.socket,
        endpoint: Endpoint,
        protocol: Any,
        status: int,
        headers: dict[str, str],
        url_and_method: tuple[str, str],
    ) -> Response:
        """The answer; an empty method means that the request was not sent to its end."""
        import h11

        url, method = url_and_method

        done = threading.Event()
        persistent = (
            method != ""
            and headers.get("connection", "").lower() != "close"
            and protocol.their_state is not h11.MUST_CLOSE
            and protocol.their_http_version != b"1.0"
        )

        def release(complete: bool) -> None:  # noqa: FBT001 - called as Response._release
            if not done.is_set():
                done.set()
                if complete and persistent:
                    self._pool.give_back(endpoint, connection)
                else:
                    self._pool.discard(connection)

        length = headers.get("content-length", "")
        if method == "HEAD" or status in (204, 304) or length == "0":
            release(True)
            return Response(status, headers, url)
        if length.isdigit() and "transfer-encoding" not in headers:
            rest, _ = protocol.trailing_data
            chunks = self._counted(connection, endpoint, bytes(rest), int(length))
        else:
            chunks = self._framed(connection, endpoint, protocol)
        return Response(status, headers, url, chunks, release)

    def _counted(
        self, connection: socket.socket, endpoint: Endpoint, rest: bytes, length: int
    ) -> Iterator[bytes]:
        """A body of known length, past h11: no copy, no parsing."""
        left = length
        if len(rest) > left:
            raise RegistryError(f"{endpoint} sent more than it announced")
        if rest:
            left -= len(rest)
            yield rest
        while left:
            piece = self._receive_piece(connection, endpoint, min(left, _PIECE))
            left -= len(piece)
            yield piece

    def _receive_piece(self, connection: socket.socket, endpoint: Endpoint, size: int) -> bytes:
        try:
            piece = connection.recv(size)
        except OSError as error:
            raise TransportError(f"{endpoint}: {reason(error)}") from error
        finally:
            self.abort.check()
        if not piece:
            raise TransportError(f"{endpoint} closed the connection in the middle of an answer")
        return piece

    def _framed(self, connection: socket.socket, endpoint: Endpoint, protocol: Any) -> Iterator[bytes]:
        """A chunked body, or one that ends with the connection."""
        import h11

        try:
            while True:
                event = protocol.next_event()
                if event is h11.NEED_DATA:
                    try:
                        protocol.receive_data(connection.recv(_PIECE))
                    except OSError as error:
                        raise TransportError(f"{endpoint}: {reason(error)}") from error
                elif isinstance(event, h11.Data):
                    yield bytes(event.data)
                else:
                    return
        except h11.RemoteProtocolError as error:
            raise TransportError(f"{endpoint} broke off: {error}") from error


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of *url*."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def check_redirect(source: str, target: str) -> None:
    """Refuse redirects that leave HTTP, or leave TLS.

    Raises:
        RegistryError: It does.
    """
    scheme = urlsplit(target).scheme
    if scheme not in ("http", "https") or not urlsplit(target).hostname:
        raise RegistryError(f"{source} redirects to {target[:200]!r}, which is no web address")
    if urlsplit(source).scheme == "https" and scheme == "http":
        raise RegistryError(f"{source} redirects to {target[:200]!r}, without encryption")


def reason(error: OSError) -> str:
    """What went wrong with a connection, in words."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, socket.gaierror):
        return "the host name is unknown"
    return error.strerror or str(error)
