"""`composer schema`: the JSON Schema of Compose files, for editors."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Print the JSON Schema of Compose files"


def add_arguments(_parser: argparse.ArgumentParser) -> None:
    """There are no options."""


def run(_args: argparse.Namespace, context: Context) -> int:
    """Print it."""
    from composer.spec.validate import schema_text

    context.print(schema_text(), end="")
    return 0
