"""A directory that is somebody's root: names are resolved inside it, whatever links it holds.

Every step is an openat(2) with O_NOFOLLOW from the descriptor of the directory before; links are followed
by hand, with absolute targets and `..` ending at this root. Nothing outside can be reached.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple, Self

from composer.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_OPEN = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS = 40
_CACHED = 256


class Place(NamedTuple):
    """A directory below the root: its descriptor (valid until the next call) and its real path."""

    fd: int
    path: bytes

    def child(self, base: bytes) -> bytes:
        """The path below the root of what is called *base* in it."""
        return self.path + b"/" + base if self.path else base


class Root:
    """Resolves directories below *path* and keeps their descriptors.

    Args:
        path: The root directory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._home = Place(self.fd, b"")
        self._by_name: dict[bytes, Place] = {b"": self._home}
        self._by_path: dict[bytes, Place] = {b"": self._home}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all descriptors."""
        self.forget()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def forget(self, keep: Place | None = None) -> None:
        """Drop what is remembered, because a directory or a link was removed; *keep* stays open."""
        kept = keep or self._home
        for place in self._by_path.values():
            if place.fd not in (self.fd, kept.fd):
                os.close(place.fd)
        self._by_path = {b"": self._home, kept.path: kept}
        self._by_name = {b"": self._home}

    def directory(self, name: bytes, missing: Callable[[Place, bytes], bool] | None = None) -> Place:
        """The directory that *name* (relative, cleaned) means, following links inside the root.

        Args:
            name: `usr/lib/x`.
            missing: Called with the parent and the name of a component that does not exist or is no
                directory; True when it is one now.

        Raises:
            ImageError: It is not there, is no directory, or goes through too many links.
        """
        known = self._by_name.get(name)
        if known is not None:
            return known
        if len(self._by_path) > _CACHED:
            self.forget()
        place = self._walk(name, missing)
        self._by_name[name] = place
        return place

    def _walk(self, name: bytes, missing: Callable[[Place, bytes], bool] | None) -> Place:
        place = self._home
        pending = name.split(b"/")[::-1] if name else []
        links = 0
        while pending:
            part = pending.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                place = self._real(place.path.rpartition(b"/")[0])
                continue
            path = place.path + b"/" + part if place.path else part
            found = self._by_path.get(path)
            if found is None:
                try:
                    found = Place(os.open(part, _OPEN, dir_fd=place.fd), path)
                except OSError as error:
                    target = _link_target(part, place.fd)
                    if target is not None:
                        links += 1
                        if links > _LINKS:
                            raise ImageError(f"{show(name)}: too many symbolic links") from error
                        if target.startswith(b"/"):
                            place = self._home
                        pending += target.split(b"/")[::-1]
                        continue
                    if missing is None or not missing(place, part):
                        raise ImageError(f"{show(path)}: {error.strerror}") from error
                    found = Place(os.open(part, _OPEN, dir_fd=place.fd), path)
                self._by_path[path] = found
            place = found
        return place

    def _real(self, path: bytes) -> Place:
        """A directory by its real path, which holds no links."""
        found = self._by_path.get(path)
        if found is None:
            fd = self.fd
            for part in path.split(b"/"):
                inner = os.open(part, _OPEN, dir_fd=fd)
                if fd != self.fd:
                    os.close(fd)
                fd = inner
            found = self._by_path[path] = Place(fd, path)
        return found


def clean(name: bytes) -> bytes:
    """*name* relative to the root without empty and `.` parts; empty for the root itself.

    Raises:
        ImageError: It has a `..` part, which no honest archive needs.
    """
    parts = name.split(b"/")
    if b".." in parts:
        raise ImageError(f"{show(name)}: a name must not contain '..'")
    if b"" in parts or b"." in parts:
        return b"/".join([part for part in parts if part not in (b"", b".")])
    return name


def show(name: bytes) -> str:
    """A name for people, cut at a length that fits a line."""
    return (name[:200] + (b"..." if len(name) > 200 else b"")).decode("utf-8", "backslashreplace")


def _link_target(part: bytes, fd: int) -> bytes | None:
    try:
        if stat.S_ISLNK(os.stat(part, dir_fd=fd, follow_symlinks=False).st_mode):
            return os.readlink(part, dir_fd=fd)
    except OSError:
        pass
    return None
