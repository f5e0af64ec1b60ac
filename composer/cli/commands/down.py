"""`composer down`: stop and remove what `up` made."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Stop and remove containers and networks"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from composer.cli.arguments import add_services, add_timeout

    add_services(parser, "only these services and what depends on them")
    add_timeout(parser)
    parser.add_argument("-v", "--volumes", action="store_true", help="remove named and anonymous volumes too")
    parser.add_argument(
        "--rmi", choices=["local", "all"], default="", help="remove images, built here or all"
    )
    parser.add_argument("--remove-orphans", action="store_true", help="remove containers of unknown services")


def run(args: argparse.Namespace, context: Context) -> int:
    """Take it down."""
    from composer.cli.arguments import orphans, parallel
    from composer.cli.operate import document, operate

    options = {
        "services": args.services,
        "volumes": args.volumes,
        "images": args.rmi,
        "remove_orphans": orphans(args, context)[0],
        "timeout": args.timeout,
        "parallel": parallel(context),
    }
    operate(context, "down", options, loaded=document(context, args.services))
    return 0
