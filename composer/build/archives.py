"""ADD of an archive: recognised by its content, unpacked into a directory of the layer, never outside it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from composer.build.patterns import clean
from composer.build.tree import join, resolve
from composer.build.upper import Owner, UpperDirectory
from composer.errors import BuildError, ImageError
from composer.images import tarformat
from composer.images.compression import decompressed
from composer.images.tarreader import Entry, TarReader

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 20


def is_archive(path: str) -> bool:
    """Whether *path* is a tar, plain or compressed: its first header must parse."""
    try:
        block = _first_block(path)
        return (
            len(block) == tarformat.BLOCK
            and block != tarformat.ZERO_BLOCK
            and tarformat.number(block[148:156]) == tarformat.check_sum(block)
        )
    except (OSError, ImageError):
        return False


def _first_block(path: str) -> bytes:
    result = bytearray()
    for chunk in decompressed(_chunks(path)):
        result += chunk
        if len(result) >= tarformat.BLOCK:
            break
    return bytes(result[: tarformat.BLOCK])


def _chunks(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


def unpack_archive(path: str, upper: UpperDirectory, destination: str, owner: Owner | None) -> None:
    """Unpack the archive at *path* below *destination* (resolved) of the layer.

    Args:
        path: On this machine.
        upper: The layer.
        destination: The directory; it exists in the layer.
        owner: Of every entry, None for the archive's own.

    Raises:
        BuildError: The archive is damaged, or a member leads out of the destination.
    """
    times: list[tuple[str, int]] = []
    try:
        reader = TarReader(decompressed(_chunks(path)))
        for entry in reader:
            _unpack_entry(reader, entry, upper, destination, owner, times)
    except ImageError as error:
        raise BuildError(f"cannot unpack {os.path.basename(path)}: {error.message}") from error
    for directory, mtime in reversed(times):
        upper.set_directory_time(directory, mtime)


def _unpack_entry(
    reader: TarReader,
    entry: Entry,
    upper: UpperDirectory,
    destination: str,
    owner: Owner | None,
    times: list[tuple[str, int]],
) -> None:
    name = _member_name(entry.name)
    target = _inside(upper, destination, name)
    own = owner or Owner(entry.uid, entry.gid)
    if entry.kind == tarformat.DIRECTORY:
        _make_directory(upper, target, destination, own, entry.mode)
        if target != destination:
            times.append((target, entry.mtime))
        return
    if not name:
        raise BuildError(f"member {os.fsdecode(entry.name)!r} of the archive has no name")
    parent = target.rpartition("/")[0]
    upper.make_directories(parent, owner or Owner(0, 0), 0o755)
    if entry.kind == tarformat.HARD_LINK:
        source = _inside(upper, destination, _member_name(entry.link), last=False)
        upper.add_hard_link(target, source)
        # As the reference does it: the link's own header has the last word about the file.
        upper.finish(f"{upper.path}/{target}", own, entry.mode, entry.mtime, entry.xattrs)
        return
    host = upper.place(target)
    if entry.kind == tarformat.REGULAR:
        _write(host, reader, entry)
    elif entry.kind == tarformat.SYMLINK:
        os.symlink(entry.link, os.fsencode(host))
    elif entry.kind == tarformat.FIFO:
        os.mkfifo(host)
    elif entry.kind in (tarformat.CHARACTER, tarformat.BLOCK_DEVICE):
        if not (entry.major or entry.minor):
            raise BuildError(f"member {name!r} of the archive is a device 0:0, which means removal")
        kind = stat.S_IFCHR if entry.kind == tarformat.CHARACTER else stat.S_IFBLK
        os.mknod(host, kind | 0o600, os.makedev(entry.major, entry.minor))
    else:
        raise BuildError(f"member {name!r} of the archive is of unknown kind {entry.kind!r}")
    upper.finish(
        host, own, None if entry.kind == tarformat.SYMLINK else entry.mode, entry.mtime, entry.xattrs
    )


def _member_name(raw: bytes) -> str:
    name = os.fsdecode(raw)
    if "\0" in name or ".." in name.split("/"):
        raise BuildError(f"member {name!r} of the archive leads out of it")
    return clean("/" + name).lstrip("/")


def _inside(upper: UpperDirectory, destination: str, name: str, *, last: bool = False) -> str:
    """Where a member lands; links on the way are followed, and must stay below *destination*."""
    parent, _, base = name.rpartition("/")
    if not name:
        return destination
    real = resolve(upper.merged, join(destination, parent) if parent else destination)
    if destination and real != destination and not real.startswith(destination + "/"):
        raise BuildError(f"member {name!r} of the archive leads out of /{destination}")
    found = join(real, base)
    return resolve(upper.merged, found) if last else found


def _make_directory(upper: UpperDirectory, target: str, destination: str, own: Owner, mode: int) -> None:
    if target == destination:
        return
    upper.make_directories(target.rpartition("/")[0], Owner(0, 0), 0o755)
    status = upper.merged.lstat(target)
    if status is not None and not stat.S_ISDIR(status.st_mode):
        upper.replace_with_directory(target)
    upper.make_directories(target, own, mode)
    upper.set_directory(target, own, mode)


def _write(host: str, reader: TarReader, entry: Entry) -> None:
    descriptor = os.open(host, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb", buffering=0) as file:
        if entry.sparse is None:
            file.writelines(reader.content())
            return
        pieces = iter(entry.sparse)
        offset = left = 0
        for chunk in reader.content():
            view = memoryview(chunk)
            while view:
                while not left:
                    offset, left = next(pieces)
                count = os.pwrite(descriptor, view[:left], offset)
                view, offset, left = view[count:], offset + count, left - count
        os.ftruncate(descriptor, entry.real_size)
