"""inotify(7), as much of it as following logs needs."""

from __future__ import annotations

import ctypes
import os
import select
import struct
from typing import TYPE_CHECKING, NamedTuple

from composer.errors import ComposerError

if TYPE_CHECKING:
    from typing import Self

IN_MODIFY = 0x2
IN_ATTRIB = 0x4
IN_CLOSE_WRITE = 0x8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
IN_ONLYDIR = 0x0100_0000
IN_ISDIR = 0x4000_0000

_HEADER = struct.Struct("iIII")


class Notice(NamedTuple):
    """One event: the watch it came from, its mask and the name in the watched directory."""

    watch: int
    mask: int
    name: str


class Inotify:
    """An inotify instance; close it or use it as a context manager.

    Raises:
        ComposerError: The user's limit of instances is reached (fs.inotify.max_user_instances).
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self.fd: int = self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK)
        if self.fd < 0:
            raise ComposerError(
                f"inotify_init1: {os.strerror(ctypes.get_errno())}",
                hint="raise the sysctl fs.inotify.max_user_instances",
            )

    def watch(self, path: str, mask: int) -> int:
        """Watch *path*; returns the watch, or -1 when there is no such path.

        Raises:
            ComposerError: The limit of watches is reached (fs.inotify.max_user_watches).
        """
        found: int = self._libc.inotify_add_watch(self.fd, os.fsencode(path), mask)
        if found < 0:
            number = ctypes.get_errno()
            if number in (2, 20):
                return -1
            hint = "raise the sysctl fs.inotify.max_user_watches" if number == 28 else ""
            raise ComposerError(f"inotify_add_watch {path}: {os.strerror(number)}", hint=hint)
        return found

    def read(self, timeout: float | None = None) -> list[Notice]:
        """Events, waiting at most *timeout* seconds for the first; None waits for ever."""
        ready, _, _ = select.select([self.fd], [], [], timeout)
        if not ready:
            return []
        try:
            data = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return []
        notices = []
        position = 0
        while position < len(data):
            watch, mask, _, length = _HEADER.unpack_from(data, position)
            position += _HEADER.size
            name = data[position : position + length].rstrip(b"\0")
            position += length
            notices.append(Notice(watch, mask, os.fsdecode(name)))
        return notices

    def close(self) -> None:
        """Give the descriptor back."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
