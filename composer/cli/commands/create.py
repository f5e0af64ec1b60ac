"""`composer create`: everything that `up` makes, without starting it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Create containers without starting them"
NEEDS_AGENT = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from composer.cli.arguments import add_create_options, add_services

    add_services(parser)
    add_create_options(parser)


def run(args: argparse.Namespace, context: Context) -> int:
    """Create them."""
    from composer.cli.arguments import create_options
    from composer.cli.operate import up

    options = {**create_options(args, context), "start": False}
    return up(context, options, context.load(args.services))
