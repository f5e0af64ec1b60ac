"""The options before the command, parsed by hand: argparse is for the chosen command only."""

from __future__ import annotations

from typing import NamedTuple

from composer.errors import UsageError


class GlobalOptions(NamedTuple):
    """What stood before the command on the command line.

    An empty tuple or string means: not given; the environment or a default decides.
    """

    files: tuple[str, ...] = ()
    project_name: str = ""
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()
    project_directory: str = ""
    ansi: str = "auto"
    progress: str = "auto"
    parallel: int = -1
    compatibility: bool = False
    all_resources: bool = False
    dry_run: bool = False
    verbose: bool = False
    debug: bool = False


class Option(NamedTuple):
    """One global option: its spellings, the field it fills, the word for its value and its help."""

    flags: tuple[str, ...]
    field: str
    value: str
    help: str
    choices: tuple[str, ...] = ()
    repeat: bool = False


OPTIONS = (
    Option(
        ("-f", "--file"), "files", "FILE", "Compose file; may be repeated, - is standard input", repeat=True
    ),
    Option(("-p", "--project-name"), "project_name", "NAME", "Project name"),
    Option(("--profile",), "profiles", "NAME", "Profile to enable; may be repeated", repeat=True),
    Option(
        ("--env-file",), "env_files", "FILE", "Environment file instead of .env; may be repeated", repeat=True
    ),
    Option(("--project-directory",), "project_directory", "DIR", "Directory that relative paths start from"),
    Option(("--ansi",), "ansi", "WHEN", "Colours and cursor movement", ("never", "always", "auto")),
    Option(
        ("--progress",),
        "progress",
        "KIND",
        "How progress is shown",
        ("auto", "tty", "plain", "json", "quiet"),
    ),
    Option(("--parallel",), "parallel", "N", "Most operations at once; -1 is without limit"),
    Option(("--compatibility",), "compatibility", "", "Not offered: names as Compose v1 made them"),
    Option(("--all-resources",), "all_resources", "", "Include resources that no service uses"),
    Option(("--dry-run",), "dry_run", "", "Show what would be done and do nothing"),
    Option(("--verbose",), "verbose", "", "Say more"),
    Option(("--debug",), "debug", "", "Show tracebacks and log to standard error"),
)
_BY_FLAG = {flag: option for option in OPTIONS for flag in option.flags}
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_FALSE = frozenset({"0", "f", "F", "false", "FALSE", "False"})


def boolean(flag: str, text: str) -> bool:
    """The value of `--flag=text` for a flag that is on or off.

    Raises:
        UsageError: *text* is neither true nor false.
    """
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise UsageError(f"{flag} takes true or false, not {text!r}")


def parse_global(argv: list[str]) -> tuple[GlobalOptions, list[str]]:
    """Split *argv* into the global options and the words from the command on.

    `--help` and `--version` are returned as words, since they behave like commands.

    Raises:
        UsageError: An option is unknown, lacks its value or has one that is not allowed.
    """
    single: dict[str, str | int | bool] = {}
    lists: dict[str, list[str]] = {}
    index = 0
    while index < len(argv):
        word = argv[index]
        if not word.startswith("-") or word in ("-h", "--help", "-v", "--version"):
            break
        index += 1
        flag, equals, value = word.partition("=")
        if not word.startswith("--") and len(word) > 2:
            flag, value = word[:2], word[2:].removeprefix("=")
            equals = "="
        option = _BY_FLAG.get(flag)
        if option is None:
            raise UsageError(f"unknown option {flag} before the command", hint=_suggest(flag))
        if not option.value:
            single[option.field] = boolean(flag, value) if equals else True
            continue
        if not equals:
            if index >= len(argv):
                raise UsageError(f"{flag} needs a value: {option.value}")
            value = argv[index]
            index += 1
        if option.choices and value not in option.choices:
            raise UsageError(f"{flag} takes one of {', '.join(option.choices)}, not {value!r}")
        if option.repeat:
            lists.setdefault(option.field, []).append(value)
        else:
            single[option.field] = _number(flag, value) if option.field == "parallel" else value
    lists_as_tuples = {field: tuple(values) for field, values in lists.items()}
    return GlobalOptions()._replace(**single, **lists_as_tuples), argv[index:]  # type: ignore[arg-type]


def _number(flag: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{flag} takes a number, not {text!r}") from None


def _suggest(flag: str) -> str:
    from difflib import get_close_matches

    matches = get_close_matches(flag, _BY_FLAG, n=1)
    return f"did you mean {matches[0]}?" if matches else "composer --help lists them"
