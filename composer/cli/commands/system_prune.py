"""`composer system prune`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Remove what is unused"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("-a", "--all", action="store_true", help="all unused images, not only nameless ones")
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")
    parser.add_argument("--volumes", action="store_true", help="also unused anonymous volumes")
    parser.add_argument("--filter", action="append", default=[], help="until=24h, label=K[=V], label!=K[=V]")


def run(args: argparse.Namespace, context: Context) -> int:
    """Remove stopped containers, unused networks, images and build cache."""
    import anyio

    from composer.build.records import Records
    from composer.build.records import prune as prune_cache
    from composer.cli.commands.image_prune import confirmed, parse_filters
    from composer.cli.render.units import human_bytes
    from composer.images.remove import prune, sweep_unneeded
    from composer.images.store import Store

    before, wanted = parse_filters(args.filter)
    kinds = ["all stopped containers", "all networks without a container"]
    kinds += ["all anonymous volumes without a container"] if args.volumes else []
    kinds += [
        "all images without a container" if args.all else "all images without a name",
        "the build cache",
    ]
    lines = "".join(f"\n  - {kind}" for kind in kinds)
    if not args.force and not confirmed(context, f"WARNING! This will remove:{lines}\n"):
        return 1
    for title, names in anyio.run(_remove_runtime, context, args.volumes, before):
        if names:
            context.print(f"{title}:")
            for name in names:
                context.print(name)
            context.print()
    store = Store(context.paths)
    done = prune(store, everything=args.all, before=before, wanted=wanted)
    if done.removals:
        context.print("Deleted Images:")
        for removal in done.removals:
            context.print(f"{removal.action}: {removal.name}")
        context.print()
    prune_cache(Records(store))
    freed = done.reclaimed + sweep_unneeded(store)
    context.print(f"Total reclaimed space: {human_bytes(freed)}")
    return 0


async def _remove_runtime(
    context: Context,
    volumes: bool,  # noqa: FBT001 - anyio.run passes by position
    before: float | None,
) -> list[tuple[str, list[str]]]:
    from composer.app import open_local

    removed: list[tuple[str, list[str]]] = [("Deleted Containers", []), ("Deleted Networks", [])]
    async with open_local(context.paths) as local:
        engine = local.engine
        for container in await engine.containers():
            ended = container.status in ("created", "exited", "dead")
            if ended and (before is None or container.config.created < before):
                await engine.remove(container.id, volumes=volumes)
                removed[0][1].append(container.id)
        for network in await engine.networks():
            if not network.containers and (before is None or network.config.created < before):
                await engine.remove_network(network.config.id)
                removed[1][1].append(network.config.name)
        if volumes:
            removed.append(("Deleted Volumes", []))
            used = {
                mount.source
                for container in await engine.containers()
                for mount in container.config.mounts
                if mount.type == "volume"
            }
            for volume in await engine.volumes():
                if volume.config.anonymous and volume.config.name not in used:
                    await engine.remove_volume(volume.config.name)
                    removed[2][1].append(volume.config.name)
    return removed
