"""`composer kill`: send a signal to the first process of containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Send a signal to service containers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from composer.cli.arguments import add_services

    add_services(parser)
    parser.add_argument("-s", "--signal", default="SIGKILL", metavar="SIGNAL", help="which one (SIGKILL)")
    parser.add_argument("--remove-orphans", action="store_true", help="remove containers of unknown services")


def run(args: argparse.Namespace, context: Context) -> int:
    """Send it."""
    from composer.cli.operate import select

    select(context, "kill", args.services, signal=args.signal, remove_orphans=args.remove_orphans)
    return 0
