"""The grammar of variables."""

from __future__ import annotations

import pytest

from composer.spec.template import TemplateError, Variable, substitute, variables

VALUES = {"SET": "value", "EMPTY": "", "OTHER": "other"}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("$SET ${SET}", "value value"),
        ("${EMPTY}|${UNSET}", "|"),
        ("${SET:-w} ${EMPTY:-w} ${UNSET:-w}", "value w w"),
        ("${SET-w} ${EMPTY-w} ${UNSET-w}", "value  w"),
        ("${SET:+w} ${EMPTY:+w} ${UNSET:+w}", "w  "),
        ("${SET+w} ${EMPTY+w} ${UNSET+w}", "w w "),
        ("${UNSET:-x${OTHER:-y}}", "xother"),
        ("${UNSET:-{}}", "{}"),
        ("${UNSET-x:-y}", "x:-y"),
        ("${UNSET:-$SET}b", "valueb"),
        ("$$SET $${SET}", "$SET ${SET}"),
        ("$1 $(x) $", "$1 $(x) $"),
        ("${UNSET:-${EMPTY:-${SET}}}!", "value!"),
        ("a$SET-b", "avalue-b"),
        ("${SET:?message}", "value"),
        ("${EMPTY?message}", ""),
    ],
)
def test_substitute(template, text):
    assert substitute(template, VALUES.get) == text


@pytest.mark.parametrize(
    "template",
    ["${}", "${ }", "${1}", "${a.b}", "${A:=x}", "${A/x/y}", "${A", "${ A}", "${A!}", "${A:-a\nb}"],
)
def test_malformed(template):
    with pytest.raises(TemplateError) as caught:
        substitute(template, VALUES.get)
    assert not caught.value.required
    assert template in str(caught.value)


def test_required():
    with pytest.raises(
        TemplateError, match=r"required variable UNSET is missing a value: say other"
    ) as caught:
        substitute("${UNSET?say $OTHER}", VALUES.get)
    assert caught.value.required
    with pytest.raises(TemplateError, match=r"is missing a value$"):
        substitute("${EMPTY:?}", VALUES.get)


def test_only_the_branch_taken_is_evaluated():
    missing = []
    assert substitute("${SET:-$UNSET}${UNSET+$UNSET}", VALUES.get, missing.append) == "value"
    assert missing == []
    substitute("$UNSET", VALUES.get, missing.append)
    assert missing == ["UNSET"]


def test_deep_nesting_ends():
    with pytest.raises(TemplateError, match="nested"):
        substitute("${A:-" * 5000 + "}" * 5000, VALUES.get)


def test_variables_lists_words_too():
    assert variables("$A ${B:-${C:?}} $$D ${E+x}") == [
        Variable("A"),
        Variable("B", default="${C:?}"),
        Variable("C", required=True),
        Variable("E", presence="x"),
    ]
