"""`composer start`: start containers that exist, in the order of their dependencies."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Start existing containers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from composer.cli.arguments import add_services, add_wait_timeout

    add_services(parser)
    parser.add_argument("--wait", action="store_true", help="wait until they run or are healthy")
    add_wait_timeout(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Start them."""
    from composer.cli.arguments import limit
    from composer.cli.operate import select

    select(context, "start", args.services, wait=args.wait, wait_timeout=limit(args.wait_timeout))
    return 0
