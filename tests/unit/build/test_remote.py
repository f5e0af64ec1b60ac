"""What counts as remote, and what a git source says."""

from __future__ import annotations

import pytest

from composer.build.remote import GitSource, is_git, is_remote, parse_git
from composer.errors import BuildError


@pytest.mark.parametrize(
    ("text", "git"),
    [
        ("https://h/x.tar.gz", False),
        ("https://h/x.git", True),
        ("https://h/x.git#main:d", True),
        ("git@github.com:o/r", True),
        ("github.com/o/r", True),
        ("ssh://h/x", True),
    ],
)
def test_kinds(text: str, *, git: bool) -> None:
    assert is_remote(text)
    assert is_git(text) is git


@pytest.mark.parametrize("text", ["dir", "./x.git", "/abs", "a:b", "x@y"])
def test_paths_are_local(text: str) -> None:
    assert not is_remote(text)


def test_fragments_and_queries() -> None:
    assert parse_git("https://h/x.git#v1:sub/dir") == GitSource("https://h/x.git", "v1", "sub/dir")
    assert parse_git("https://h/x.git?branch=b&subdir=d&checksum=abc") == GitSource(
        "https://h/x.git", "refs/heads/b", "d", "abc"
    )


@pytest.mark.parametrize("text", ["https://h/x.git#:../..", "https://h/x.git#-u", "https://h/x.git?nope=1"])
def test_what_is_refused(text: str) -> None:
    with pytest.raises(BuildError):
        parse_git(text)
