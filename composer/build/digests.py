"""Digests of what a step reads: content, mode, owner, links; never times, inodes or where it lies.

A file's digest is remembered by path, inode, size, mtime and ctime. Entries whose times are close to the
moment they were read are not kept for the next build: a second write within the clock's step would not show.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from typing import TYPE_CHECKING

from composer.errors import BuildError
from composer.state.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from composer.build.selection import Source
    from composer.build.tree import Tree

_DISTRUST_NS = 2_000_000_000
_CLOCK_STEP_NS = 50_000_000
"""No kernel's clock for files moves in longer steps: what is written later than this gets another time."""
_CHUNK = 1 << 20


class FileDigests:
    """Digests of the files below one directory, kept between builds.

    Args:
        directory: Where to keep them.
        root: The tree's root on this machine, which names the file they are kept in.
    """

    def __init__(self, directory: Path, root: str) -> None:
        name = hashlib.sha256(os.fsencode(root)).hexdigest()[:32]
        self._file = directory / f"{name}.json"
        self._known: dict[str, list[int | str]] = {}
        self._young: dict[str, list[int | str]] = {}
        self._changed = False
        try:
            with open(self._file, "rb") as file:
                self._known = json.loads(file.read())
        except (OSError, ValueError):
            self._known = {}

    def digest(self, path: str, found: os.stat_result) -> str:
        """The SHA-256 of a regular file's content, hex.

        Raises:
            BuildError: It cannot be read, or is no regular file any more.
        """
        key: list[int | str] = [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
        known = self._known.get(path)
        for entry in (known, self._young.get(path)):
            if entry is not None and entry[:4] == key:
                return str(entry[4])
        age = time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns)
        value = hash_file(path)
        if age > _DISTRUST_NS:
            self._known[path] = [*key, value]
            self._changed = True
            return value
        if age > _CLOCK_STEP_NS:
            self._young[path] = [*key, value]
        if known is not None:
            del self._known[path]
            self._changed = True
        return value

    def save(self) -> None:
        """Write what was learned."""
        if self._changed:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._file, json.dumps(self._known, separators=(",", ":")).encode())
            self._changed = False


def hash_file(path: str) -> str:
    """The SHA-256 of a regular file, hex; links are not followed.

    Raises:
        BuildError: It cannot be read, or is something else.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise BuildError(f"cannot read {path}: {error.strerror}") from error
    with open(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BuildError(f"{path} is not a regular file")
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_sources(
    tree: Tree, sources: Iterable[Source], files: FileDigests, *, keep_owner: bool, landing: bool = True
) -> str:
    """One digest over everything that *sources* select.

    Args:
        tree: Where they were selected.
        sources: What is copied, in order.
        files: Digests of file contents.
        keep_owner: Owners and extended attributes count (copies from stages).
        landing: The base name of a file source counts.
    """
    total = hashlib.sha256()
    for source in sources:
        name = source.name if landing and not source.is_directory else ""
        total.update(f"source {name!r} {source.is_directory}\n".encode("utf-8", "surrogateescape"))
        links: dict[tuple[int, int], str] = {}
        for entry in (*source.parents, *source.entries):
            total.update(
                describe(tree, entry.path, entry.relative, entry.found, files, links, keep_owner=keep_owner)
            )
    return total.hexdigest()


def describe(
    tree: Tree,
    path: str,
    relative: str,
    found: os.stat_result,
    files: FileDigests,
    links: dict[tuple[int, int], str],
    *,
    keep_owner: bool,
) -> bytes:
    """One line that says everything about an entry that counts."""
    mode = found.st_mode
    parts: list[str] = [relative, oct(mode)]
    host = tree.host_path(path)
    if stat.S_ISREG(mode):
        if found.st_nlink > 1:
            first = links.setdefault((found.st_dev, found.st_ino), relative)
            parts.append(f"link to {first}")
        parts += [str(found.st_size), files.digest(host, found)]
    elif stat.S_ISLNK(mode):
        parts.append(os.readlink(host))
    elif stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        parts.append(str(found.st_rdev))
    if keep_owner:
        parts.append(f"{found.st_uid}:{found.st_gid}")
        parts += _xattrs(host)
    return ("\0".join(parts) + "\n").encode("utf-8", "surrogateescape")


def _xattrs(host: str) -> list[str]:
    try:
        names = os.listxattr(host, follow_symlinks=False)
    except OSError:
        return []
    return [
        f"{name}={os.getxattr(host, name, follow_symlinks=False).hex()}"
        for name in sorted(names)
        if not name.startswith(("trusted.overlay.", "user.overlay.", "security.selinux"))
    ]
