"""Lines, words, here-documents and the errors that point at them."""

from __future__ import annotations

import pytest

from composer.build.dockerfile import instructions as ins
from composer.build.dockerfile.parser import parse, parse_trigger
from composer.errors import BuildError


def only(text: str) -> ins.Instruction:
    stage = parse(f"FROM scratch\n{text}").stages[0]
    assert len(stage.instructions) == 1
    return stage.instructions[0]


def test_continuations_comments_and_blank_lines_are_joined() -> None:
    found = only("RUN a \\\n# comment\n\n  b \\\n c\n")
    assert isinstance(found, ins.Run)
    assert found.command == ("a   b  c",)
    assert (found.node.first_line, found.node.last_line) == (2, 6)
    assert found.node.empty_continuation == 6


def test_heredocs_carry_their_bodies_and_their_quoting() -> None:
    found = only("COPY <<A <<-'B' plain /d/\n$x\nA\n\t\ty\n\tB\n")
    assert isinstance(found, ins.Copy)
    assert found.sources == ("plain",)
    assert [(h.name, h.expand, h.text) for h in found.heredocs] == [("A", True, "$x\n"), ("B", False, "y\n")]


@pytest.mark.parametrize("word", ['"<<E"', "<<<E", "a<b", "<<"])
def test_what_looks_like_a_heredoc_and_is_none(word: str) -> None:
    found = only(f"RUN cat {word}\n")
    assert isinstance(found, ins.Run)
    assert found.heredocs == ()


def test_directives_end_at_the_first_other_line() -> None:
    done = parse("# escape=`\n#\n# check=skip=all\nFROM a\n")
    assert done.source.directives == {"escape": ("`", 1)}


def test_json_form_is_only_what_is_json() -> None:
    first = only('CMD ["a", "b c"]')
    second = only("CMD ['a']")
    assert isinstance(first, ins.Cmd)
    assert isinstance(second, ins.Cmd)
    assert (first.command, first.json) == (("a", "b c"), True)
    assert (second.command, second.json) == (("['a']",), False)


def test_stage_names_are_found_in_any_case() -> None:
    done = parse("FROM a AS Build\nFROM build\nFROM c AS build\n")
    assert done.names == {"build": (0, 2)}
    assert done.stages[0].title == "Build"


def test_onbuild_keeps_its_text_and_its_heredoc() -> None:
    found = only("ONBUILD RUN <<E\nx\nE\n")
    assert isinstance(found, ins.Onbuild)
    assert found.expression == "RUN <<E\nx\nE"
    again = parse_trigger(found.expression, "base")
    assert isinstance(again, ins.Run)
    assert again.heredocs[0].content == "x\n"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("FROM a\nNOPE x", 2, "unknown instruction"),
        ("FROM a\n\nCOPY a", 3, "at least two"),
        ("FROM a\nCOPY --nope a b", 2, "no flag --nope"),
        ("FROM a\nCOPY --from=x --from=y a b", 2, "twice"),
        ("FROM a\nCOPY --from a b", 2, "lacks its value"),
        ("FROM a\nCOPY --link=maybe a b", 2, "true or false"),
        ("FROM a\nENV a", 2, "two arguments"),
        ("FROM a\nENV a=1 b", 2, "no '='"),
        ("FROM a\nLABEL =x", 2, "blank"),
        ("FROM a\nRUN [1]", 2, "strings only"),
        ("FROM a\nRUN <<E\nx", 2, "not finished"),
        ("FROM a\nCOPY a <<E\nx\nE", 2, "here-document as its destination"),
        ("FROM a\nHEALTHCHECK --interval=10 CMD x", 2, "not a duration"),
        ("FROM a\nHEALTHCHECK --interval=1us CMD x", 2, "1ms"),
        ("FROM a\nONBUILD ONBUILD RUN x", 2, "below ONBUILD"),
        ("FROM a\nRUN --mount=from=$x,target=/y z", 2, "variable"),
        ("FROM a b", 1, "one or three"),
        ("FROM a AS 1b", 1, "not a name"),
        ("RUN x", 1, "before the first FROM"),
        ("# escape=x\nFROM a", 1, "escape"),
        ("# syntax=a\n# syntax=b\nFROM a", 2, "twice"),
        ("FROM a\nRUN \0", 2, "NUL"),
        ("FROM a\nENV x=" + "y" * 70000, 2, "longer than"),
    ],
)
def test_errors_point_at_the_line(text: str, line: int, words: str) -> None:
    with pytest.raises(BuildError, match=words) as caught:
        parse(text)
    assert caught.value.where is not None
    assert caught.value.where.line == line


def test_a_mistyped_keyword_gets_a_suggestion() -> None:
    with pytest.raises(BuildError) as caught:
        parse("FROM a\nCOPPY a b")
    assert caught.value.hint == "did you mean COPY?"


def test_healthcheck_times_are_nanoseconds() -> None:
    found = only("HEALTHCHECK --interval=1m30s --timeout=1.5s --retries=4 CMD x y")
    assert isinstance(found, ins.Healthcheck)
    assert found.test == ("CMD-SHELL", "x y")
    assert (found.interval, found.timeout, found.retries) == (90_000_000_000, 1_500_000_000, 4)


def test_thousands_of_stages_are_parsed() -> None:
    done = parse("".join(f"FROM s{n - 1} AS s{n}\n" for n in range(5_000)))
    assert len(done.stages) == 5_000
