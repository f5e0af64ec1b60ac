"""Named contexts (`--build-context name=...`): directories, images, stages, repositories, URLs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from composer.build import remote
from composer.build.patterns import IgnoreRules, read_ignore_file
from composer.build.tree import DirectoryTree, LayeredTree, Tree
from composer.errors import BuildError, ImageError, UnsupportedError
from composer.frozen import frozen

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from composer.build.builder import Build
    from composer.build.state import Snapshot


@frozen
class Material:
    """Something to copy from or to build on.

    Attributes:
        tree: Its files.
        keep_owner: Its owners count; those of local directories do not.
        snapshot: Its configuration and layers, when it is an image or a stage.
        root: Names the file in which digests of its files are kept.
        identity: What it is, for keys: a chain of layers; empty for a directory.
    """

    tree: Tree
    keep_owner: bool
    snapshot: Snapshot | None
    root: str
    identity: str = ""


def material(snapshot: Snapshot) -> Material:
    """A stage or an image."""
    root = "layers:" + (snapshot.chain or "none")
    return Material(LayeredTree(snapshot.layers), True, snapshot, root, snapshot.chain or "none")


class NamedContexts:
    """Opens named contexts when they are first asked for.

    Args:
        build: The build they belong to.
    """

    def __init__(self, build: Build) -> None:
        self._build = build
        self._locks: dict[str, AbstractAsyncContextManager[object]] = {}
        self._open: dict[str, Material] = {}

    async def get(self, key: str) -> Material:
        """The context with this name.

        Raises:
            BuildError: It cannot be opened.
            UnsupportedError: It is of a kind that we do not know.
        """
        async with self._locks.setdefault(key, self._build.schedule.lock()):
            if key not in self._open:
                self._open[key] = await self._resolve(key, self._build.request.contexts[key])
            return self._open[key]

    async def _resolve(self, key: str, value: str) -> Material:
        kind, separator, rest = value.partition("://")
        if separator and kind == "docker-image":
            return material(await self._build.bases.get(rest))
        if separator and kind == "oci-layout":
            self._build.schedule.works()
            return await self._build.schedule.thread(lambda: self._layout(key, rest))
        if value.startswith("target:"):
            index = self._build.dockerfile.names.get(value[7:].lower())
            if not index:
                raise BuildError(f"build context {key!r}: there is no stage {value[7:]!r}")
            return material(await self._build.schedule.stage(index[-1]))
        if value.startswith("service:"):
            raise UnsupportedError(
                f"build context {key!r}: {value} must be built first, and given as docker-image://NAME"
            )
        if remote.is_remote(value):
            self._build.schedule.works()
            directory, single = await self._build.schedule.thread(
                lambda: remote.fetch_context(value, self._build.scratch)
            )
            return _directory(os.path.dirname(single) if single else directory)
        return await self._build.schedule.thread(lambda: _directory(value, key))

    def _layout(self, key: str, text: str) -> Material:
        """`DIRECTORY[:tag][@digest]`."""
        from composer.build.base import snapshot
        from composer.images.load import load_from_layout

        place, _, wanted = text.partition("@")
        if not wanted and ":" in os.path.basename(place) and not os.path.isdir(place):
            place, _, wanted = place.rpartition(":")
        path = Path(os.path.abspath(place))
        if not path.is_dir():
            raise BuildError(f"build context {key!r}: {place!r} is not a directory")
        try:
            image = load_from_layout(self._build.store, path, wanted, platform=self._build.platform)
        except ImageError as error:
            raise BuildError(f"build context {key!r}: {error.message}", hint=error.hint) from error
        return material(snapshot(image))


def _directory(text: str, key: str = "") -> Material:
    path = os.path.abspath(text)
    if not os.path.isdir(path):
        raise BuildError(f"build context {key!r}: {text!r} is not a directory")
    lines: list[str] = []
    try:
        with open(os.path.join(path, ".dockerignore"), encoding="utf-8") as file:
            lines = read_ignore_file(file.read())
    except (FileNotFoundError, IsADirectoryError):
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise BuildError(f"cannot read the ignore file of {path}: {error}") from error
    tree = DirectoryTree(path, IgnoreRules(lines))
    return Material(tree, False, None, tree.root)
