"""Images from plain file systems: `image import` of a tar or directory, `commit` of a container's changes."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from composer.images.changes import apply_changes
from composer.images.config import History, ImageConfig
from composer.images.platforms import wanted_platform
from composer.images.tree import TreeWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from composer.images.store import Image, Store


def import_root(
    store: Store,
    source: BinaryIO | Iterable[bytes] | Path,
    *,
    names: Sequence[str] = (),
    changes: Sequence[str] = (),
    message: str = "",
    platform: str = "",
    created: float | None = None,
) -> Image:
    """Make an image of one layer from a root file system.

    Args:
        store: Where it goes.
        source: A tar (any compression we know), or a directory.
        names: Names it gets.
        changes: Dockerfile instructions for its configuration.
        message: Comment in its history.
        platform: What it runs on; default this machine.
        created: When it was made, for the configuration, seconds since the epoch; default now.

    Raises:
        ImageError: The archive is broken, or a change is malformed.
    """
    chosen = wanted_platform(platform)
    now = rfc3339(time.time() if created is None else created)
    config = apply_changes(
        ImageConfig(architecture=chosen.architecture, os=chosen.os, variant=chosen.variant, created=now),
        changes,
    )
    with store.using():
        if isinstance(source, Path):
            layer = store.add_layer_from_tar(TreeWriter(source, root_entry=True).chunks())
        else:
            layer = store.add_layer_from_tar(source)
        history = History(created=now, comment=message or "Imported from a file system")
        return store.put_image(config.with_layer(layer.diff_id, history), names=names)


def commit_changes(
    store: Store,
    upper: Path,
    base: Image | None,
    *,
    names: Sequence[str] = (),
    changes: Sequence[str] = (),
    author: str = "",
    message: str = "",
    command: str = "",
) -> Image:
    """Make an image from a container's writable layer, which stays as it is.

    Args:
        store: Where it goes.
        upper: The overlay upper directory.
        base: The image the container was made from.
        names: Names it gets.
        changes: Dockerfile instructions for its configuration.
        author: Who made it.
        message: Comment in its history.
        command: What the container ran, for the history.
    """
    from composer.images.stack import Stack

    now = rfc3339(time.time())
    start = base.config if base else ImageConfig(architecture=wanted_platform().architecture)
    start = replace(start, created=now, author=author or start.author)
    with store.using():
        below = Stack(base.layer_dirs if base else ())
        writer = TreeWriter(upper, below=below, skip=_generated)
        layer = store.add_layer_from_tar(writer.chunks(), base.chain if base else "")
        config = apply_changes(start, changes)
        history = History(created=now, created_by=command, author=author, comment=message)
        return store.put_image(config.with_layer(layer.diff_id, history), names=names)


def rfc3339(when: float) -> str:
    """Seconds since the epoch as images write it: `2026-11-23T13:00:00.123456Z`."""
    return datetime.fromtimestamp(when, UTC).isoformat().replace("+00:00", "Z")


def _generated(path: bytes) -> bool:
    """Mount points that the runtime made and that are empty in every image."""
    return path in (b"etc/hosts", b"etc/resolv.conf", b"etc/hostname", b".dockerenv") or path.startswith(
        (b"dev/", b"proc/", b"sys/")
    )
