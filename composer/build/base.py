"""Base images: found in the store or pulled, once for each name however many stages want it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias

from composer.build.state import Snapshot
from composer.errors import BuildError, ComposerError

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from composer.build.progress import Progress
    from composer.build.schedule import Schedule
    from composer.images.store import Image, Store

Puller: TypeAlias = Callable[[str, str], "Awaitable[Image]"]
"""Takes a name and a platform; raises when it cannot have the image."""


class BaseImages:
    """Resolves names of images.

    Args:
        store: Looked in first.
        puller: Fetches what is missing; None: nothing is fetched.
        progress: Told of mismatches.
        schedule: How to wait.
        pull: Fetch even what is there.
        platform: The build's.
    """

    def __init__(
        self,
        store: Store,
        puller: Puller | None,
        progress: Progress,
        schedule: Schedule,
        *,
        pull: bool,
        platform: str,
    ) -> None:
        self._store = store
        self._puller = puller
        self._progress = progress
        self._schedule = schedule
        self._pull = pull
        self._platform = platform
        self._locks: dict[tuple[str, str], AbstractAsyncContextManager[object]] = {}
        self._found: dict[tuple[str, str], Snapshot] = {}

    async def get(self, name: str, platform: str = "") -> Snapshot:
        """The image called *name*.

        Raises:
            BuildError: It is neither here nor to be had.
        """
        key = (name, platform or self._platform)
        async with self._locks.setdefault(key, self._schedule.lock()):
            if key not in self._found:
                self._found[key] = await self._resolve(*key)
            return self._found[key]

    async def _resolve(self, name: str, platform: str) -> Snapshot:
        image = None
        if not self._pull or self._puller is None:
            image = await self._schedule.thread(lambda: self._store.resolve(name))
        if image is None:
            image = await self._fetch(name, platform)
        if image.config.platform and not _fits(image.config.platform, platform):
            self._progress.warning(
                f"base image {name} is for {image.config.platform}, not for {platform}"
                " (InvalidBaseImagePlatform)"
            )
        return snapshot(image)

    async def _fetch(self, name: str, platform: str) -> Image:
        self._schedule.works()
        if self._puller is None:
            raise BuildError(f"base image {name!r} is not in the store", hint=f"composer image pull {name}")
        try:
            return await self._puller(name, platform)
        except ComposerError as error:
            raise BuildError(f"cannot get base image {name!r}: {error.message}", hint=error.hint) from error


def snapshot(image: Image) -> Snapshot:
    """An image as something to build on."""
    return Snapshot(image.config, image.layer_dirs, image.chain)


def _fits(have: str, wanted: str) -> bool:
    return have == wanted or have.split("/")[:2] == wanted.split("/")[:2]
