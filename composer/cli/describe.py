"""The whole command line as data, for completion scripts and the generated reference."""

from __future__ import annotations

import argparse
from importlib import import_module
from typing import NamedTuple

from composer.cli.parser import CommandParser
from composer.cli.usage import visible_commands

KINDS = {"SERVICE": "services", "IMAGE": "images", "PROJECT": "projects"}
"""What stands for a name that `composer __complete` knows, by the argument's metavar."""


class Flag(NamedTuple):
    """One option of a command.

    Attributes:
        names: Its spellings.
        value: The word for its value, empty when it takes none.
        choices: The values it takes, when they are few.
        help: One line.
        repeat: It may be given several times.
    """

    names: tuple[str, ...]
    value: str
    choices: tuple[str, ...]
    help: str
    repeat: bool


class Description(NamedTuple):
    """One command.

    Attributes:
        name: Its words.
        help: One line.
        usage: `composer up [OPTIONS] [SERVICE...]`.
        flags: Its options.
        arguments: Metavar and help of each argument.
        kind: What its arguments are: `services`, `images`, `projects`, or empty for files.
        passes: It ends in another command line (`exec`, `run`).
    """

    name: str
    help: str
    usage: str
    flags: tuple[Flag, ...]
    arguments: tuple[tuple[str, str], ...]
    kind: str
    passes: bool


def describe_all() -> list[Description]:
    """Every visible command, in the table's order."""
    return [describe(name) for name in visible_commands()]


def describe(name: str) -> Description:
    """One command, by building its parser."""
    command = visible_commands()[name]
    module = import_module(f"composer.cli.commands.{command.module}")
    parser = CommandParser(name, module.HELP)
    module.add_arguments(parser)
    flags = []
    arguments = []
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way to list them
        if action.help == argparse.SUPPRESS:
            continue
        metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
        if action.option_strings:
            flags.append(_flag(action, metavar))
        else:
            arguments.append((_spell(action, metavar), action.help or "", metavar))
    kinds = [KINDS[metavar] for *_, metavar in arguments if metavar in KINDS]
    usage = " ".join([f"composer {name} [OPTIONS]", *(spelled for spelled, *_ in arguments)])
    return Description(
        name,
        command.help,
        usage,
        tuple(flags),
        tuple((spelled, text) for spelled, text, _ in arguments),
        kinds[0] if kinds else "",
        not parser.interspersed,
    )


def _flag(action: argparse.Action, metavar: str) -> Flag:
    takes = action.nargs != 0
    choices = tuple(map(str, action.choices)) if action.choices else ()
    repeat = isinstance(action, argparse._AppendAction)  # noqa: SLF001 - see above
    text = (action.help or "").replace("%%", "%")
    return Flag(tuple(action.option_strings), metavar if takes else "", choices, text, repeat)


def _spell(action: argparse.Action, metavar: str) -> str:
    if action.nargs == "?":
        return f"[{metavar}]"
    if action.nargs in ("*", argparse.REMAINDER):
        return f"[{metavar}...]"
    return f"{metavar}..." if action.nargs == "+" else metavar
