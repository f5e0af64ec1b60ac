"""Which stages a target needs, and what names stand for."""

from __future__ import annotations

import pytest

from composer.build.dockerfile.parser import parse
from composer.build.scope import GlobalArguments, evaluate_globals
from composer.build.stages import Origin, base_origin, copy_origin, needed_stages
from composer.errors import BuildError

NOTHING = GlobalArguments({}, {}, {})
TEXT = """FROM a AS base
FROM base AS left
FROM a AS unused
FROM scratch AS right
COPY --from=0 /x /x
FROM scratch
COPY --from=LEFT /l /
RUN --mount=from=right,target=/r x
"""


def test_only_what_is_reached_is_needed() -> None:
    done = parse(TEXT)
    assert needed_stages(done, 4, NOTHING, {}) == {0, 1, 3, 4}
    assert needed_stages(done, 1, NOTHING, {}) == {0, 1}


def test_from_prefers_stages_then_contexts_then_images() -> None:
    done = parse("ARG B=base\nFROM x AS base\nFROM $B\nFROM busybox\nFROM scratch\n")
    globals_ = evaluate_globals(done.arguments, {}, {})
    contexts = {"docker.io/library/busybox:latest": "dir"}
    kinds = [base_origin(done, stage, globals_, contexts).kind for stage in done.stages]
    assert kinds == ["image", "stage", "context", "scratch"]


def test_copy_from() -> None:
    done = parse(TEXT)
    last = done.stages[4]
    assert copy_origin(done, last, "", {}) == Origin("build")
    assert copy_origin(done, last, "Right", {}) == Origin("stage", 3)
    assert copy_origin(done, last, "2", {}) == Origin("stage", 2)
    assert copy_origin(done, last, "other/image", {}) == Origin("image", name="other/image")
    assert copy_origin(done, last, "ctx", {"ctx": "d"}) == Origin("context", name="ctx")


@pytest.mark.parametrize(("index", "name"), [(0, "0"), (0, "base"), (0, "left"), (1, "7"), (4, "$x")])
def test_a_stage_cannot_copy_from_itself_or_later_ones(index: int, name: str) -> None:
    done = parse(TEXT)
    with pytest.raises(BuildError):
        copy_origin(done, done.stages[index], name, {})


def test_a_blank_base_is_an_error_with_its_line() -> None:
    done = parse("FROM a\nFROM $NOPE\n")
    with pytest.raises(BuildError) as caught:
        base_origin(done, done.stages[1], NOTHING, {})
    assert caught.value.where is not None
    assert caught.value.where.line == 2


def test_a_named_context_replaces_a_stage_and_what_it_needs() -> None:
    done = parse(TEXT)
    contexts = {"left": "dir"}
    assert copy_origin(done, done.stages[4], "LEFT", contexts) == Origin("context", name="left")
    assert copy_origin(done, done.stages[4], "1", contexts) == Origin("context", name="left")
    assert needed_stages(done, 4, NOTHING, contexts) == {3, 4, 0}  # 3 copies from 0
    assert needed_stages(done, 1, NOTHING, {"left": "target:right"}) == {0, 1, 3}


def test_a_context_that_leads_back_is_refused_with_its_way() -> None:
    done = parse(TEXT)
    with pytest.raises(BuildError, match="'base' is made from itself: base needs left needs base") as caught:
        needed_stages(done, 1, NOTHING, {"a": "target:left"})
    assert caught.value.where is not None
    assert caught.value.where.line == 1
