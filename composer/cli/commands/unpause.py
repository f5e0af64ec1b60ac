"""`composer unpause`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Thaw the processes of services"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from composer.cli.arguments import add_services

    add_services(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Unpause them."""
    from composer.cli.operate import select

    select(context, "unpause", args.services)
    return 0
