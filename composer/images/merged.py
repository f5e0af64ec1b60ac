"""Writes what a container sees of its root (image layers and its own changes, no mounts) as one tar."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from composer.images.stack import is_opaque, is_whiteout
from composer.images.tree import CHUNK, END, TreeWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


class MergedWriter(TreeWriter):
    """The tar of a stack of directories in overlayfs form, merged without mounting.

    Args:
        directories: Lowest first.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        super().__init__(directories[-1])
        self._stack = [os.fsencode(directory) for directory in reversed(directories)]

    def chunks(self) -> Iterator[bytes]:
        """The archive's bytes.

        Raises:
            ImageError: Something cannot be read.
        """
        with self.reading():
            self._entry(b"./", self._stack[0], os.lstat(self._stack[0]))
            yield from self._merge(self._stack, b"")
        self._buffer += END
        yield bytes(self._buffer)

    def _merge(self, directories: list[bytes], prefix: bytes) -> Iterator[bytes]:
        found: dict[bytes, tuple[os.stat_result, list[bytes]]] = {}
        closed: set[bytes] = set()
        for directory in directories:
            with os.scandir(directory) as listing:
                entries = [(entry.name, entry.stat(follow_symlinks=False)) for entry in listing]
            for name, status in entries:
                full = directory + b"/" + name
                if name in closed:
                    continue
                if not stat.S_ISDIR(status.st_mode):
                    # A file below a directory is hidden by it; nothing below a file or whiteout shows.
                    closed.add(name)
                    if name not in found and not is_whiteout(status):
                        found[name] = (status, [full])
                    continue
                known = found.setdefault(name, (status, []))
                known[1].append(full)
                if is_opaque(full):
                    closed.add(name)
        for name in sorted(found):
            status, places = found[name]
            path = prefix + name
            if stat.S_ISDIR(status.st_mode):
                self._entry(path + b"/", places[0], status)
                yield from self._merge(places, path + b"/")
            else:
                yield from self._leaf(path, places[0], status)
            if len(self._buffer) >= CHUNK:
                yield bytes(self._buffer)
                self._buffer.clear()
