from __future__ import annotations

import argparse

import pytest

from composer.cli.parser import CommandParser
from composer.errors import UsageError


@pytest.fixture
def parser() -> CommandParser:
    made = CommandParser("exec", "Run something")
    made.interspersed = False
    made.add_argument("-i", "--interactive", action="store_true", default=True)
    made.add_argument("-T", "--no-tty", action="store_true")
    made.add_argument("-d", "--detach", action="store_true")
    made.add_argument("-e", "--env", action="append", default=[])
    made.add_argument("-u", "--user", default="")
    made.add_argument("service")
    made.add_argument("command", nargs=argparse.REMAINDER)
    return made


def test_options_after_the_first_word_belong_to_the_inner_command(parser: CommandParser) -> None:
    args = parser.parse(["-T", "web", "ls", "-l", "-T", "--", "x"])
    assert (args.service, args.command) == ("web", ["ls", "-l", "-T", "--", "x"])
    assert args.no_tty


def test_values_may_look_like_options(parser: CommandParser) -> None:
    args = parser.parse(["-e", "-x=1", "--env", "--y", "web", "env"])
    assert args.env == ["-x=1", "--y"]


def test_bundles(parser: CommandParser) -> None:
    args = parser.parse(["-dTu", "root", "web", "id", "-u"])
    assert (args.detach, args.no_tty, args.user, args.command) == (True, True, "root", ["id", "-u"])


def test_flags_can_be_switched_off(parser: CommandParser) -> None:
    assert parser.parse(["--interactive=false", "web"]).interactive is False
    assert parser.parse(["--detach=true", "web"]).detach is True


def test_double_dash_ends_the_options(parser: CommandParser) -> None:
    assert parser.parse(["--", "web", "-x"]).command == ["-x"]


def test_unknown_option(parser: CommandParser) -> None:
    with pytest.raises(UsageError, match="unrecognized arguments: --nope"):
        parser.parse(["--nope", "web"])


def test_missing_argument_names_the_help(parser: CommandParser) -> None:
    with pytest.raises(UsageError) as caught:
        parser.parse([])
    assert caught.value.hint == "see composer exec --help"


def test_mixed_order_for_ordinary_commands() -> None:
    made = CommandParser("ps", "List")
    made.add_argument("services", nargs="*")
    made.add_argument("-a", action="store_true")
    made.add_argument("--format", default="table")
    args = made.parse(["web", "-a", "db", "--format", "json"])
    assert (args.services, args.a, args.format) == (["web", "db"], True, "json")
