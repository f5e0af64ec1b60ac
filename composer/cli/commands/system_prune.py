"""`composer system prune`."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from composer.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from composer.cli.context import Context
    from composer.engine import Engine

HELP = "Remove what is unused"
_BEING_STARTED = 600.0
"""Seconds in which a container that was made, and not started yet, is taken for part of a running `up`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("-a", "--all", action="store_true", help="all unused images and build cache, not only nameless ones")
    add("-f", "--force", action="store_true", help="do not ask")
    add("--volumes", action="store_true", help="also unused anonymous volumes")
    add("--filter", action="append", default=[], help="until=24h, label=K[=V], label!=K[=V]")
    add("--keep-storage", default="", metavar="SIZE", help="build cache to keep, the most recently used")


_BEING_FILLED = 60.0
"""The same for a network without containers."""


class _Choice(NamedTuple):
    """What of the engine's things goes: older than `before`, with labels that match."""

    volumes: bool
    before: float | None
    matches: Callable[[Mapping[str, str]], bool]

    def takes(self, created: float, labels: Mapping[str, str]) -> bool:
        return (self.before is None or created < self.before) and self.matches(labels)


def run(args: argparse.Namespace, context: Context) -> int:
    """Remove stopped containers, unused networks, images and build cache."""
    import anyio

    from composer.build.options import parse_size
    from composer.build.prune import prune_cache
    from composer.cli.commands.image_prune import confirmed, parse_filters, print_removals, waiting
    from composer.cli.render.units import human_bytes
    from composer.images.remove import prune, sweep_unneeded
    from composer.images.store import Store

    before, matches = parse_filters(args.filter)
    keep = parse_size(args.keep_storage, "--keep-storage") if args.keep_storage else None
    by_label = any(text.startswith("label") for text in args.filter)
    kinds = ["all stopped containers", "all networks without a container"]
    kinds += ["all anonymous volumes without a container"] if args.volumes else []
    kinds += ["all images without a container" if args.all else "all images without a name"]
    if not by_label:  # nothing in the build cache has labels
        kinds += ["all build cache" if args.all else "build cache that no image needs"]
    lines = "".join(f"\n  - {kind}" for kind in kinds)
    if not args.force and not confirmed(context, f"WARNING! This will remove:{lines}\n"):
        return 1
    choice = _Choice(args.volumes, before, matches)
    removed, freed = anyio.run(_remove_runtime, context, choice)
    for title, names in removed.items():
        if names:
            context.print(f"{title}:")
            for name in names:
                context.print(name)
            context.print()
    store = Store(context.paths)
    done = prune(
        store,
        everything=args.all,
        before=before,
        wanted=lambda image: matches(image.config.labels),
        waiting=lambda: waiting(context),
    )
    print_removals(context, done.removals)
    freed += done.reclaimed
    if not by_label:
        freed += prune_cache(store, everything=args.all, before=before, keep_storage=keep)
        freed += sweep_unneeded(store, waiting=lambda: waiting(context))
    context.print(f"Total reclaimed space: {human_bytes(freed)}")
    return 0


async def _remove_runtime(context: Context, choice: _Choice) -> tuple[dict[str, list[str]], int]:
    """Names of what went, by kind, and the bytes of its files."""
    from composer.app import open_local
    from composer.cli.commands.system_df import tree_size

    removed: dict[str, list[str]] = {"Deleted Containers": [], "Deleted Networks": [], "Deleted Volumes": []}
    freed = 0
    async with open_local(context.paths) as local:
        engine: Engine = local.engine
        for container in await engine.containers():
            ended = container.status in ("exited", "dead") or (
                container.status == "created" and container.config.created < time.time() - _BEING_STARTED
            )
            if ended and choice.takes(container.config.created, container.config.labels):
                size = tree_size(context.paths.container(container.id))
                with suppress(ConflictError, NotFoundError):  # started, or removed, meanwhile
                    await engine.remove(container.id, volumes=choice.volumes)
                    freed += size
                    removed["Deleted Containers"].append(container.id)
        for network in await engine.networks():
            old = network.config.created < time.time() - _BEING_FILLED
            if not network.containers and old and choice.takes(network.config.created, network.config.labels):
                with suppress(ConflictError, NotFoundError):
                    await engine.remove_network(network.config.id)
                    removed["Deleted Networks"].append(network.config.name)
        if choice.volumes:
            used = {
                mount.source
                for container in await engine.containers()
                for mount in container.config.mounts
                if mount.type == "volume"
            }
            for volume in await engine.volumes():
                name = volume.config.name
                if volume.config.anonymous and name not in used and choice.matches(volume.config.labels):
                    size = tree_size(context.paths.volumes / name)
                    with suppress(ConflictError, NotFoundError):
                        await engine.remove_volume(name)
                        freed += size
                        removed["Deleted Volumes"].append(name)
    return removed, freed
