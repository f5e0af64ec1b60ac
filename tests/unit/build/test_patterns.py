"""Go's glob, and ignore rules."""

from __future__ import annotations

import time

import pytest

from composer.build.patterns import BadPatternError, IgnoreRules, clean, glob_match, read_ignore_file


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("*", "a/b", False),
        ("a*/b", "ab/b", True),
        ("?", "ż", True),
        ("[^a]*", "b", True),
        ("[!a]*", "ab", True),
        ("a[[]b", "a[b", True),
        (r"h\*lp", "h*lp", True),
        (r"h\*lp", "help", False),
        ("[", "[", False),
        ("[]a]", "a", False),
        ("a\\", "a\\", False),
        ("{a,b}", "a", False),
    ],
)
def test_glob(pattern: str, name: str, *, expected: bool) -> None:
    assert glob_match(pattern, name) is expected


@pytest.mark.parametrize(
    ("patterns", "path", "walked", "alone"),
    [
        (["dir/*", "!dir"], "dir/a", True, False),  # the walk asks `!dir` of dir, which is not excluded
        (["dir", "!dir/a"], "dir/a", False, False),
        (["*", "!dir"], "dir/a", False, False),
        (["**/dir/*", "!a/dir"], "a/dir/b/c", True, False),
    ],
)
def test_a_walk_is_not_a_question(patterns: list[str], path: str, *, walked: bool, alone: bool) -> None:
    """As moby/patternmatcher has two functions, and BuildKit walks a context with the stricter one."""
    rules = IgnoreRules(patterns)
    state = rules.root_state()
    parts = path.split("/")
    for depth in range(1, len(parts) + 1):
        state = rules.descend(state, "/".join(parts[:depth]))
    assert rules.verdict(state) is walked
    assert rules.excludes(path) is alone


def test_a_range_that_is_upside_down_is_refused() -> None:
    with pytest.raises(BadPatternError, match="upside down"):
        IgnoreRules(["[z-a]"])


@pytest.mark.parametrize(
    ("patterns", "excluded", "kept"),
    [
        (["*.md"], ["a.md", "x.md/in"], ["d/a.md"]),
        (["**/*.md"], ["a.md", "d/e/a.md"], ["a.txt"]),
        (["dir"], ["dir", "dir/a"], ["dirx", "x/dir"]),
        (["dir/**"], ["dir/a", "dir/b/c"], ["dir"]),
        (["*", "!keep"], ["a", "b/c"], ["keep", "keep/x"]),
        (["dir", "!dir/a", "dir/a/b"], ["dir", "dir/x", "dir/a/b"], ["dir/a", "dir/a/c"]),
        (["a**"], ["a", "ab/c"], ["b"]),
        (["**.txt"], ["a.txt", "d/b.txt"], ["a.md"]),
        (["(x)", "$y"], ["(x)", "$y"], ["x", "y"]),
    ],
)
def test_the_last_pattern_that_matches_decides(
    patterns: list[str], excluded: list[str], kept: list[str]
) -> None:
    rules = IgnoreRules(patterns)
    assert [path for path in excluded if not rules.excludes(path)] == []
    assert [path for path in kept if rules.excludes(path)] == []


@pytest.mark.parametrize("pattern", ["!", "[a", "a[^", "\\", "[]"])
def test_malformed_ignore_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(BadPatternError):
        IgnoreRules([pattern])


def test_an_ignore_file_is_cleaned() -> None:
    text = "\ufeff# comment\n a \n\n/b\n! /c/../d \n./e/\r\n"
    assert read_ignore_file(text) == ["a", "b", "!d", "e"]


def test_patterns_made_to_backtrack_take_linear_time() -> None:
    rules = IgnoreRules(["**/a" * 20 + "/**/b", "*a*a*a*a*a*a*a*b"])
    started = time.monotonic()
    assert not rules.excludes("a/" * 60 + "c")
    assert not rules.excludes("a" * 500)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("text", ["a/**/b", "**/a/**/b/**/c/**/d/e", "**/*/**/*x*y*z*"])
def test_simulation_and_regular_expression_agree(text: str) -> None:
    from composer.build.patterns import compile_ignore_pattern

    pattern = compile_ignore_pattern(text)
    assert pattern is not None
    assert pattern.matcher is not None
    for path in (
        "a/b",
        "a/x/b",
        "ab",
        "a/b/c/d/e",
        "q/a/b/x/c/d/e",
        "xyz",
        "a/xyz",
        "a/b/x1y1z1",
        "a/b/c/d/f",
    ):
        import re

        from composer.build.patterns import _to_regex

        regex = re.compile(_to_regex(pattern.matcher._tokens), re.DOTALL)
        assert pattern.matcher._simulate(path) == bool(regex.fullmatch(path)), path


@pytest.mark.parametrize(
    ("path", "expected"), [("", "."), ("a//b/../c/", "a/c"), ("//x", "/x"), ("../a", "../a")]
)
def test_clean(path: str, expected: str) -> None:
    assert clean(path) == expected
