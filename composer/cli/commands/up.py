"""`composer up`: bring the machine to what the Compose files say; attached, show what containers write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Create and start containers"
NEEDS_AGENT = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    from composer.cli.arguments import add_create_options, add_services, add_timeout, add_wait_timeout

    add_services(parser, "only these services and what they need")
    parser.add_argument(
        "-d", "--detach", action="store_true", help="leave everything running in the background"
    )
    add_create_options(parser)
    add_timeout(parser)
    parser.add_argument("--always-recreate-deps", action="store_true", help="recreate dependencies too")
    parser.add_argument("-V", "--renew-anon-volumes", action="store_true", help="fresh anonymous volumes")
    parser.add_argument("--no-deps", action="store_true", help="leave dependencies alone")
    parser.add_argument("--no-start", action="store_true", help="create, but do not start")
    parser.add_argument(
        "--wait", action="store_true", help="wait until services run or are healthy; detached"
    )
    add_wait_timeout(parser)
    parser.add_argument("--abort-on-container-exit", action="store_true", help="stop all when one ends")
    parser.add_argument("--abort-on-container-failure", action="store_true", help="stop all when one fails")
    parser.add_argument(
        "--exit-code-from", default="", metavar="SERVICE", help="return its exit code; stop all"
    )
    parser.add_argument("--attach", action="append", default=[], metavar="SERVICE", help="show only these")
    parser.add_argument(
        "--no-attach", action="append", default=[], metavar="SERVICE", help="do not show these"
    )
    parser.add_argument("--attach-dependencies", action="store_true", help="show also what they need")
    parser.add_argument("--no-log-prefix", action="store_true", help="no container names")
    parser.add_argument("--no-color", action="store_true", help="no colours")
    parser.add_argument("--timestamps", action="store_true", help="write each line's time")
    parser.add_argument("-w", "--watch", action="store_true", help="watch source files too")
    parser.add_argument("--menu", action="store_true", help="not offered: nothing here needs a menu")


def run(args: argparse.Namespace, context: Context) -> int:
    """Do it."""
    check(args)
    from composer.cli.arguments import create_options, limit
    from composer.cli.operate import up
    from composer.cli.project import check_declared

    options = create_options(args, context)
    options |= {"wait": args.wait, "wait_timeout": limit(args.wait_timeout), "start": not args.no_start}
    loaded = context.load(args.services)
    check_declared(
        loaded, [*args.services, *args.attach, *args.no_attach, *filter(None, [args.exit_code_from])]
    )
    if args.detach or args.wait or args.no_start or context.options.dry_run:
        return up(context, options, loaded)
    from composer.cli.foreground import Attached, Choice

    choice = Choice(
        services=tuple(args.attach) or (() if args.attach_dependencies else tuple(args.services)),
        without=(*args.no_attach, *_unattached(loaded.document)),
        abort="exit" if args.abort_on_container_exit or args.exit_code_from else "",
        code_from=args.exit_code_from,
    )
    if args.abort_on_container_failure:
        choice = choice._replace(abort="failure")
    colour = context.colours and not args.no_color
    attached = Attached(context, loaded, options, choice, watch=args.watch)
    return attached.run(prefix=not args.no_log_prefix, colour=colour, timestamps=args.timestamps)


def check(args: argparse.Namespace) -> None:
    """Refuse options that exclude each other, as docker compose does.

    Raises:
        UsageError: They do.
        UnsupportedError: `--menu`.
    """
    abort = [
        flag
        for flag, given in (
            ("--abort-on-container-exit", args.abort_on_container_exit),
            ("--abort-on-container-failure", args.abort_on_container_failure),
            ("--exit-code-from", args.exit_code_from),
            ("--attach", args.attach),
            ("--no-attach", args.no_attach),
            ("--attach-dependencies", args.attach_dependencies),
            ("--watch", args.watch),
        )
        if given
    ]
    if args.detach and abort:
        raise UsageError(f"--detach and {abort[0]} exclude each other")
    if args.wait and abort:
        raise UsageError(f"--wait and {abort[0]} exclude each other")
    if args.abort_on_container_exit and args.abort_on_container_failure:
        raise UsageError("--abort-on-container-exit and --abort-on-container-failure exclude each other")
    if args.no_start and (args.wait or abort):
        raise UsageError(f"--no-start and {'--wait' if args.wait else abort[0]} exclude each other")
    if args.menu:
        raise UnsupportedError(
            "up --menu is not offered", hint="composer watch, logs and ps do what its keys do"
        )


def _unattached(document: dict[str, object]) -> list[str]:
    """Services with `attach: false`."""
    services = document.get("services")
    if not isinstance(services, dict):
        return []
    return [name for name, service in services.items() if service.get("attach") is False]
