"""`composer restart`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Restart service containers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from composer.cli.arguments import add_services, add_timeout

    add_services(parser)
    add_timeout(parser)
    parser.add_argument("--no-deps", action="store_true", help="leave dependants alone")


def run(args: argparse.Namespace, context: Context) -> int:
    """Restart them."""
    from composer.cli.operate import select

    select(context, "restart", args.services, timeout=args.timeout, no_deps=args.no_deps)
    return 0
