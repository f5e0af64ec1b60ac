"""The distribution-spec client: manifests, blobs, uploads, tags; with logins, retries and mirrors.

It is handed the registry's name as images spell it, and moves bytes; what they mean is for `composer.images`.
See distribution-spec 1.1.
"""

from __future__ import annotations

import json
import random
import re
import threading
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlencode, urljoin, urlsplit

from composer.errors import NotFoundError, RegistryError
from composer.registry.auth import Authenticator
from composer.registry.credentials import Credentials, Keychain
from composer.registry.http import Body, Http, Response, origin
from composer.registry.settings import Host, Settings
from composer.registry.transport import Abort, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_RETRIED = (408, 429, 499, 500, 502, 503, 504, 522)
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+|/)[a-z0-9]+)*")
_REFERENCE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}|[a-z0-9]+:[0-9a-f]{32,}")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
DOCUMENT_LIMIT = 4 * 1024 * 1024


class Document(NamedTuple):
    """A manifest as a registry sent it."""

    data: bytes
    media_type: str
    digest: str


class Registry:
    """One registry, as one user, for one operation; safe to use from several threads.

    Args:
        domain: As names spell it: `docker.io`, `localhost:5000`.
        settings: How it is reached.
        keychain: Credentials; ignored when *credentials* are given.
        credentials: Who we are, instead of looking it up.
        pushing: Mirrors are not used.
        abort: Ends everything that is under way.
        notice: Told, once each, what users should know meanwhile: `Warning` headers, and what is tried again.
    """

    def __init__(
        self,
        domain: str,
        *,
        settings: Settings | None = None,
        keychain: Keychain | None = None,
        credentials: Credentials | None = None,
        pushing: bool = False,
        abort: Abort | None = None,
        notice: Callable[[str], object] | None = None,
    ) -> None:
        self.domain = domain
        self.settings = settings or Settings.load()
        self.abort = abort or Abort()
        self._http = Http(self.settings, self.abort)
        self._keychain = keychain or Keychain()
        self._credentials = credentials
        self._hosts = self.settings.hosts(domain, pushing=pushing)
        self._scheme: dict[str, str] = {}
        self._auth: dict[str, Authenticator] = {}
        self._lock = threading.Lock()
        self._notice = notice
        self._noticed: set[str] = set()

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    # Reading

    def probe(self) -> None:
        """Ask for `/v2/`: is it a registry, and may we in?

        Raises:
            RegistryError: No, with the reason.
        """
        response = self._own("GET", "", "", scopes=())
        response.read()
        if response.status != 200:
            raise self._refusal(response.status, b"", f"{self.domain}")

    def manifest(self, repository: str, reference: str, accept: Iterable[str]) -> Document:
        """A manifest by tag or digest.

        Raises:
            NotFoundError: There is none.
            RegistryError: It is refused or larger than 4 MiB.
        """
        response = self._read(
            "GET", repository, f"manifests/{_checked(reference)}", {"accept": ", ".join(accept)}
        )
        data = response.read(DOCUMENT_LIMIT)
        self._expect(response.status, data, 200, f"{repository}:{reference}")
        kind = response.headers.get("content-type", "")
        return Document(data, kind, response.headers.get("docker-content-digest", ""))

    def manifest_digest(self, repository: str, reference: str, accept: Iterable[str]) -> str:
        """The digest behind a tag by HEAD, which costs nothing at Docker Hub; empty when it does not say."""
        path = f"manifests/{_checked(reference)}"
        response = self._read("HEAD", repository, path, {"accept": ", ".join(accept)})
        response.read()
        if response.status in (404, 405):
            return ""
        self._expect(response.status, b"", 200, f"{repository}:{reference}")
        return response.headers.get("docker-content-digest", "")

    def blob(self, repository: str, digest: str, *, start: int = 0) -> tuple[Response, int]:
        """A blob from byte *start* on; returns the answer and where it really begins (0 or *start*).

        Raises:
            NotFoundError: There is none.
            RegistryError: It is refused.
        """
        headers = {"range": f"bytes={start}-"} if start else {}
        response = self._read("GET", repository, f"blobs/{_checked(digest)}", headers)
        if response.status == 206:
            found = _RANGE.match(response.headers.get("content-range", ""))
            if found is None or int(found[1]) != start:
                response.close()
                raise TransportError(f"{self.domain} sent another part of {digest[:19]} than was asked for")
            return response, start
        if response.status == 416 and start:
            response.close()
            return self.blob(repository, digest)
        if response.status != 200:
            data = response.read()
            raise self._refusal(response.status, data, f"blob {digest[:19]} of {repository}")
        return response, 0

    def has_blob(self, repository: str, digest: str) -> bool:
        """Whether the repository holds the blob."""
        response = self._own("HEAD", repository, f"blobs/{_checked(digest)}", scopes=_push(repository))
        response.read()
        if response.status in (404, 405):
            return False
        self._expect(response.status, b"", 200, f"blob {digest[:19]} of {repository}")
        return True

    def tags(self, repository: str) -> list[str]:
        """All tags."""
        result: list[str] = []
        path = "tags/list?n=1000"
        while path:
            response = self._read("GET", repository, path, {})
            data = response.read()
            self._expect(response.status, data, 200, repository)
            result += [str(tag) for tag in json.loads(data).get("tags") or ()]
            link = re.search(r'<[^>]*\?([^>]*)>;\s*rel="?next', response.headers.get("link", ""))
            path = f"tags/list?{link[1]}" if link else ""
        return result

    # Writing

    def mount(self, repository: str, digest: str, source: str) -> str:
        """Have the registry take a blob over from *source*; empty when done, else an upload's address."""
        query = urlencode({"mount": digest, "from": source})
        scopes = (*_push(repository), f"repository:{source}:pull")
        return self._start(repository, f"blobs/uploads/?{query}", scopes)

    def upload(self, repository: str, digest: str, body: Body, *, at: str = "") -> None:
        """Upload a blob: one POST (unless *at* is an upload already), one PUT with everything.

        Raises:
            RegistryError: It is refused.
        """
        scopes = _push(repository)
        address = at

        def attempt() -> Response:
            nonlocal address
            location = address or self._start(repository, "blobs/uploads/", scopes)
            address = ""  # an upload that failed is not continued: the next try begins anew
            url = location + ("&" if "?" in location else "?") + urlencode({"digest": digest})
            headers = {"content-type": "application/octet-stream"}
            return self._authorised("PUT", url, headers, scopes, body)

        response = self._retried(attempt, f"upload of {digest[:19]}")
        data = response.read()
        self._expect(response.status, data, (201, 204), f"blob {digest[:19]} of {repository}")

    def put_manifest(self, repository: str, reference: str, data: bytes, media_type: str) -> str:
        """Upload a manifest under a tag or its digest; returns the digest the registry names, if it does.

        Raises:
            RegistryError: It is refused.
        """
        path = f"manifests/{_checked(reference)}"
        response = self._own(
            "PUT", repository, path, {"content-type": media_type}, _push(repository), Body.of(data)
        )
        answer = response.read()
        self._expect(response.status, answer, (200, 201), f"{repository}:{reference}")
        return response.headers.get("docker-content-digest", "")

    # Inside

    def _start(self, repository: str, path: str, scopes: tuple[str, ...]) -> str:
        """Begin an upload; empty when the blob was mounted."""
        response = self._own("POST", repository, path, {}, scopes)
        data = response.read()
        self._expect(response.status, data, (201, 202), repository)
        if response.status == 201:
            return ""
        location = response.headers.get("location", "")
        target = urljoin(response.url, location)
        if not location or (origin(target)[0] == "http" and origin(response.url)[0] == "https"):
            raise RegistryError(f"{self.domain} gave no address for an upload")
        return target

    def _read(self, method: str, repository: str, path: str, headers: Mapping[str, str]) -> Response:
        """From the first mirror that has it, else from the registry itself."""
        for host in self._hosts[:-1]:
            try:
                response = self._at(host, method, repository, path, headers, _pull(repository), None)
            except RegistryError:
                continue
            if response.status < 300:
                return response
            response.close()
        return self._own(method, repository, path, headers, _pull(repository))

    def _own(
        self,
        method: str,
        repository: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        scopes: tuple[str, ...] = (),
        body: Body | None = None,
    ) -> Response:
        return self._at(self._hosts[-1], method, repository, path, headers or {}, scopes, body)

    def _at(
        self,
        host: Host,
        method: str,
        repository: str,
        path: str,
        headers: Mapping[str, str],
        scopes: tuple[str, ...],
        body: Body | None,
    ) -> Response:
        if repository and not _REPOSITORY.fullmatch(repository):
            raise RegistryError(f"{repository!r} is no repository name")
        prefix = f"{host.prefix}/" if host.prefix else ""
        tail = f"/v2/{quote(prefix + repository)}/{path}" if repository else "/v2/"
        if host.mirror_of and host.mirror_of != host.host:
            tail += ("&" if "?" in tail else "?") + urlencode({"ns": host.mirror_of})

        def attempt() -> Response:
            failure: TransportError | None = None
            known = self._scheme.get(host.host)
            for scheme in (known,) if known else host.schemes:
                try:
                    response = self._authorised(
                        method,
                        f"{scheme}://{host.host}{tail}",
                        headers,
                        scopes,
                        body,
                        mirror=bool(host.mirror_of),
                    )
                except TransportError as error:
                    if not error.before_answer or scheme == host.schemes[-1]:
                        # What https said matters more than that nothing listens for http either.
                        raise failure or error from error
                    failure = error
                    continue
                self._scheme[host.host] = scheme
                return response
            raise failure or TransportError(f"{host.host} cannot be reached")

        return self._retried(attempt, f"{host.host}")

    def _retried(self, attempt: Callable[[], Response], what: str) -> Response:
        """Try until it works, as often as the settings say, with growing pauses."""
        settings = self.settings
        pause = settings.pause
        for number in range(settings.tries):
            last = number == settings.tries - 1
            wait = pause * random.uniform(0.8, 1.2)  # noqa: S311 - spreads clients, keeps no secret
            try:
                response = attempt()
            except TransportError as error:
                self.abort.check()
                if last:
                    raise
                if error.before_answer and number and "cannot connect" in error.message:
                    raise
                self._say(f"{error.message}; trying again")
            else:
                if response.status not in _RETRIED or last:
                    return response
                wait = max(wait, min(_retry_after(response), settings.longest_pause))
                response.read()
            self.abort.wait(wait)
            pause *= 3
        raise TransportError(f"{what} does not work")

    def _authorised(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        scopes: tuple[str, ...],
        body: Body | None,
        *,
        mirror: bool = False,
    ) -> Response:
        auth = self._authenticator(url, mirror=mirror)
        sent = dict(headers)
        if authorization := auth.header(scopes):
            sent["authorization"] = authorization
        response = self._http.request(method, url, sent, body)
        if response.status == 401 and "www-authenticate" in response.headers:
            challenge = response.headers["www-authenticate"]
            response.read()
            sent["authorization"] = auth.answer(challenge, url, scopes)
            response = self._http.request(method, url, sent, body)
        if warning := response.headers.get("warning", ""):
            self._tell(warning)
        return response

    def _authenticator(self, url: str, *, mirror: bool) -> Authenticator:
        host = urlsplit(url).netloc
        with self._lock:
            known = self._auth.get(host)
        if known is None:
            credentials = self._credentials
            if mirror or host not in {entry.host for entry in self._hosts}:
                credentials = self._keychain.find(host) if mirror else None
            elif credentials is None:
                credentials = self._keychain.find(self.domain)
            with self._lock:
                known = self._auth.setdefault(host, Authenticator(self._http, credentials))
        return known

    def _tell(self, warning: str) -> None:
        found = re.match(r'299\s+\S+\s+"((?:[^"\\]|\\.)*)"', warning)
        if found:
            self._say(f"{self.domain} says: {found[1]}")

    def _say(self, text: str) -> None:
        if self._notice is not None and text not in self._noticed:
            self._noticed.add(text)
            self._notice(text)

    def _expect(self, status: int, data: bytes, wanted: int | tuple[int, ...], what: str) -> None:
        if status not in (wanted if isinstance(wanted, tuple) else (wanted,)):
            raise self._refusal(status, data, what)

    def _refusal(self, status: int, data: bytes, what: str) -> RegistryError | NotFoundError:
        """The exception that says why a registry refused."""
        text = _errors(data)
        said = f": {text}" if text else ""
        if status == 404:
            return NotFoundError(f"{self.domain} has no {what}{said}")
        if status in (401, 403):
            auth = self._auth.get(self._hosts[-1].host)
            source = auth.source if auth else ""
            if source:
                return RegistryError(
                    f"{self.domain} refused the credentials from {source}"
                    + (f" for {what}" if what != self.domain else "")
                    + said,
                    hint=f"log in again: composer login {self.domain}",
                )
            return RegistryError(
                f"{self.domain} refused {what} to strangers{said}",
                hint=f"log in: composer login {self.domain}",
            )
        if status == 429:
            return RegistryError(f"{self.domain} limits how much may be pulled{said}", hint="log in, or wait")
        return RegistryError(f"{self.domain} answered {status} for {what}{said}")


def _pull(repository: str) -> tuple[str, ...]:
    return (f"repository:{repository}:pull",)


def _push(repository: str) -> tuple[str, ...]:
    return (f"repository:{repository}:pull,push",)


def _checked(reference: str) -> str:
    if not _REFERENCE.fullmatch(reference):
        raise RegistryError(f"{reference[:100]!r} is neither a tag nor a digest")
    return reference


def _errors(data: bytes) -> str:
    """The errors of a registry's answer in words."""
    try:
        entries = json.loads(data).get("errors") or ()
        texts = [
            " ".join(str(entry[key]) for key in ("code", "message") if entry.get(key)) for entry in entries
        ]
    except (ValueError, AttributeError, TypeError, KeyError, RecursionError):
        return ""
    return "; ".join(filter(None, texts))[:500]


def _retry_after(response: Response) -> float:
    """Seconds that the server asks to wait; RFC 9110, 10.2.3."""
    text = response.headers.get("retry-after", "")
    if text.isdigit():
        return float(text)
    try:
        import time

        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.0
