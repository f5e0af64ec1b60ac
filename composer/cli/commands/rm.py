"""`composer rm`: remove containers that have ended."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from composer.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Remove stopped service containers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from composer.cli.arguments import add_services

    add_services(parser)
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")
    parser.add_argument("-s", "--stop", action="store_true", help="stop them first")
    parser.add_argument("-v", "--volumes", action="store_true", help="remove their anonymous volumes too")
    parser.add_argument("-a", "--all", action="store_true", help="also one-off containers; always so")


def run(args: argparse.Namespace, context: Context) -> int:
    """Ask, then remove them."""
    from composer.cli.operate import select
    from composer.cli.project import select as containers

    found = [
        container.name for container in containers(context, args.services) if args.stop or not container.alive
    ]
    if not found:
        context.stderr.write("No stopped containers\n")
        return 0
    if not args.force and not context.options.dry_run:
        if not sys.stdin.isatty():
            raise UsageError(
                "rm asks before it removes, and there is no terminal to ask on", hint="add --force"
            )
        context.stderr.write(f"? Going to remove {', '.join(found)} [y/N] ")
        context.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            return 1
    select(context, "rm", args.services, stop=args.stop, volumes=args.volumes)
    return 0
