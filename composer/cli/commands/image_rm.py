"""`composer image rm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import ComposerError, NotFoundError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Remove images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("names", nargs="+", metavar="IMAGE", help="names or ids")
    parser.add_argument(
        "-f", "--force", action="store_true", help="also with several names or stopped containers"
    )
    parser.add_argument("--no-prune", action="store_true", help="keep layers until the next prune")


def run(args: argparse.Namespace, context: Context) -> int:
    """Remove each, print what went; the first failure is reported after the rest was tried."""
    from composer.images.remove import remove_image
    from composer.images.store import Store

    store = Store(context.paths)
    failures: list[ComposerError] = []
    for name in args.names:
        try:
            removals = remove_image(store, name, force=args.force, sweep=not args.no_prune)
        except ComposerError as error:
            if not (args.force and isinstance(error, NotFoundError)):
                failures.append(error)
            continue
        for removal in removals:
            context.print(f"{removal.action.capitalize()}: {removal.name}")
    for failure in failures[1:]:
        context.warn(str(failure))
    if failures:
        raise failures[0]
    return 0
