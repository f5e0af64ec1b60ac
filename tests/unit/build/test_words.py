"""Quotes, escapes and every expansion operator."""

from __future__ import annotations

import time

import pytest

from composer.build.dockerfile.words import WordError, expand

ENV = {"a": "foobarbaz", "e": "", "s": "two words", "p": "/usr/lib/x.tar.gz", "star": "a*b?c"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$a", "foobarbaz"),
        ("$ax", ""),
        ("${a}x", "foobarbazx"),
        ("$", "$"),
        ("$$a", "a"),
        ("$1x", "x"),
        (r"\$a", "$a"),
        (r"\\$a", r"\foobarbaz"),
        ("'$a'", "$a"),
        ('"$a"', "foobarbaz"),
        (r'"a\nb"', r"a\nb"),
        ("${u:-${e:-deep}}", "deep"),
        ("${e-x}", ""),
        ("${e:-x}", "x"),
        ("${e+x}", "x"),
        ("${e:+x}", ""),
        ("${a:?no}", "foobarbaz"),
        ("${a#*b}", "arbaz"),
        ("${a##*b}", "az"),
        ("${a%b*}", "foobar"),
        ("${a%%b*}", "foo"),
        ("${p%/*}", "/usr/lib"),
        ("${p##*.}", "gz"),
        ("${a/b?/X}", "fooXrbaz"),
        ("${a//b?/X}", "fooXrXz"),
        ("${a//o/}", "fbarbaz"),
        (r"${star//\*/X}", "aXb?c"),
        (r"${p//\//_}", "_usr_lib_x.tar.gz"),
    ],
)
def test_a_word_expands(text: str, expected: str) -> None:
    assert expand(text, ENV).text == expected


@pytest.mark.parametrize(
    "text",
    ["${", "${a", "${}", "${:x}", "${a:x}", "${a=x}", "${a:#f}", "${a/b}", "'a", '"a', "${u:?m}", "${u?m}"],
)
def test_what_is_not_a_word_is_refused(text: str) -> None:
    with pytest.raises(WordError):
        expand(text, ENV)


def test_variables_split_and_quotes_do_not() -> None:
    assert expand('x $s "$s" y\\ z', ENV).words == ["x", "two", "words", "two words", "y z"]


def test_unset_names_are_told() -> None:
    assert expand("$a $b ${c:-x} '$d'", ENV).unset == ["b", "c"]


def test_backtick_takes_over_all_duties_of_the_escape_character() -> None:
    done = expand('`$a c:\\dir "x`"y"', ENV, escape="`")
    assert done.text == '$a c:\\dir x"y'


def test_heredoc_bodies_keep_quotes() -> None:
    assert expand("\"$a\" '$e'", ENV, quotes=False).text == "\"foobarbaz\" ''"


def test_variables_that_double_each_other_are_stopped() -> None:
    values = {"v0": "x" * 1024}

    def grow() -> None:
        for number in range(40):
            values[f"v{number + 1}"] = expand(f"${{v{number}}}${{v{number}}}", values).text

    with pytest.raises(WordError, match="grows beyond"):
        grow()


def test_no_pattern_is_slow() -> None:
    started = time.monotonic()
    expand("${v##" + "*a" * 30 + "b}", {"v": "a" * 3000})
    assert time.monotonic() - started < 5
