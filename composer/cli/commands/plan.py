"""`composer plan`: what `up` would do and why, without doing it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Show what up would change, and why"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from composer.cli.arguments import add_create_options, add_services, add_timeout

    add_services(parser)
    add_create_options(parser)
    add_timeout(parser)
    parser.add_argument("--always-recreate-deps", action="store_true", help="recreate dependencies too")
    parser.add_argument("-V", "--renew-anon-volumes", action="store_true", help="fresh anonymous volumes")
    parser.add_argument("--no-deps", action="store_true", help="leave dependencies alone")
    parser.add_argument("--format", choices=["text", "json"], default="text", help="how to print it")
    parser.add_argument(
        "--detailed-exitcode",
        action="store_true",
        help="exit with 2 when something would change",
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the plan."""
    from composer.cli.arguments import create_options
    from composer.cli.operate import plan

    result = plan(context, "up", create_options(args, context), context.load(args.services))
    if args.format == "json":
        context.print(json.dumps(result["plan"], indent=2, ensure_ascii=False))
    else:
        context.print(result["text"], end="")
    return 2 if args.detailed_exitcode and result["plan"]["changes"] else 0
