"""Directories of `RUN --mount=type=cache`: kept between builds, outside images, never part of a key."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from composer.build.upper import copy_content, copy_xattrs
from composer.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from composer.build.dockerfile.mounts import RunMount
    from composer.build.tree import Tree

_PRIVATE_LIMIT = 1000


class CacheMounts:
    """All cache directories.

    Args:
        root: Where they are; ids are hashed, so none can name a path.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @contextmanager
    def use(self, mount: RunMount, target: str, seed: tuple[Tree, str] | None) -> Iterator[str]:
        """Hold the directory of *mount* while it is used, and yield its path. Blocks.

        Args:
            mount: Its id (default: the target), sharing, mode and owner.
            target: Absolute, cleaned.
            seed: Tree and path that a new directory is filled from.

        Raises:
            BuildError: Too many private users at once.
        """
        name = hashlib.sha256((mount.id or target).encode()).hexdigest()[:32]
        for number in range(_PRIVATE_LIMIT):
            directory = self._root / (f"{name}-{number}" if number else name)
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                flags = fcntl.LOCK_SH if mount.sharing == "shared" else fcntl.LOCK_EX
                if mount.sharing == "private":
                    flags |= fcntl.LOCK_NB
                try:
                    fcntl.flock(descriptor, flags)
                except BlockingIOError:
                    continue
                os.utime(directory)
                yield self._data(directory, mount, seed)
                return
            finally:
                os.close(descriptor)
        raise BuildError(f"cache mount {mount.id or target!r} has too many private users at once")

    def _data(self, directory: Path, mount: RunMount, seed: tuple[Tree, str] | None) -> str:
        data = directory / "data"
        if data.is_dir():
            return str(data)
        making = directory / f"data.{os.getpid()}.{os.urandom(4).hex()}"
        making.mkdir()
        if seed is not None:
            tree, path = seed
            copy_tree(tree, path, str(making))
        os.chown(making, mount.uid or 0, mount.gid or 0)
        os.chmod(making, 0o755 if mount.mode is None else mount.mode)
        try:
            os.rename(making, data)
        except OSError:
            shutil.rmtree(making, ignore_errors=True)
            if not data.is_dir():
                raise
        return str(data)

    def sizes(self) -> list[int]:
        """Bytes of the files in each directory that holds any."""
        found = (_files_size(directory) for directory in self._directories())
        return [size for size in found if size]

    def prune(self, *, unused_for: float = 0.0) -> int:
        """Remove what nobody uses or used in the last *unused_for* seconds; returns its bytes."""
        total = 0
        for directory in self._directories():
            if time.time() - directory.stat().st_mtime < unused_for:
                continue
            descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            else:
                total += _files_size(directory)
                for making in directory.glob("data*"):
                    shutil.rmtree(making, ignore_errors=True)
            finally:
                os.close(descriptor)
        return total

    def _directories(self) -> list[Path]:
        return sorted(self._root.iterdir()) if self._root.is_dir() else []


def _files_size(directory: Path) -> int:
    total = 0
    for place, _, names in os.walk(directory):
        for name in names:
            with suppress(FileNotFoundError):  # somebody is working there
                total += os.lstat(os.path.join(place, name)).st_size
    return total


def copy_tree(tree: Tree, path: str, target: str, *, keep_owner: bool = True) -> None:
    """Copy a directory of a tree with owners, modes and times to the existing directory *target*."""
    import stat

    own = tree.lstat(path)
    if own is None or not stat.S_ISDIR(own.st_mode):
        raise BuildError(f"/{path} is not a directory in what it is mounted from")
    for name in tree.listdir(path):
        inner = f"{path}/{name}" if path else name
        found = tree.lstat(inner)
        if found is None:
            continue
        host, copy = tree.host_path(inner), f"{target}/{name}"
        if stat.S_ISDIR(found.st_mode):
            os.mkdir(copy)
            copy_tree(tree, inner, copy, keep_owner=keep_owner)
        elif stat.S_ISREG(found.st_mode):
            copy_content(host, copy, found)
        elif stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(host), copy)
        elif stat.S_ISFIFO(found.st_mode):
            os.mkfifo(copy)
        elif not stat.S_ISSOCK(found.st_mode):
            os.mknod(copy, found.st_mode, found.st_rdev)
        else:
            continue
        _finish(host, copy, found, keep_owner=keep_owner)


def _finish(host: str, copy: str, found: os.stat_result, *, keep_owner: bool) -> None:
    import stat

    owner = (found.st_uid, found.st_gid) if keep_owner else (0, 0)
    os.chown(copy, *owner, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        os.chmod(copy, stat.S_IMODE(found.st_mode))
    if keep_owner:
        copy_xattrs(host, copy)
    os.utime(copy, ns=(found.st_mtime_ns, found.st_mtime_ns), follow_symlinks=False)
