"""The reference of the command line: `python -m composer.cli.reference > docs/reference/cli.md`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from composer.cli.describe import describe_all
from composer.cli.options import OPTIONS
from composer.cli.table import COMMANDS, GROUPS
from composer.cli.usage import describe as describe_option
from composer.cli.usage import spell

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from composer.cli.describe import Description, Flag

_HEAD = """# Command line

This page is generated from the commands by `python -m composer.cli.reference`; a test compares the two.

    composer [OPTIONS] COMMAND [ARGUMENTS]

Words and flags are those of `docker compose`. Data goes to standard output, everything else to standard
error. Options before the command say which project is meant; options after it belong to the command.
`--flag=false` switches a flag off.

## Exit codes

| code | meaning |
| --- | --- |
| 0 | done |
| 1 | an error; one sentence on standard error says which |
| 2 | the command line is wrong; or `plan --detailed-exitcode` found changes |
| 125 | the engine could not do what was asked |
| 126 | the command of a container cannot be executed |
| 127 | the command of a container does not exist |
| 130 | interrupted |
| other | `exec`, `run`, `attach`, `wait` and `up --exit-code-from` return that of the container |

## Environment

| variable | effect |
| --- | --- |
| `COMPOSER_HOME` | everything lives below this directory instead of /var/lib/composer and /run/composer |
| `COMPOSE_FILE`, `COMPOSE_PATH_SEPARATOR`, `COMPOSE_PROJECT_NAME`, `COMPOSE_PROFILES`, `COMPOSE_ENV_FILES`, \
`COMPOSE_DISABLE_ENV_FILE` | which project, as for docker compose |
| `COMPOSE_REMOVE_ORPHANS`, `COMPOSE_IGNORE_ORPHANS` | remove orphaned containers, or do not mention them |
| `COMPOSE_PARALLEL_LIMIT` | most operations at once |
| `COMPOSE_ANSI`, `COMPOSE_PROGRESS`, `COMPOSE_STATUS_STDOUT`, `NO_COLOR` | progress and colours |
| `COMPOSER_DEBUG` | like `--debug` |
"""


def markdown(commands: Sequence[Description]) -> str:
    """The page."""
    lines = [_HEAD, "## Options before the command", ""]
    lines += _rows((f"`{spell(option)}`", describe_option(option)) for option in OPTIONS)
    lines += ["", "## Commands", ""]
    for group, title in GROUPS.items():
        members = [command for command in commands if COMMANDS[command.name].group == group]
        lines += [f"{title}: " + ", ".join(f"[{c.name}](#{_anchor(c.name)})" for c in members), ""]
    for command in commands:
        lines += [f"### {command.name}", "", f"{command.help}.", "", f"    {command.usage}", ""]
        lines += _rows(
            [(f"`{spelled}`", text) for spelled, text in command.arguments] + _flags(command.flags)
        )
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _flags(flags: Iterable[Flag]) -> list[tuple[str, str]]:
    rows = []
    for flag in flags:
        if "--help" in flag.names:
            continue
        names = ", ".join(f"`{name}`" for name in flag.names)
        value = f" {'|'.join(flag.choices) or flag.value}" if flag.value else ""
        rows.append(
            (
                f"{names}{value.replace('|', chr(92) + '|')}",
                flag.help + (", repeatable" if flag.repeat else ""),
            )
        )
    return rows


def _rows(rows: Iterable[tuple[str, str]]) -> list[str]:
    found = [f"| {left} | {right.replace('|', chr(92) + '|')} |" for left, right in rows]
    return ["| option | meaning |", "| --- | --- |", *found] if found else []


def _anchor(name: str) -> str:
    return name.replace(" ", "-")


if __name__ == "__main__":
    sys.stdout.write(markdown(describe_all()))
