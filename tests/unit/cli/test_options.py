from __future__ import annotations

import pytest

from composer.cli.options import GlobalOptions, parse_global
from composer.errors import UsageError


def test_everything_before_the_command_is_global() -> None:
    options, rest = parse_global(
        ["-f", "a.yaml", "--file=b.yaml", "-pshop", "--profile", "x", "up", "-d", "-f"]
    )
    assert options == GlobalOptions(files=("a.yaml", "b.yaml"), project_name="shop", profiles=("x",))
    assert rest == ["up", "-d", "-f"]


def test_defaults() -> None:
    assert parse_global(["ps"]) == (GlobalOptions(), ["ps"])


@pytest.mark.parametrize(
    ("word", "value"), [("--dry-run", True), ("--dry-run=true", True), ("--dry-run=0", False)]
)
def test_booleans_as_go_spells_them(word, value) -> None:
    assert parse_global([word, "up"])[0].dry_run is value


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--fiel", "x"], "unknown option --fiel"),
        (["-f"], "-f needs a value"),
        (["--ansi", "blue", "up"], "--ansi takes one of never, always, auto"),
        (["--parallel", "many", "up"], "--parallel takes a number"),
        (["--dry-run=perhaps", "up"], "--dry-run takes true or false"),
    ],
)
def test_mistakes_are_named(argv: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_global(argv)


def test_a_misspelt_option_gets_a_hint() -> None:
    with pytest.raises(UsageError) as caught:
        parse_global(["--projct-name", "x"])
    assert "--project-name" in caught.value.hint
