"""`composer version`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer import __version__

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Print the version"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--short", action="store_true", help="only the number")
    parser.add_argument(
        "-f", "--format", default="pretty", choices=["pretty", "json"], help="how to print it"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Print it."""
    if args.format == "json":
        context.print(f'{{"version": "{__version__}"}}')
    else:
        context.print(__version__ if args.short else f"composer version {__version__}")
    return 0
