"""Reads members of an image archive by name: a tar (compressed or not, also from a pipe) or a directory."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from composer.errors import ImageError
from composer.images import tarformat as tar
from composer.images.apply import read_chunks
from composer.images.compression import CHUNK, decompressed, detect
from composer.images.config import DOCUMENT_LIMIT
from composer.images.rootfs import Root, clean, show
from composer.images.tarreader import TarReader

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEMBERS_LIMIT = 100_000
_SCAN = 1 << 14


class ArchiveFile(Protocol):
    """Something with named members."""

    def has(self, name: str) -> bool:
        """Whether there is a regular file of that name."""
        ...

    def size(self, name: str) -> int:
        """Its size in bytes."""
        ...

    def chunks(self, name: str) -> Iterator[bytes]:
        """Its content."""
        ...


def read_document(archive: ArchiveFile, name: str) -> bytes:
    """A small member.

    Raises:
        ImageError: It is not there, or larger than a document may be.
    """
    if not archive.has(name):
        raise ImageError(f"the archive has no {name}")
    if archive.size(name) > DOCUMENT_LIMIT:
        raise ImageError(f"{name} in the archive has {archive.size(name)} bytes, too many for a document")
    return b"".join(archive.chunks(name))


@contextmanager
def open_archive(source: Path | BinaryIO, scratch: Path) -> Iterator[ArchiveFile]:
    """Open an archive.

    Args:
        source: A tar file, an OCI layout directory, or a stream.
        scratch: Where a stream or a compressed archive is spooled.

    Raises:
        ImageError: It cannot be read, or is no archive.
    """
    if isinstance(source, Path) and source.is_dir():
        with Root(source) as root:
            yield DirectoryFile(root)
        return
    try:
        with open(source, "rb", buffering=0) if isinstance(source, Path) else _borrowed(source) as file:
            start = file.read(6) if isinstance(source, Path) else b""
            if isinstance(source, Path) and not detect(start):
                yield TarFile(file)
                return
            if isinstance(source, Path):
                file.seek(0)
            spool = scratch / "archive"
            with open(spool, "w+b", buffering=0) as spooled:
                spooled.writelines(decompressed(read_chunks(file)))
                yield TarFile(spooled)
    except OSError as error:
        raise ImageError(f"cannot read {error.filename or source}: {error.strerror}") from error


@contextmanager
def _borrowed(stream: BinaryIO) -> Iterator[BinaryIO]:
    yield stream


class _Member(NamedTuple):
    offset: int
    size: int
    target: str


class TarFile:
    """A seekable, uncompressed tar; its members are found once, without reading their content.

    Args:
        file: The archive; stays open for as long as this is used.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._fd = file.fileno()
        self._members: dict[str, _Member] = {}
        size = os.fstat(self._fd).st_size
        position = 0

        def pieces() -> Iterator[bytes]:
            nonlocal position
            while piece := os.pread(self._fd, _SCAN, position):
                position += len(piece)
                yield piece

        def seek(count: int) -> None:
            nonlocal position
            position += count

        reader = TarReader(pieces())
        for entry in reader:
            name = show(clean(entry.name))
            if entry.kind == tar.REGULAR:
                self._members[name] = _Member(position - reader.buffered, entry.size, "")
            elif entry.kind in (tar.SYMLINK, tar.HARD_LINK):
                base = name.rpartition("/")[0] if entry.kind == tar.SYMLINK else ""
                target = os.path.normpath(os.path.join(base, os.fsdecode(entry.link)))
                self._members[name] = _Member(0, 0, target)
            if len(self._members) > _MEMBERS_LIMIT:
                raise ImageError("the archive has too many members to be an image archive")
            reader.skip(seek)
            if position - tar.BLOCK >= size:
                raise ImageError(
                    f"the archive is cut off: it ends inside {name}", hint="save or copy it again"
                )

    def _find(self, name: str) -> _Member | None:
        for _ in range(8):
            found = self._members.get(os.path.normpath(name))
            if found is None or not found.target:
                return found
            name = found.target
        return None

    def has(self, name: str) -> bool:
        """Whether there is a regular file of that name."""
        return self._find(name) is not None

    def size(self, name: str) -> int:
        """Its size in bytes."""
        found = self._find(name)
        return found.size if found else 0

    def chunks(self, name: str) -> Iterator[bytes]:
        """Its content.

        Raises:
            ImageError: It is not there, or the archive ends inside.
        """
        found = self._find(name)
        if found is None:
            raise ImageError(f"the archive has no {name}")
        position, left = found.offset, found.size
        while left:
            piece = os.pread(self._fd, min(left, CHUNK), position)
            if not piece:
                raise ImageError(f"the archive ends inside {name}")
            position += len(piece)
            left -= len(piece)
            yield piece


class DirectoryFile:
    """A directory (OCI layout); names cannot leave it, not even through links.

    Args:
        root: The directory.
    """

    def __init__(self, root: Root) -> None:
        self._root = root

    def _open(self, name: str) -> int:
        parent, _, base = clean(os.fsencode(name)).rpartition(b"/")
        place = self._root.directory(parent)
        return os.open(base, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=place.fd)

    def has(self, name: str) -> bool:
        """Whether there is a file of that name."""
        try:
            os.close(self._open(name))
        except (OSError, ImageError):
            return False
        return True

    def size(self, name: str) -> int:
        """Its size in bytes."""
        fd = self._open(name)
        try:
            return os.fstat(fd).st_size
        finally:
            os.close(fd)

    def chunks(self, name: str) -> Iterator[bytes]:
        """Its content."""
        with open(self._open(name), "rb", buffering=0) as file:
            yield from read_chunks(file)
