"""Image names: `[domain/]path[:tag][@digest]`, normalised as Docker does.

The grammar is that of distribution/reference 0.6. `debian` means `docker.io/library/debian:latest`; the
short spelling is called familiar, the long one canonical.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from composer.errors import ImageError

DEFAULT_DOMAIN = "docker.io"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}")
_HEX_ID = re.compile(r"[0-9a-f]{64}")
_DIGEST_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}
_PATH_LIMIT = 255


class Reference(NamedTuple):
    """A parsed and normalised image name.

    Attributes:
        domain: Registry as written in names: `docker.io`, `localhost:5000`.
        path: Repository within it: `library/debian`.
        tag: The tag, or empty.
        digest: `sha256:...`, or empty. With both the digest decides.
    """

    domain: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def repository(self) -> str:
        """`docker.io/library/debian`: what tags and digests belong to."""
        return f"{self.domain}/{self.path}"

    @property
    def familiar_repository(self) -> str:
        """The repository as people write it: `debian`, `user/app`, `ghcr.io/o/r`."""
        if self.domain != DEFAULT_DOMAIN:
            return self.repository
        head, _, rest = self.path.partition("/")
        return rest if head == "library" and rest and "/" not in rest else self.path

    @property
    def canonical(self) -> str:
        """The complete name; `latest` stands in when there is neither tag nor digest."""
        return self.repository + self.suffix

    @property
    def familiar(self) -> str:
        """The short name as people write it; nothing is added to what was given."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return self.familiar_repository + tag + digest

    @property
    def suffix(self) -> str:
        """`:tag`, `@digest` or both; `:latest` when nothing was given."""
        if self.digest:
            return (f":{self.tag}" if self.tag else "") + f"@{self.digest}"
        return f":{self.tag or 'latest'}"

    @property
    def is_moving(self) -> bool:
        """Whether it names `latest`, given or implied, which changes under its users."""
        return not self.digest and self.tag in ("", "latest")


def parse(text: str) -> Reference:
    """Parse and normalise an image name.

    Raises:
        ImageError: *text* is no image name; the message says which part is wrong.
    """
    if "://" in text:
        raise _wrong(text, "an image name has no scheme", hint=f"write {text.partition('://')[2]!r}")
    if _HEX_ID.fullmatch(text):
        raise _wrong(text, "64 hex digits are an image id, not a name")
    name, at, digest = text.partition("@")
    if at:
        _check_digest(text, digest)
    domain, path = _split_domain(name)
    tag = ""
    colon = path.rfind(":")
    if colon > path.rfind("/"):
        path, tag = path[:colon], path[colon + 1 :]
        if not _TAG.fullmatch(tag):
            raise _wrong(text, f"{tag!r} is not a tag", hint="use up to 128 of A-Z a-z 0-9 _ . -")
    if not _DOMAIN.fullmatch(domain):
        raise _wrong(text, f"{domain!r} is not a registry host")
    if not _PATH.fullmatch(path):
        if _PATH.fullmatch(path.lower()):
            raise _wrong(text, "repository names must be lower case", hint=f"write {path.lower()!r}")
        raise _wrong(text, f"{path!r} is not a repository name")
    if domain == DEFAULT_DOMAIN and "/" not in path:
        path = f"library/{path}"
    if len(path) > _PATH_LIMIT:
        raise _wrong(text[:40] + "...", f"the repository name is longer than {_PATH_LIMIT} characters")
    return Reference(domain, path, tag, digest)


def is_digest(text: str) -> bool:
    """Whether *text* is a digest of an algorithm that we can compute (`sha256:` and 64 lower-case hex)."""
    algorithm, _, value = text.partition(":")
    length = _DIGEST_LENGTHS.get(algorithm, 0)
    return len(value) == length > 0 and not value.strip("0123456789abcdef")


def _split_domain(name: str) -> tuple[str, str]:
    head, slash, rest = name.partition("/")
    if not slash or not (any(mark in head for mark in ".:[") or head == "localhost" or head.lower() != head):
        return DEFAULT_DOMAIN, name
    return (DEFAULT_DOMAIN if head == "index.docker.io" else head), rest


def _check_digest(text: str, digest: str) -> None:
    algorithm, _, value = digest.partition(":")
    expected = _DIGEST_LENGTHS.get(algorithm)
    if not _DIGEST.fullmatch(digest) or (expected and len(value) != expected) or value != value.lower():
        hint = (
            f"{algorithm} has {expected} lower-case hex digits"
            if expected
            else "write sha256:<64 hex digits>"
        )
        raise _wrong(text, f"{digest!r} is not a digest", hint=hint)


def _wrong(text: str, reason: str, *, hint: str = "") -> ImageError:
    return ImageError(f"{text!r} is not an image name: {reason}", hint=hint)
