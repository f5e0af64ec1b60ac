"""`composer scale`: how many containers a service has, until the next `up` goes by the file again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Set the number of containers of services"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("scale", nargs="+", metavar="SERVICE=N", help="number of containers of a service")
    parser.add_argument("--no-deps", action="store_true", help="leave dependencies alone")


def run(args: argparse.Namespace, context: Context) -> int:
    """Scale."""
    from composer.cli.arguments import parallel, scales
    from composer.cli.operate import up
    from composer.cli.project import check_declared

    wanted = scales(args.scale)
    loaded = context.load(tuple(wanted))
    check_declared(loaded, tuple(wanted))
    options = {
        "services": list(wanted),
        "scale": wanted,
        "no_deps": args.no_deps,
        "recreate": "never",
        "recreate_dependencies": "never",
        "ignore_orphans": True,
        "parallel": parallel(context),
    }
    return up(context, options, loaded, title="scale")
