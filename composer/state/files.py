"""Files written whole or not at all, and locks between processes."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from composer.errors import ComposerError, ConflictError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_GET_FLAGS, _SET_FLAGS = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS
_TOP_DIRECTORY = 0x00020000  # FS_TOPDIR_FL


def write_atomic(path: Path, data: bytes, *, mode: int = 0o644, durable: bool = False) -> None:
    """Write *data* beside *path*, then rename over it; readers see the old or the new file, never a part.

    Args:
        path: The file to replace; its directory must exist.
        data: The whole content.
        mode: Permission bits of the new file.
        durable: Also fsync before the rename, for what must survive a power cut.

    Raises:
        ComposerError: The disk is full or the directory cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        hint = "free some space, then run the command again" if error.errno == errno.ENOSPC else ""
        raise ComposerError(f"cannot write {path}: {error.strerror}", hint=hint) from error


def write_json(path: Path, value: Any, *, mode: int = 0o644, durable: bool = False) -> None:
    """`write_atomic` of *value* as JSON."""
    write_atomic(path, json.dumps(value, separators=(",", ":")).encode(), mode=mode, durable=durable)


def read_json(path: Path) -> Any:
    """The JSON value in *path*, or None when there is no such file.

    Raises:
        ComposerError: The file is not JSON; files of ours are replaced atomically, so somebody edited it.
    """
    try:
        with path.open("rb") as file:
            return json.loads(file.read())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ComposerError(f"{path} is damaged: {error}", hint="remove the file and try again") from error


def spread(directory: Path) -> None:
    """Ask ext4 to put each directory made in *directory* into a block group with room of its own.

    By default a tree lands in the group of its parents. Where that is full, or many files were removed within
    the last minutes, every new file searches for an inode: unpacking a root file system took 3 s of kernel
    time instead of 0.4 s, and a third of what starting containers anew took was that. See chattr(1), `T`.
    """
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return
    try:
        flags = int.from_bytes(fcntl.ioctl(fd, _GET_FLAGS, bytes(8)), sys.byteorder)
        fcntl.ioctl(fd, _SET_FLAGS, (flags | _TOP_DIRECTORY).to_bytes(8, sys.byteorder))
    except OSError:
        pass  # another file system, which has no such flag or no such trouble
    finally:
        os.close(fd)


@contextmanager
def locked(path: Path, *, blocking: bool = True, shared: bool = False, busy: str = "") -> Iterator[int]:
    """Hold flock(2) on *path* (created when missing) and yield its descriptor.

    Args:
        path: The lock file; its parent directories are created.
        blocking: Wait for the holder, else raise.
        shared: Take a shared lock.
        busy: The sentence for the user when somebody else holds it.

    Raises:
        ConflictError: Somebody else holds the lock and *blocking* is false.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        flags = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if blocking else fcntl.LOCK_NB)
        try:
            fcntl.flock(fd, flags)
        except BlockingIOError as error:
            raise ConflictError(busy or f"{path} is locked by another process") from error
        yield fd
    finally:
        os.close(fd)
