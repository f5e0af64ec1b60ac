"""Looks into a stack of layer directories as overlayfs would show it, without mounting anything."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

OPAQUE_XATTRS = ("trusted.overlay.opaque", "user.overlay.opaque")


class Stack:
    """Layer directories, lowest first.

    Args:
        directories: Absolute paths.
    """

    def __init__(self, directories: Sequence[str | os.PathLike[str]]) -> None:
        self._layers = [os.fsencode(directory) for directory in reversed(directories)]

    def find(self, path: bytes) -> tuple[bytes, os.stat_result] | None:
        """Where *path* (relative, no links in its parents) comes from and what it is; None when absent."""
        parts = path.split(b"/") if path else []
        for layer in self._layers:
            current, opaque = layer, False
            for index, part in enumerate(parts):
                opaque = opaque or is_opaque(current)
                current = current + b"/" + part
                try:
                    found = os.lstat(current)
                except OSError:
                    break
                if is_whiteout(found):
                    return None
                if index < len(parts) - 1 and not stat.S_ISDIR(found.st_mode):
                    return None
            else:
                return current, os.lstat(current)
            if opaque:
                return None
        return None


def is_whiteout(status: os.stat_result) -> bool:
    """Whether this is overlayfs' mark for something that is gone: a character device 0:0."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(path: bytes) -> bool:
    """Whether a layer's directory hides what is below it."""
    for name in OPAQUE_XATTRS:
        try:
            if os.getxattr(path, name, follow_symlinks=False) == b"y":
                return True
        except OSError:
            continue
    return False
