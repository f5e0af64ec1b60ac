"""What builds keep between one another, how much it is, and how it is removed."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from composer.build.cachemounts import CacheMounts
from composer.build.records import Records, forget_old

if TYPE_CHECKING:
    from pathlib import Path

    from composer.images.store import Store

_DIGESTS_SECONDS = 30 * 86400.0


class CacheSize(NamedTuple):
    """What only the build cache keeps: how many layers and cache mounts, and the bytes of their files."""

    parts: int
    size: int


def cache_size(store: Store) -> CacheSize:
    """Layers that no image has, and directories of `RUN --mount=type=cache`."""
    of_images = _chains_of_images(store)
    rest = [layer for layer in store.directory.all() if layer.chain_id not in of_images]
    mounts = _mounts(store).sizes()
    return CacheSize(len(rest) + len(mounts), sum(layer.size for layer in rest) + sum(mounts))


def prune_cache(
    store: Store, *, everything: bool = False, before: float | None = None, keep_storage: int | None = None
) -> int:
    """Forget steps; their layers go with the next `sweep_unneeded`. Nothing that is in use goes.

    Args:
        store: The store.
        everything: Also steps whose layers an image has anyway (they cost no space and save the next build
            time), cache mounts, and digests of contexts.
        before: Only what was last used before this moment.
        keep_storage: Bytes of step layers to keep, the most recently used.

    Returns:
        Bytes that were freed at once.
    """
    age = 0.0 if before is None else max(0.0, time.time() - before)
    spared = set() if everything else _chains_of_images(store)
    forget_old(Records(store), unused_for=age, keep_storage=keep_storage, spared=spared)
    freed = _mounts(store).prune(unused_for=age) if everything else 0
    return freed + _remove_old(
        store.paths.root / "build" / "digests", age if everything else max(age, _DIGESTS_SECONDS)
    )


def _chains_of_images(store: Store) -> set[str]:
    return {layer.chain_id for image in store.images() for layer in image.layers}


def _mounts(store: Store) -> CacheMounts:
    return CacheMounts(store.paths.root / "build" / "mounts")


def _remove_old(directory: Path, seconds: float) -> int:
    """Remove files of *directory* that were written longer ago; returns their bytes."""
    freed = 0
    with suppress(FileNotFoundError), os.scandir(directory) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                if time.time() - status.st_mtime >= seconds:
                    os.unlink(entry.path)
                    freed += status.st_size
    return freed
