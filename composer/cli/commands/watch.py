"""`composer watch`: bring the project up, then keep its containers in step with the source files."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Update containers when source files change"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="only these services")
    parser.add_argument("--no-up", action="store_true", help="do not build and start first")
    parser.add_argument("--prune", action="store_true", default=True, help="remove replaced images (default)")
    parser.add_argument("--quiet", action="store_true", help="do not show the steps of builds")


def run(args: argparse.Namespace, context: Context) -> int:
    """Watch until interrupted."""
    from composer.cli.watcher import watch_project

    loaded = context.load(args.services)
    watch_project(context, loaded, args.services, up=not args.no_up, quiet=args.quiet, prune=args.prune)
    return 0
