"""Writes a directory as a tar: a layer in overlayfs form, or a plain tree; equal trees give equal bytes.

Entries are sorted by path bytes, whiteouts come as `.wh.name` and opaque directories as `.wh..wh..opq`
(where something below is hidden), hard links inside the tree stay hard links. No names of users, no access
times; PAX only where ustar cannot say it.
"""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from composer.errors import ImageError
from composer.images import tarformat as tar
from composer.images.limits import DEPTH_LIMIT
from composer.images.rootfs import show
from composer.images.stack import is_opaque, is_whiteout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from composer.images.stack import Stack

CHUNK = 1 << 20
"""Bytes from which on a piece of the archive is handed out."""

_OVERLAY_XATTRS = ("trusted.overlay.", "user.overlay.")
END = bytes(2 * tar.BLOCK)
"""The archive's end mark."""


class TreeWriter:
    """Produces the tar of one directory.

    Args:
        directory: The tree. Its root's own attributes are written as `./` unless *root_entry* is false.
        below: The layers under it; None means that the tree is no layer: whiteouts are an error.
        root_entry: Write an entry for the root itself.
        skip: Told each relative path; True leaves it (and what is in it) out.
        clamp_mtime: Latest modification time in seconds (SOURCE_DATE_EPOCH), or None.
    """

    def __init__(
        self,
        directory: Path,
        *,
        below: Stack | None = None,
        root_entry: bool = False,
        skip: Callable[[bytes], bool] | None = None,
        clamp_mtime: int | None = None,
    ) -> None:
        self.size = 0
        self.entries = 0
        self._directory = directory
        self._below = below
        self._root_entry = root_entry
        self._skip = skip
        self._clamp = clamp_mtime
        self._linked: dict[tuple[int, int], bytes] = {}
        self._buffer = bytearray()

    def chunks(self) -> Iterator[bytes]:
        """The archive's bytes.

        Raises:
            ImageError: Something cannot be read, or is not what a layer may hold.
        """
        root = os.fsencode(self._directory)
        with self.reading():
            if self._root_entry:
                self._entry(b"./", root, os.lstat(root))
            yield from self._walk(root, b"")
        self._buffer += END
        yield bytes(self._buffer)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn what the file system refuses into a sentence."""
        try:
            yield
        except OSError as error:
            raise ImageError(f"cannot read {error.filename or self._directory}: {error.strerror}") from error

    def _walk(self, directory: bytes, prefix: bytes) -> Iterator[bytes]:
        if prefix.count(b"/") > DEPTH_LIMIT:
            raise ImageError(f"{show(prefix)}: directories are nested deeper than {DEPTH_LIMIT} levels")
        with os.scandir(directory) as listing:
            names = [(entry.name, entry.stat(follow_symlinks=False)) for entry in listing]
        entries = []
        for name, status in names:
            if self._below is not None and is_whiteout(status):
                entries.append((b".wh." + name, name, status))
            else:
                entries.append((name, name, status))
        entries.sort(key=lambda entry: entry[0])
        for shown, name, status in entries:
            path = prefix + name
            if self._skip is not None and self._skip(path):
                continue
            full = directory + b"/" + name
            if shown is not name:
                self._whiteout(prefix + shown)
            elif stat.S_ISDIR(status.st_mode):
                self._entry(path + b"/", full, status)
                if self._below is not None and is_opaque(full) and self._below.find(path):
                    self._whiteout(path + b"/.wh..wh..opq")
                yield from self._walk(full, path + b"/")
            else:
                yield from self._leaf(path, full, status)
            if len(self._buffer) >= CHUNK:
                yield bytes(self._buffer)
                self._buffer.clear()

    def _whiteout(self, name: bytes) -> None:
        self.entries += 1
        self._buffer += tar.header(name, tar.REGULAR, mode=0o600)

    def _leaf(self, path: bytes, full: bytes, status: os.stat_result) -> Iterator[bytes]:
        mode = status.st_mode
        if stat.S_ISSOCK(mode):
            return  # a socket is no content; tar has no word for it
        if status.st_nlink > 1:
            key = (status.st_dev, status.st_ino)
            first = self._linked.setdefault(key, path)
            if first != path:
                self._entry(path, full, status, link_to=first)
                return
        size = status.st_size if stat.S_ISREG(mode) else 0
        self._entry(path, full, status)
        if size:
            self.size += size
            yield from self._content(full, path, size)

    def _content(self, full: bytes, path: bytes, size: int) -> Iterator[bytes]:
        fd = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            left = size
            while left:
                piece = os.read(fd, min(left, CHUNK))
                if not piece:
                    raise ImageError(f"{show(path)} became shorter while it was read")
                left -= len(piece)
                if len(piece) < 1 << 16:
                    self._buffer += piece
                    continue
                if self._buffer:
                    yield bytes(self._buffer)
                    self._buffer.clear()
                yield piece
        finally:
            os.close(fd)
        if size % tar.BLOCK:
            self._buffer += bytes(-size % tar.BLOCK)

    def _entry(self, name: bytes, full: bytes, status: os.stat_result, *, link_to: bytes = b"") -> None:
        self.entries += 1
        mode = status.st_mode
        link = b""
        major = minor = 0
        if link_to:
            kind, link = tar.HARD_LINK, link_to
        elif stat.S_ISREG(mode):
            kind = tar.REGULAR
        elif stat.S_ISDIR(mode):
            kind = tar.DIRECTORY
        elif stat.S_ISLNK(mode):
            kind, link = tar.SYMLINK, os.readlink(full)
        elif stat.S_ISFIFO(mode):
            kind = tar.FIFO
        else:
            if is_whiteout(status):
                raise ImageError(f"{show(name)} is a whiteout, in a tree that is no layer")
            kind = tar.CHARACTER if stat.S_ISCHR(mode) else tar.BLOCK_DEVICE
            major, minor = os.major(status.st_rdev), os.minor(status.st_rdev)
        mtime = status.st_mtime_ns // 1_000_000_000
        if self._clamp is not None:
            mtime = min(mtime, self._clamp)
        self._buffer += tar.header(
            name,
            kind,
            mode=0o777 if kind == tar.SYMLINK else stat.S_IMODE(mode),
            uid=status.st_uid,
            gid=status.st_gid,
            size=status.st_size if kind == tar.REGULAR else 0,
            mtime=mtime,
            link=link,
            major=major,
            minor=minor,
            xattrs=self._xattrs(full, name) if not link_to else None,
        )

    def _xattrs(self, full: bytes, name: bytes) -> dict[bytes, bytes] | None:
        names = os.listxattr(full, follow_symlinks=False)
        if not names:
            return None
        result: dict[bytes, bytes] = {}
        for key in names:
            if key in ("trusted.overlay.redirect", "trusted.overlay.metacopy"):
                raise ImageError(
                    f"{show(name)} carries {key}: the overlay was mounted with redirect_dir or metacopy",
                    hint="mount it with redirect_dir=off,metacopy=off",
                )
            if key.startswith(_OVERLAY_XATTRS) or key == "security.selinux":
                continue
            result[os.fsencode(key)] = os.getxattr(full, key, follow_symlinks=False)
        return result
