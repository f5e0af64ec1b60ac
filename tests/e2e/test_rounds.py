"""A hundred rounds of `up` and `down` leave nothing: the fixture looks for processes, mounts, links and tables."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(600)]

ROUNDS = 100
SIDES = 2  # projects that go up and down at the same time


def test_a_hundred_rounds_leave_nothing(composer_home, busybox_image, run_composer) -> None:
    file = Path(__file__).parent / "rounds" / "compose.yaml"

    def rounds(side: int) -> None:
        for _ in range(ROUNDS // SIDES):
            run_composer("-f", file, "-p", f"rounds{side}", "up", "-d", "--wait", timeout=120)
            run_composer("-f", file, "-p", f"rounds{side}", "down", "-v", timeout=120)

    with ThreadPoolExecutor(SIDES) as pool:
        for finished in [pool.submit(rounds, side) for side in range(SIDES)]:
            finished.result()
    containers = composer_home.paths.root / "containers"
    assert list(containers.iterdir()) == []
    assert [entry for entry in composer_home.paths.volumes.iterdir() if not entry.name.startswith(".")] == []
