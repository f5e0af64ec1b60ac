"""Env files."""

from __future__ import annotations

import pytest

from composer.errors import SpecError
from composer.spec.dotenv import parse, parse_raw

OUTER = {"OUTER": "outside"}


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("A=1\n# comment\n\nB = 2 # two", {"A": "1", "B": "2"}),
        ("\ufeffA=1", {"A": "1"}),
        ("export A=1", {"A": "1"}),
        ("A: b", {"A": "b"}),
        ("B= # c", {"B": "# c"}),
        ("A=b#c", {"A": "b#c"}),
        ("A=$OUTER-${MISSING:-d}", {"A": "outside-d"}),
        ("A=1\nB=$A", {"A": "1", "B": "1"}),
        ('A="x\\ny\\tz"', {"A": "x\ny\tz"}),
        ('A="one\ntwo"\nB=3', {"A": "one\ntwo", "B": "3"}),
        ("A='$OUTER \\n'", {"A": "$OUTER \\n"}),
        ("A='it\\'s'", {"A": "it's"}),
        ('A="\\$OUTER"', {"A": "$OUTER"}),
        ('A="\\0101\\u12"', {"A": "A\\u12"}),
        ("OUTER\nUNKNOWN\n", {"OUTER": "outside"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("A=a=b:c", {"A": "a=b:c"}),
        ("A=", {"A": ""}),
        ("A.b-c[0]=1", {"A.b-c[0]": "1"}),
        ('A="x" # c\nB=1', {"A": "x", "B": "1"}),
        ("", {}),
    ],
)
def test_parse(text, values):
    assert parse(text, OUTER.get) == values


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("A=1\nB C=2", "key cannot contain a space", 2),
        ("A=1\n\nB!=2", 'unexpected character "!"', 3),
        ('A=1\nB="x\ny', "unterminated quoted value", 2),
        ("A='x", "unterminated quoted value", 1),
        ("A=${", "invalid interpolation", 1),
        ("A=${B:?no b}", "no b", 1),
    ],
)
def test_errors_have_lines(text, message, line):
    with pytest.raises(SpecError) as caught:
        parse(text, OUTER.get, file="x.env")
    assert message in str(caught.value)
    assert caught.value.where == ("x.env", line, 1)


def test_raw():
    assert parse_raw("A='$B'\n# c\nOUTER\nNONE\nC= d ", OUTER.get) == {
        "A": "'$B'",
        "OUTER": "outside",
        "C": " d ",
    }
    with pytest.raises(SpecError, match="whitespace"):
        parse_raw("A B=1", OUTER.get)
