"""File trees that a build copies from: a local directory behind ignore rules, and the layers of a stage.

Paths inside a tree are relative, with slashes, `""` for the root. A tree never follows a link by itself:
`resolve` does, component by component, and cannot leave the tree.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Protocol

from composer.build.patterns import IgnoreRules
from composer.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_LINKS = 40
"""Links that one path may go through, as the kernel has it; path_resolution(7)."""

_OPAQUE = ("trusted.overlay.opaque", "user.overlay.opaque")


class Tree(Protocol):
    """What a COPY, an ADD or a bind mount reads.

    Attributes:
        title: What errors call it.
    """

    title: str

    def lstat(self, path: str) -> os.stat_result | None:
        """The entry at *path*, whose parents must be directories; None when there is none."""
        ...

    def listdir(self, path: str) -> list[str]:
        """Names in a directory, sorted by their bytes."""
        ...

    def host_path(self, path: str) -> str:
        """Where the entry is on this machine; open it with O_NOFOLLOW."""
        ...


class DirectoryTree:
    """A directory on this machine; what the ignore rules exclude is not there.

    Args:
        root: The directory.
        ignore: Its rules, or None.
        title: See `Tree`.
    """

    def __init__(
        self, root: str, ignore: IgnoreRules | None = None, *, title: str = "what is copied from"
    ) -> None:
        self.title = title
        self.root = os.path.realpath(root)
        self._ignore = ignore or IgnoreRules()
        self._states: dict[str, tuple[bool, ...]] = {}
        self._names: dict[str, list[str]] = {}

    def host_path(self, path: str) -> str:
        """See `Tree`."""
        return f"{self.root}/{path}" if path else self.root

    def lstat(self, path: str) -> os.stat_result | None:
        """See `Tree`. A directory that is excluded is still there while something in it is not."""
        try:
            found = os.lstat(self.host_path(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        if path and self._ignore and self._excluded(path, found):
            return None
        return found

    def listdir(self, path: str) -> list[str]:
        """See `Tree`."""
        names = self._names.get(path)
        if names is None:
            names = sorted(os.listdir(self.host_path(path)), key=os.fsencode)
            if self._ignore:
                names = [name for name in names if self.lstat(join(path, name)) is not None]
            self._names[path] = names
        return names

    def hides_something(self, path: str) -> bool:
        """Whether the ignore rules may exclude anything below *path*."""
        return bool(self._ignore) and os.path.isdir(self.host_path(path))

    def _excluded(self, path: str, found: os.stat_result) -> bool:
        if not self._ignore.verdict(self._state(path)):
            return False
        if self._ignore.has_negation and stat.S_ISDIR(found.st_mode):
            return not self.listdir(path)
        return True

    def _state(self, path: str) -> tuple[bool, ...]:
        if not path:
            return self._ignore.root_state()
        state = self._states.get(path)
        if state is None:
            state = self._ignore.descend(self._state(path.rpartition("/")[0]), path)
            self._states[path] = state
        return state


class LayeredTree:
    """The union of overlay layer directories, read without mounting anything.

    Args:
        layers: Absolute directories, lowest first, whiteouts in overlayfs form; they never change.
    """

    title = "the stage or image that is copied from"

    def __init__(self, layers: Sequence[str]) -> None:
        self._layers = tuple(reversed(layers))
        self._merged: dict[str, tuple[str, ...]] = {}
        self._names: dict[str, list[str]] = {}

    def host_path(self, path: str) -> str:
        """See `Tree`."""
        found = self._find(path)
        if found is None:
            raise BuildError(f"/{path} is not in the image")
        return found[0]

    def lstat(self, path: str) -> os.stat_result | None:
        """See `Tree`."""
        found = self._find(path)
        return None if found is None else found[1]

    def listdir(self, path: str) -> list[str]:
        """See `Tree`."""
        names = self._names.get(path)
        if names is not None:
            return names
        seen: dict[str, bool] = {}
        for directory in self._directories(path):
            with os.scandir(directory) as entries:
                for entry in entries:
                    if entry.name not in seen:
                        seen[entry.name] = not is_whiteout(entry.stat(follow_symlinks=False))
        names = sorted((name for name, there in seen.items() if there), key=os.fsencode)
        self._names[path] = names
        return names

    def _find(self, path: str) -> tuple[str, os.stat_result] | None:
        if not path:
            # Without any layer (FROM scratch) the root is an empty directory; any one will do for its mode.
            return (self._layers[0], os.lstat(self._layers[0])) if self._layers else None
        parent, _, name = path.rpartition("/")
        for directory in self._directories(parent):
            candidate = f"{directory}/{name}"
            try:
                found = os.lstat(candidate)
            except (FileNotFoundError, NotADirectoryError):
                continue
            return None if is_whiteout(found) else (candidate, found)
        return None

    def _directories(self, path: str) -> tuple[str, ...]:
        """The directories that make up *path*, topmost first; empty when it is no directory."""
        if not path:
            return self._layers
        known = self._merged.get(path)
        if known is not None:
            return known
        parent, _, name = path.rpartition("/")
        merged: list[str] = []
        for directory in self._directories(parent):
            candidate = f"{directory}/{name}"
            try:
                found = os.lstat(candidate)
            except (FileNotFoundError, NotADirectoryError):
                continue
            if not stat.S_ISDIR(found.st_mode):
                break
            merged.append(candidate)
            if is_opaque(candidate):
                break
        result = tuple(merged)
        self._merged[path] = result
        return result


def join(directory: str, name: str) -> str:
    """*name* in *directory*, both as a tree has them."""
    return f"{directory}/{name}" if directory else name


def is_whiteout(found: os.stat_result) -> bool:
    """Whether an entry of a layer says that the entry below is gone."""
    return stat.S_ISCHR(found.st_mode) and found.st_rdev == 0


def is_opaque(directory: str) -> bool:
    """Whether a directory of a layer hides what layers below have in it."""
    for name in _OPAQUE:
        try:
            if os.getxattr(directory, name, follow_symlinks=False) == b"y":
                return True
        except OSError:
            continue
    return False


def resolve(tree: Tree, path: str, *, last: bool = True) -> str:
    """Follow all links in *path* inside *tree*; components that do not exist are kept as they are.

    Args:
        tree: Where it is.
        path: Any path; absolute ones and `..` stop at the root.
        last: Follow a link that is the last component.

    Raises:
        BuildError: The links go in a circle.
    """
    pending = path.split("/")[::-1]
    done: list[str] = []
    links = 0
    missing = 0  # components of `done` from which on nothing exists
    while pending:
        name = pending.pop()
        if name in ("", "."):
            continue
        if name == "..":
            if done:
                done.pop()
                missing = 0 if missing > len(done) else missing
            continue
        done.append(name)
        if missing:
            continue
        current = "/".join(done)
        found = tree.lstat(current)
        if found is None:
            missing = len(done)
        elif stat.S_ISLNK(found.st_mode) and (last or any(part not in ("", ".") for part in pending)):
            links += 1
            if links > MAX_LINKS:
                raise BuildError(f"too many symbolic links in {path!r}")
            target = os.readlink(tree.host_path(current))
            done.pop()
            if target.startswith("/"):
                done.clear()
            pending += target.split("/")[::-1]
    return "/".join(done)
