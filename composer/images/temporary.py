"""Unfinished work: names that tell who makes it, so that what a killed process left is found and removed."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def temporary_path(directory: Path) -> Path:
    """A fresh name `<pid>.<start time>.<random>` in *directory*, which is created."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
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
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
