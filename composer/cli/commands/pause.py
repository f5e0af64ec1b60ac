"""`composer pause`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Freeze the processes of services"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from composer.cli.arguments import add_services

    add_services(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Pause them."""
    from composer.cli.operate import select

    select(context, "pause", args.services)
    return 0
