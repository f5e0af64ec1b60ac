"""Unfinished work: names that tell who makes it, so that what a killed process left is found and removed."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from composer.state.files import spread

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DEEP = 200


def temporary_path(directory: Path) -> Path:
    """A fresh name `<pid>.<start time>.<random>` in *directory*, which is created."""
    if not directory.is_dir():
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        spread(directory)
    pid = os.getpid()
    return directory / f"{pid}.{process_start(pid)}.{os.urandom(6).hex()}"


@contextmanager
def scratch(directory: Path) -> Iterator[Path]:
    """A fresh directory below *directory*, removed afterwards."""
    path = temporary_path(directory)
    path.mkdir(mode=0o700)
    try:
        yield path
    finally:
        remove_tree(path)


def sweep(directory: Path) -> int:
    """Remove what processes that are gone have left; returns how many things went."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return 0
    count = 0
    for name in names:
        pid, _, rest = name.partition(".")
        started = rest.partition(".")[0]
        if not (pid.isdigit() and started.isdigit()):
            continue
        if pid == "0" or process_start(int(pid)) != int(started):
            remove_tree(directory / name)
            count += 1
    return count


def grave(directory: Path) -> Path:
    """A fresh name in *directory* for something to be removed: whoever sweeps next may remove it too."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    return directory / f"0.0.{os.urandom(6).hex()}"


def process_start(pid: int) -> int:
    """When *pid* was started, in clock ticks since boot, or 0 when there is no such process; proc(5)."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def remove_tree(path: Path) -> None:
    """Remove a file or a tree, never following links; what cannot be removed is left to the next sweep."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    import shutil

    while True:
        try:
            shutil.rmtree(path, ignore_errors=True)
        except RecursionError:
            # Somebody nested directories to stop exactly this: cut the tree into lower ones.
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                _cut(fd, fd, 0)
            finally:
                os.close(fd)
        else:
            return


def _cut(root: int, directory: int, depth: int) -> None:
    """Move directories that are `_DEEP` levels below *root* to its top."""
    for name in os.listdir(directory):
        status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            continue
        if depth == _DEEP:
            os.rename(name, f".cut.{os.urandom(6).hex()}", src_dir_fd=directory, dst_dir_fd=root)
            continue
        inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        try:
            _cut(root, inner, depth + 1)
        finally:
            os.close(inner)
