"""Entry point: finds the command's module, parses, runs, turns errors into one sentence and an exit code."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from composer.cli.options import parse_global
from composer.errors import ComposerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from composer.cli.context import Context

_GARBAGE = 50_000
"""Objects between two collections: most commands make fewer, and end."""


def program() -> NoReturn:
    """The process `composer`: `main`, without what only a process that goes on has to do."""
    gc.set_threshold(_GARBAGE)
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # main has said so; or nobody reads it any more
            stream.flush()
    # Taking every module apart would be a fifth of a short command. Threads here are daemons, and what must
    # be given back is given back by `with`.
    os._exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program with *argv* (default: the process's own) and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    debug = bool(os.environ.get("COMPOSER_DEBUG"))
    _fill_standard_streams()
    try:
        options, rest = parse_global(words)
        debug = debug or options.debug
        from composer.cli.context import Context

        code = dispatch(rest, Context(options, alone=argv is None))
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader went away (`composer logs | head`): end as SIGPIPE would, and keep the interpreter's
        # own flush at exit from complaining.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    except SystemExit as request:
        return request.code if isinstance(request.code, int) else 1
    except BaseException as error:  # noqa: BLE001 - the one place that turns exceptions into exit codes
        return report_error(error, debug=debug)
    return code


def dispatch(words: list[str], context: Context) -> int:
    """Carry out the command that *words* begin with.

    Raises:
        UsageError: There is no such command, or its arguments are wrong.
    """
    if not words or words[0] in ("-h", "--help") or words == ["help"]:
        from composer.cli.usage import print_overview

        print_overview(context.stdout)
        return 0
    if words[0] in ("-v", "--version"):
        from composer import __version__

        context.print(f"composer version {__version__}")
        return 0
    if words[0] == "help":
        words = [*words[1:], "--help"]
    if context.options.compatibility:
        from composer.errors import UnsupportedError

        raise UnsupportedError(
            "--compatibility is not offered", hint="containers are named PROJECT-SERVICE-1"
        )
    from composer.cli.table import COMMANDS, members, split

    name, rest = split(words)
    if name not in COMMANDS:
        if group := members(name):
            from composer.cli.usage import print_group

            if rest and rest[0] not in ("-h", "--help"):
                raise UsageError(f"{name} has no command {rest[0]!r}", hint=f"it has {', '.join(group)}")
            print_group(context.stdout, name)
            return 0 if rest else 2
        raise UsageError(f"there is no command {name!r}", hint=_suggest(name))
    return run_command(name, rest, context)


def run_command(name: str, words: list[str], context: Context) -> int:
    """Import the module of the command *name*, parse *words* with its arguments and run it."""
    from importlib import import_module

    from composer.cli.table import COMMANDS

    command = COMMANDS[name]
    qualified = f"composer.cli.commands.{command.module}"
    try:
        module = import_module(qualified)
    except ModuleNotFoundError as error:
        if error.name != qualified:
            raise
        raise UsageError(f"{name} is not in this version of composer") from error
    if getattr(module, "NEEDS_AGENT", False) and not {"-h", "--help"}.intersection(words):
        from composer.cli.operate import start_agent

        start_agent(context)  # its imports take longer than all that this process does meanwhile
    from composer.cli.parser import CommandParser

    parser = CommandParser(name, module.HELP)
    module.add_arguments(parser)
    arguments = parser.parse(words)
    try:
        result: int = module.run(arguments, context)
    except ComposerError as error:
        context.locate(error)
        raise
    return result


def report_error(error: BaseException, *, debug: bool) -> int:
    """Print *error* as one sentence (with `--debug` also its traceback) and return the exit code."""
    if debug:
        import traceback

        traceback.print_exception(error)
    found = _first(error)
    if found is None:
        if isinstance(error, OSError) and error.strerror:
            place = f"{error.filename}: " if error.filename else ""
            sys.stderr.write(f"composer: {place}{error.strerror}\n")
        else:
            hint = "" if debug else " (run it again with --debug to see where, and please report it)"
            sys.stderr.write(f"composer: internal error: {type(error).__name__}: {error}{hint}\n")
        return 1
    if found.where is not None:
        # `file:line:column: ...` stays at the start of the line, where editors look for it.
        found.where = found.where.seen_from(os.getcwd())
        sys.stderr.write(f"{found}\n")
        if sys.stderr.isatty():
            from composer.cli.render.excerpt import excerpt

            sys.stderr.write(excerpt(found.where))
    elif found.message:
        sys.stderr.write(f"composer: {found}\n")
    return found.exit_code


def _fill_standard_streams() -> None:
    """Open /dev/null where a standard stream is closed, so that no socket becomes standard output."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, open(fd, "r" if fd == 0 else "w", encoding="utf-8"))  # noqa: SIM115


def _first(error: BaseException) -> ComposerError | None:
    """The first of our own errors in *error*, looking into exception groups."""
    if isinstance(error, ComposerError):
        return error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            if found := _first(inner):
                return found
    return None


def _suggest(name: str) -> str:
    from difflib import get_close_matches

    from composer.cli.table import COMMANDS

    visible = [word for word, command in COMMANDS.items() if not command.hidden]
    matches = get_close_matches(name, visible, n=1)
    return f"did you mean {matches[0]}?" if matches else "composer --help lists them"


if __name__ == "__main__":
    program()
