"""ADD of URLs and repositories: fetched once, validated with the server afterwards."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from composer.build import remote
from composer.build.archives import is_archive
from composer.build.copying import Fetched
from composer.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from composer.build.records import Records

_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")


def fetch_sources(
    urls: Iterable[str], scratch: str, records: Records, *, checksum: str, keep_git: bool, unpack: bool
) -> list[Fetched]:
    """Fetch what ADD names. Blocks.

    Raises:
        BuildError: It cannot be fetched, or has another checksum.
    """
    return [
        _repository(url, scratch, checksum, keep_git=keep_git)
        if remote.is_git(url)
        else _file(url, scratch, records, checksum, unpack=unpack)
        for url in urls
    ]


def _repository(url: str, scratch: str, checksum: str, *, keep_git: bool) -> Fetched:
    source = remote.parse_git(url)
    commit = remote.remote_commit(source)

    def fetch() -> Fetched:
        path, cloned = remote.clone(source, scratch, keep_git=keep_git)
        return Fetched("", path, f"{cloned}:{source.directory}:{keep_git}")

    found = Fetched("", "", f"{commit}:{source.directory}:{keep_git}", fetch=fetch) if commit else fetch()
    for wanted in (checksum, source.checksum):
        if wanted and not found.digest.startswith(wanted):
            raise BuildError(f"{url}: the commit is {found.digest.partition(':')[0]}, not {wanted}")
    return found


def _file(url: str, scratch: str, records: Records, checksum: str, *, unpack: bool) -> Fetched:
    wanted = ""
    if checksum:
        match = _SHA256.fullmatch(checksum)
        if match is None:
            raise BuildError(f"--checksum={checksum} is not sha256: and 64 digits")
        wanted = match.group(1)
    note = f"url:{url}"
    known = records.noted(note) or {}

    def fetch() -> Fetched:
        return _fetched(remote.download(url, scratch), unpack=unpack, packed=None)

    found = remote.download(
        url,
        scratch,
        etag=known.get("etag", ""),
        modified=known.get("modified", ""),
        digest=known.get("digest", "") if known.get("etag") or known.get("modified") else "",
    )
    if wanted and found.digest != wanted:
        raise BuildError(f"{url} has the checksum sha256:{found.digest}, not {checksum}")
    result = _fetched(found, unpack=unpack, packed=known.get("packed"))
    if found.path:
        validators = {"digest": found.digest, "etag": found.etag, "modified": found.modified}
        records.note(note, {**validators, "packed": is_archive(found.path)})
        return result
    return replace(result, fetch=fetch)


def _fetched(found: remote.Download, *, unpack: bool, packed: bool | None) -> Fetched:
    """A download; *packed* tells whether a file that is not here is an archive."""
    archive = is_archive(found.path) if found.path else bool(packed)
    return Fetched(found.name, found.path, found.digest, found.mtime, unpack and archive)
