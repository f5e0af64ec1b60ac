"""Hostile files end in a clear error, soon."""

from __future__ import annotations

import time

import pytest

from composer.errors import SpecError
from composer.spec import load
from composer.spec.reader import read_documents


def bomb(levels=9, width=9):
    lines = ["a0: &a0 [x]"]
    lines += [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]" for level in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (bomb(), "too large"),
        ("[" * 100_000, "nested deeper"),
        ("{a: " * 100_000, "nested deeper"),
        ("- " * 100_000, "nested deeper"),
        ("- a\n" * 200_000, "too large"),
        ("a: " + "x" * (11 << 20), "too large"),
        ("a: &a [*a]", "contains itself"),
        ("a: &a {<<: *a}", "contains itself"),
    ],
)
def test_limits(text, message):
    start = time.monotonic()
    with pytest.raises(SpecError, match=message):
        read_documents(text, "compose.yaml")
    assert time.monotonic() - start < 20


def test_a_huge_scalar_is_only_large(tmp_path):
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x}}\nx-a: " + "y" * (9 << 20))
    assert load(working_dir=str(tmp_path), environ={}).service_names == ("a",)


def test_a_chain_of_includes_ends(tmp_path):
    for number in range(60):
        (tmp_path / f"c{number}.yaml").write_text(f"include: [c{number + 1}.yaml, c{number + 1}.yaml]\n")
    (tmp_path / "c60.yaml").write_text("services: {}\n")
    with pytest.raises(SpecError, match="more than 1000 includes"):
        load(["c0.yaml"], working_dir=str(tmp_path), environ={})


def test_a_value_with_many_variables_is_linear(tmp_path):
    (tmp_path / "compose.yaml").write_text(
        "services: {a: {image: x}}\nx-a: '" + "${A:-" * 90 + "$B" * 50_000 + "}" * 90 + "'"
    )
    start = time.monotonic()
    load(working_dir=str(tmp_path), environ={})
    assert time.monotonic() - start < 20
