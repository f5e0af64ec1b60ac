"""A build that changed nothing is looked up without an event loop, and tells the same as one that works."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.build.conftest import Workshop

pytestmark = pytest.mark.root

PROGRAM = """
import json, sys
from composer.cli.main import main
code = main(sys.argv[1:])
print(json.dumps([code, "anyio" in sys.modules]), file=sys.stderr)
"""
DOCKERFILE = """\
FROM busybox AS builder
COPY src /src
RUN cat /src/* > /all
FROM busybox
WORKDIR /app
COPY --from=builder /all all
COPY --chmod=600 src/a .
ADD src/b /b/
RUN --mount=from=builder,target=/from wc -c /from/all > count
ENV a=b
CMD ["cat", "count"]
"""


def build(workshop: Workshop, *options: str) -> tuple[list[str], bool]:
    """Lines of progress, and whether the event loop was needed."""
    words = ["--progress", "plain", "image", "build", "-t", "it", *options, str(workshop.context)]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        capture_output=True,
        text=True,
        env=workshop.home.environ(),
        check=True,
    )
    *lines, last = done.stderr.splitlines()
    code, loop = json.loads(last)
    assert code == 0, done.stderr
    return lines, loop


def fill(workshop: Workshop) -> None:
    for name in "ab":
        workshop.write(f"src/{name}", name)
    workshop.write("Dockerfile", DOCKERFILE)


def test_an_unchanged_build_needs_no_event_loop(workshop: Workshop) -> None:
    fill(workshop)
    assert build(workshop)[1]
    first = workshop.image().id
    lines, loop = build(workshop)
    assert not loop
    assert workshop.image().id == first
    assert [line for line in lines if line.endswith("CACHED")] != []
    assert not [line for line in lines if "Running" in line and "FROM" not in line]


def test_a_change_is_built_and_told_once(workshop: Workshop) -> None:
    fill(workshop)
    build(workshop)
    workshop.write("src/a", "changed")
    lines, loop = build(workshop)
    assert loop
    assert workshop.read("app/all") == "changedb"
    copies = [line for line in lines if "COPY src /src" in line and "Running" in line]
    assert len(copies) == 1, lines


def test_a_removed_layer_is_built_again(workshop: Workshop) -> None:
    fill(workshop)
    build(workshop)
    workshop.store.directory.remove(workshop.image().layers[-1].chain_id)
    assert build(workshop)[1]
    assert workshop.read("app/count").split()[0] == "2"


@pytest.mark.parametrize("option", ["--no-cache", "--no-cache-filter=1"])
def test_no_cache_is_obeyed(workshop: Workshop, option: str) -> None:
    fill(workshop)
    build(workshop)
    assert build(workshop, option)[1]


def test_an_error_is_told_by_the_build_that_follows(workshop: Workshop) -> None:
    fill(workshop)
    build(workshop)
    done = workshop.build(DOCKERFILE + "COPY missing /\n", check=False)
    assert done.code != 0
    assert "'missing' does not exist" in done.err
    assert "Dockerfile:12" in done.err
