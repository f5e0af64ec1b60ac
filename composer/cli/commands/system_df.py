"""`composer system df`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from composer.cli.context import Context
    from composer.images.store import Image, Store
    from composer.state.paths import Paths

HELP = "Show how much disk space is used"
_COLUMNS = {
    "TYPE": "Type",
    "TOTAL": "TotalCount",
    "ACTIVE": "Active",
    "SIZE": "Size",
    "RECLAIMABLE": "Reclaimable",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("-v", "--verbose", action="store_true", help="every image, container and volume")
    parser.add_argument("--format", default="table", help="table, json or a Go template")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print one line for each kind of thing, or each thing."""
    from composer.build.prune import cache_size
    from composer.cli.render.table import print_rows
    from composer.cli.render.units import human_bytes
    from composer.images.store import Store
    from composer.images.usage import containers

    store = Store(context.paths)
    images = store.images()
    uses = containers(context.paths)
    used_images = {use.image_id for use in uses}
    sizes = {use.id: tree_size(context.paths.container(use.id)) for use in uses}
    volumes = {name: tree_size(context.paths.volumes / name) for name in _volumes(context.paths)}
    used_volumes = _volumes_in_use(context.paths)
    if args.verbose:
        _print_all(context, images, {use.name: sizes[use.id] for use in uses}, volumes)
        context.print(f"Build cache usage: {human_bytes(cache_size(store).size)}")
        return 0
    total, shared = image_bytes(store, used_images)
    cache = cache_size(store)
    rows = [
        _row("Images", len(images), len(used_images & {image.id for image in images}), total, shared),
        _row(
            "Containers",
            len(uses),
            sum(use.active for use in uses),
            sum(sizes.values()),
            sum(sizes[use.id] for use in uses if not use.active),
        ),
        _row(
            "Local Volumes",
            len(volumes),
            len(used_volumes & set(volumes)),
            sum(volumes.values()),
            sum(size for name, size in volumes.items() if name not in used_volumes),
        ),
        _row("Build Cache", cache.parts, 0, cache.size, cache.size),
    ]
    print_rows(context, rows, columns=_COLUMNS, style=args.format)
    return 0


def image_bytes(store: Store, used: set[str]) -> tuple[int, int]:
    """Bytes of all layers that images have, each once, and of those no container needs."""
    layers: dict[str, int] = {}
    needed: set[str] = set()
    for image in store.images():
        for layer in image.layers:
            layers[layer.chain_id] = layer.size
            if image.id in used:
                needed.add(layer.chain_id)
    return sum(layers.values()), sum(size for chain, size in layers.items() if chain not in needed)


def tree_size(path: os.PathLike[str]) -> int:
    """Bytes that a tree takes on disk."""
    total = 0
    pending = [os.fspath(path)]
    while pending:
        try:
            with os.scandir(pending.pop()) as listing:
                for entry in listing:
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(entry.path)
        except OSError:
            continue
    return total


def _volumes_in_use(paths: Paths) -> set[str]:
    from composer.cli.snapshot import containers

    return {
        mount.get("source", "")
        for container in containers(paths)
        for mount in container.config.get("mounts", ())
        if mount.get("type") == "volume"
    }


def _volumes(paths: Paths) -> list[str]:
    from composer.namespaces.volumes import VolumeManager

    return [state.config.name for state in VolumeManager(paths).list()]


def _row(kind: str, total: int, active: int, size: int, reclaimable: int) -> dict[str, Any]:
    from composer.cli.render.units import human_bytes

    share = f" ({reclaimable * 100 // size}%)" if size else ""
    return {
        "Active": str(active),
        "Reclaimable": human_bytes(reclaimable) + share,
        "Size": human_bytes(size),
        "TotalCount": str(total),
        "Type": kind,
    }


def _print_all(
    context: Context, images: list[Image], containers: dict[str, int], volumes: dict[str, int]
) -> None:
    from composer.cli.images import rows_of
    from composer.cli.render.table import format_table
    from composer.cli.render.units import human_bytes

    tables: list[tuple[str, tuple[str, ...], Sequence[tuple[str, ...]]]] = [
        (
            "Images space usage:",
            ("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"),
            [
                (row["Repository"], row["Tag"], row["ID"], row["CreatedSince"], row["Size"])
                for image in images
                for row in rows_of(image)
            ],
        ),
        (
            "Containers space usage:",
            ("NAME", "SIZE"),
            [(name, human_bytes(size)) for name, size in containers.items()],
        ),
        (
            "Local Volumes space usage:",
            ("VOLUME NAME", "SIZE"),
            [(name, human_bytes(size)) for name, size in volumes.items()],
        ),
    ]
    for title, header, rows in tables:
        context.print(f"{title}\n")
        for line in format_table(header, rows):
            context.print(line)
        context.print()
