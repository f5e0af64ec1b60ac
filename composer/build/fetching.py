"""ADD of URLs and repositories: fetched once, validated with the server afterwards."""

from __future__ import annotations

import re
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
    path, commit = remote.clone(source, scratch, keep_git=keep_git)
    if checksum and not commit.startswith(checksum):
        raise BuildError(f"{url}: the commit is {commit}, not {checksum}")
    return Fetched("", path, f"{commit}:{source.directory}:{keep_git}")


def _file(url: str, scratch: str, records: Records, checksum: str, *, unpack: bool) -> Fetched:
    wanted = ""
    if checksum:
        match = _SHA256.fullmatch(checksum)
        if match is None:
            raise BuildError(f"--checksum={checksum} is not sha256: and 64 digits")
        wanted = match.group(1)
    found = remote.download(url, scratch)
    if wanted and found.digest != wanted:
        raise BuildError(f"{url} has the checksum sha256:{found.digest}, not {checksum}")
    records.note(f"url:{url}", {"digest": found.digest, "etag": found.etag, "modified": found.modified})
    return Fetched(found.name, found.path, found.digest, found.mtime, unpack and is_archive(found.path))
