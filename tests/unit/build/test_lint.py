"""Build checks, and the switches that silence them."""

from __future__ import annotations

import pytest

from composer.build.dockerfile.parser import parse
from composer.build.lint import check
from composer.build.lint.check import check_dockerfile
from composer.build.patterns import IgnoreRules
from composer.errors import BuildError


def rules(text: str, **more: object) -> list[tuple[str, int]]:
    return [(warning.rule, warning.line) for warning in check(text, **more).warnings]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('FROM a\nCMD ["x"]\n', []),
        ("FROM a AS B\n", [("StageNameCasing", 1)]),
        ("FROM a as b\n", [("FromAsCasing", 1)]),
        ("FROM a AS b\nFROM a AS B\n", [("DuplicateStageName", 2), ("StageNameCasing", 2)]),
        ("FROM a AS scratch\n", [("ReservedStageName", 1)]),
        ("FROM a\nMAINTAINER x\n", [("MaintainerDeprecated", 2)]),
        ("FROM a\nWORKDIR x\n", [("WorkdirRelativePath", 2)]),
        ("FROM a\nENV x y\n", [("LegacyKeyValueFormat", 2)]),
        ("FROM a\nLABEL x=$nope\n", [("UndefinedVar", 2)]),
        ("FROM a\nARG API_KEY PUBLIC_KEY MONKEY\n", [("SecretsUsedInArgOrEnv", 2)]),
        ("FROM a\nEXPOSE 80/TCP\n", [("ExposeProtoCasing", 2)]),
        ("FROM --platform=$TARGETPLATFORM a\n", [("RedundantTargetPlatform", 1)]),
        (
            "FROM a\nCMD x\nCMD y\n",
            [("JSONArgsRecommended", 2), ("MultipleInstructionsDisallowed", 2), ("JSONArgsRecommended", 3)],
        ),
        ("# check=skip=all\nFROM a AS B\nCMD x\n", []),
        ("# check=experimental=all\n# wrong\nFROM a AS foo\n", [("InvalidDefinitionDescription", 3)]),
        ("# check=experimental=all\n# foo does it\nFROM a AS foo\n", []),
    ],
)
def test_rules(text: str, expected: list[tuple[str, int]]) -> None:
    assert rules(text) == expected


def test_a_target_limits_what_is_walked() -> None:
    text = "FROM a AS one\nCMD x\nFROM a AS two\nCMD y\n"
    assert rules(text, target="two") == [("JSONArgsRecommended", 4)]
    assert len(rules(text)) == 2


def test_error_true_fails() -> None:
    assert check("# check=error=true\nFROM a\nCMD x\n").fails
    assert not check("# check=error=true\nFROM a\n").fails


def test_unknown_options_are_refused() -> None:
    with pytest.raises(BuildError, match="nope"):
        check("# check=nope=1\nFROM a\n")


def test_ignored_sources_are_found() -> None:
    done = parse("FROM a\nCOPY x.md y.txt /d/\n")
    result = check_dockerfile(done, build_args={}, ignore=IgnoreRules(["*.md"]))
    assert [warning.rule for warning in result.warnings] == ["CopyIgnoredFile"]


def test_a_base_that_cannot_be_is_an_error_even_with_defaults() -> None:
    result = check("ARG TAG\nFROM a:$TAG\n")
    assert result.error is not None
    assert [warning.rule for warning in result.warnings] == ["InvalidDefaultArgInFrom"]
    assert check("ARG TAG\nFROM a:$TAG\n", build_args={"TAG": "1"}).error is None
