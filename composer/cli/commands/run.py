"""`composer run`: one container of a service for one command, with our terminal."""

from __future__ import annotations

import argparse
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from composer.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from composer.agent.client import Client
    from composer.cli.context import Context
    from composer.cli.parser import CommandParser

HELP = "Run a one-off command on a service"
NEEDS_AGENT = True


def add_arguments(parser: CommandParser) -> None:
    """Declare the options."""
    from composer.cli.arguments import add_pull_options

    parser.interspersed = False
    add = parser.add_argument
    add("-d", "--detach", action="store_true", help="leave it in the background and print its id")
    add("-e", "--env", action="append", default=[], metavar="KEY=VALUE", help="environment variable")
    add(
        "--env-from-file",
        action="append",
        default=[],
        metavar="FILE",
        help="environment variables from a file",
    )
    add("--entrypoint", default=None, metavar="COMMAND", help="instead of the service's")
    add("-i", "--interactive", action="store_true", default=True, help="keep standard input open (default)")
    add("-t", "--tty", action="store_true", help="a terminal, when this is one; always so")
    add("-T", "--no-tty", "--no-TTY", action="store_true", help="no terminal")
    add("--name", default="", metavar="NAME", help="name of the container")
    add("--no-deps", action="store_true", help="do not start what the service needs")
    add("-p", "--publish", action="append", default=[], metavar="PORT", help="publish a port")
    add("-P", "--service-ports", action="store_true", help="publish the service's ports")
    add("--rm", action="store_true", help="remove the container when it ends")
    add("-u", "--user", default="", metavar="USER", help="as this user: name or uid, [:group]")
    add("-v", "--volume", action="append", default=[], metavar="VOLUME", help="a further mount")
    add("-w", "--workdir", default="", metavar="DIR", help="in this directory")
    add("-l", "--label", action="append", default=[], metavar="KEY=VALUE", help="a further label")
    add("--cap-add", action="append", default=[], metavar="CAP", help="a further capability")
    add("--cap-drop", action="append", default=[], metavar="CAP", help="one capability less")
    add("--use-aliases", action="store_true", help="answer to the service's names")
    add("--build", action="store_true", help="build the image first")
    add_pull_options(parser)
    add("-q", "--quiet", action="store_true", help="show no progress")
    add("--remove-orphans", action="store_true", help="remove containers of unknown services")
    add("service", metavar="SERVICE", help="which service")
    add("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="instead of the service's")


def run(args: argparse.Namespace, context: Context) -> int:
    """Create, start, attach, remove."""
    from composer.cli.operate import connect, operate
    from composer.cli.project import check_declared

    if args.publish and args.service_ports:
        raise UsageError("--publish and --service-ports exclude each other")
    loaded = context.load((args.service,))
    check_declared(loaded, (args.service,))
    options = run_options(args, context)
    if context.options.dry_run:
        operate(context, "run", options, loaded=loaded)
        return 0
    with connect(context, loaded) as client:
        made = operate(context, "run", options, loaded=loaded, title="run", quiet=args.quiet, client=client)
        if args.detach:
            context.print(made["id"])
            return 0
        return _attached(args, context, client, made["id"], options)


def _attached(
    args: argparse.Namespace, context: Context, client: Client, created: str, options: dict[str, Any]
) -> int:
    """Start the container, stay until it ends, and remove it when that was asked for."""
    from composer.cli.attach import Attachment
    from composer.cli.operate import operate
    from composer.cli.terminal import DETACH_KEYS, parse_keys

    attachment = Attachment(
        context.paths,
        created,
        terminal=options["tty"],
        stdin=options["stdin_open"],
        history=True,
        detach=parse_keys(DETACH_KEYS),
    )
    try:
        operate(context, "start_container", {"id": created}, quiet=True, client=client)
        return attachment.run()
    finally:
        if args.rm and not attachment.detached:
            removal = {"id": created, "volumes": True, "force": True}
            with suppress(NotFoundError):  # a new agent found it over before we did
                operate(context, "remove_container", removal, quiet=True, client=client)


def run_options(args: argparse.Namespace, context: Context) -> dict[str, Any]:
    """`RunOptions` as JSON.

    Raises:
        UsageError: A port, volume, label or file is wrong.
    """
    from shlex import split

    from composer.cli.arguments import build_options, orphans, parallel
    from composer.cli.commands.exec import resolve_environment

    files = [word for path in args.env_from_file for word in _read_environment(path, context)]
    terminal = not args.no_tty and not args.detach and os.isatty(0) and os.isatty(1)
    return {
        "service": args.service,
        "command": args.command or None,
        "entrypoint": None if args.entrypoint is None else split(args.entrypoint),
        "environment": [*files, *resolve_environment(args.env, context)],
        "name": args.name,
        "user": args.user,
        "working_dir": args.workdir,
        "labels": dict(_pair(word) for word in args.label),
        "volumes": _volumes(args.volume, context),
        "ports": _ports(args.publish),
        "service_ports": args.service_ports,
        "use_aliases": args.use_aliases,
        "no_deps": args.no_deps,
        "cap_add": args.cap_add,
        "cap_drop": args.cap_drop,
        "tty": terminal,
        "stdin_open": args.interactive and not args.detach,
        "remove": args.rm,
        "start": args.detach,
        "remove_orphans": orphans(args, context)[0],
        "parallel": parallel(context),
        **build_options(args),
    }


def _pair(word: str) -> tuple[str, str]:
    key, _, value = word.partition("=")
    return key, value


def _read_environment(path: str, context: Context) -> list[str]:
    from composer.spec import dotenv

    whole = os.path.join(context.cwd, path)
    values = dotenv.parse(dotenv.read(whole), context.environ.get, file=path)
    return [f"{key}={value}" for key, value in values.items()]


def _ports(words: list[str]) -> list[dict[str, Any]]:
    from composer.spec.ports import parse_port

    try:
        return [entry for word in words for entry in parse_port(word)]
    except ValueError as error:
        raise UsageError(f"--publish: {error}") from None


def _volumes(words: list[str], context: Context) -> list[dict[str, Any]]:
    from composer.spec.volumes import parse_volume

    try:
        volumes = [parse_volume(word) for word in words]
    except ValueError as error:
        raise UsageError(f"--volume: {error}") from None
    for volume in volumes:
        if volume["type"] == "bind":
            volume["source"] = os.path.join(context.cwd, os.path.expanduser(volume["source"]))
    return volumes
