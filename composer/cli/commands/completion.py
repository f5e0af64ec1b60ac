"""`composer completion`: a completion script on standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Print a shell completion script"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("shell", metavar="SHELL", choices=["bash", "zsh", "fish"], help="bash, zsh or fish")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print it."""
    from composer.cli.completion import SHELLS
    from composer.cli.describe import describe_all

    context.print(SHELLS[args.shell](describe_all()), end="")
    return 0
