"""`composer image tag`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Give an image another name"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("source", metavar="IMAGE", help="name or id")
    parser.add_argument("target", metavar="NAME", help="the further name")


def run(args: argparse.Namespace, context: Context) -> int:
    """Tag it."""
    from composer.images.store import Store

    Store(context.paths).tag(args.source, args.target)
    return 0
