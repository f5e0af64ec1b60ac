"""`composer exec`: a command in a running container, through the container's shim; no agent, no YAML."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from composer.cli.context import Context
    from composer.cli.parser import CommandParser

HELP = "Run a command in a running container"


def add_arguments(parser: CommandParser) -> None:
    """Declare the options."""
    parser.interspersed = False
    parser.add_argument("-d", "--detach", action="store_true", help="leave it in the background")
    parser.add_argument(
        "-e", "--env", action="append", default=[], metavar="KEY=VALUE", help="environment variable"
    )
    parser.add_argument("--index", type=int, default=0, metavar="N", help="which replica")
    parser.add_argument("-i", "--interactive", action="store_true", default=True, help="always so")
    parser.add_argument("-t", "--tty", action="store_true", help="a terminal, when this is one; always so")
    parser.add_argument("-T", "--no-tty", "--no-TTY", action="store_true", help="no terminal")
    parser.add_argument("--privileged", action="store_true", help="with all capabilities")
    parser.add_argument(
        "-u", "--user", default="", metavar="USER", help="as this user: name or uid, [:group]"
    )
    parser.add_argument("-w", "--workdir", default="", metavar="DIR", help="in this directory")
    parser.add_argument("service", metavar="SERVICE", help="in which service")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="what to run")


def run(args: argparse.Namespace, context: Context) -> int:
    """Run it; its exit code is ours."""
    from composer.cli.execute import Execution
    from composer.cli.project import one_container
    from composer.errors import UsageError

    if not args.command:
        raise UsageError("exec: what to run is missing", hint="see composer exec --help")
    container = one_container(context, args.service, args.index)
    process: dict[str, Any] = {"args": args.command}
    if args.user:
        process["user"] = args.user
    if args.workdir:
        process["cwd"] = args.workdir
    environment = resolve_environment(args.env, context)
    terminal = not args.no_tty and not args.detach
    execution = Execution(context.paths, container.id, process, environment, privileged=args.privileged)
    return execution.detached() if args.detach else execution.run(terminal=terminal)


def resolve_environment(words: list[str], context: Context) -> list[str]:
    """`-e KEY=VALUE` as it is, `-e KEY` with this process's value, or left out when it has none."""
    return [
        word if "=" in word else f"{word}={context.environ[word]}"
        for word in words
        if "=" in word or word in context.environ
    ]
