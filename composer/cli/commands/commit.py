"""`composer commit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Make an image from a service container's changes"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("service", metavar="SERVICE", help="the service")
    parser.add_argument("name", nargs="?", default="", metavar="NAME", help="name of the image")
    parser.add_argument("-a", "--author", default="", help="who made it")
    parser.add_argument(
        "-c", "--change", action="append", default=[], help="Dockerfile instruction for its configuration"
    )
    parser.add_argument("-m", "--message", default="", help="comment in the history")
    parser.add_argument(
        "-p", "--pause", action="store_true", default=True, help="freeze it meanwhile (default)"
    )
    parser.add_argument("--no-pause", dest="pause", action="store_false", help="do not freeze it")
    parser.add_argument("--index", type=int, default=0, metavar="N", help="which replica")


def run(args: argparse.Namespace, context: Context) -> int:
    """Commit, and print the id."""
    from composer.cli.commands.export import container_of
    from composer.cli.operate import select
    from composer.images.importing import commit_changes
    from composer.images.store import Store

    container = container_of(context, args.service, args.index)
    store = Store(context.paths)
    base_id = container.config.get("image_id", "")
    frozen = args.pause and container.state.get("status") == "running"
    if frozen:
        select(context, "pause", [args.service])
    try:
        image = commit_changes(
            store,
            context.paths.container(container.id) / "upper",
            store.image(base_id) if base_id else None,
            names=[args.name] if args.name else [],
            changes=args.change,
            author=args.author,
            message=args.message,
            command=" ".join(container.config.get("process", {}).get("args", ())),
        )
    finally:
        if frozen:
            select(context, "unpause", [args.service])
    context.print(image.id)
    return 0
