"""`composer stop`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Stop containers without removing them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from composer.cli.arguments import add_services, add_timeout

    add_services(parser)
    add_timeout(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Stop them."""
    from composer.cli.operate import select

    select(context, "stop", args.services, timeout=args.timeout)
    return 0
