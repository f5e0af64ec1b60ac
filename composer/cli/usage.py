"""`composer --help`: the overview, made from the table of commands and of global options."""

from __future__ import annotations

from typing import TextIO

from composer.cli.options import OPTIONS, Option
from composer.cli.table import COMMANDS, GROUPS, Command, available, members


def print_overview(stream: TextIO) -> None:
    """Write the help of the whole program."""
    stream.write("Usage: composer [OPTIONS] COMMAND [ARGUMENTS]\n\n")
    stream.write("Compose files run on Linux namespaces.\n")
    for group, title in GROUPS.items():
        rows = [
            (name, command.help)
            for name, command in COMMANDS.items()
            if command.group == group and not command.hidden and available(command)
        ]
        stream.write(f"\n{title}:\n")
        _columns(stream, rows)
    stream.write("\nOptions, before the command:\n")
    rows = [(spell(option), describe(option)) for option in OPTIONS]
    _columns(stream, [*rows, ("-v, --version", "Print the version"), ("-h, --help", "Print this help")])
    stream.write("\ncomposer COMMAND --help tells more about a command.\n")


def print_group(stream: TextIO, word: str) -> None:
    """Write the commands below a group word such as `image`."""
    stream.write(f"Usage: composer {word} COMMAND [ARGUMENTS]\n\nCommands:\n")
    names = [name for name in members(word) if available(COMMANDS[name])]
    _columns(stream, [(name, COMMANDS[name].help) for name in names])


def spell(option: Option) -> str:
    """`-f, --file FILE`."""
    flags = ", ".join(option.flags)
    return f"{flags} {option.value}" if option.value else flags


def describe(option: Option) -> str:
    """The option's help with its choices."""
    return f"{option.help} ({'|'.join(option.choices)})" if option.choices else option.help


def visible_commands() -> dict[str, Command]:
    """The commands that this version has and shows."""
    return {name: command for name, command in COMMANDS.items() if not command.hidden and available(command)}


def _columns(stream: TextIO, rows: list[tuple[str, str]]) -> None:
    width = max((len(left) for left, _ in rows), default=0)
    stream.writelines(f"  {left:<{width}}  {right}\n" for left, right in rows)
