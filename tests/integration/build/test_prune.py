"""`system prune` and `system df`: what goes, what stays, and that nobody's work is disturbed."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.home import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.build.conftest import Workshop

pytestmark = pytest.mark.root

UUID = "cat /proc/sys/kernel/random/uuid"
CACHED = f"FROM busybox\nRUN --mount=type=cache,target=/c echo kept >> /c/f; cp /c/f /f\nRUN {UUID} > /u\n"


def prune(workshop: Workshop, *options: str) -> str:
    return str(workshop.home.run("system", "prune", "-f", *options).out)


def cache_row(workshop: Workshop) -> list[str]:
    lines = workshop.home.run("system", "df", "--format", "{{.Type}}|{{.TotalCount}}|{{.Size}}").out
    return next(line for line in str(lines).splitlines() if line.startswith("Build Cache")).split("|")[1:]


def test_what_an_image_needs_stays_cached(workshop: Workshop) -> None:
    workshop.build(CACHED)
    seen = workshop.read("u")
    assert cache_row(workshop) == ["1", "5B"], "the cache mount"
    prune(workshop)
    workshop.build(CACHED)
    assert workshop.read("u") == seen
    assert workshop.read("f") == "kept\n"


def test_all_takes_the_build_cache_too(workshop: Workshop) -> None:
    workshop.build(CACHED)
    workshop.build("FROM busybox\nRUN echo other > /o\n")  # the name moves: the first image is nameless
    workshop.home.run("image", "prune", "-f")
    assert int(cache_row(workshop)[0]) == 3, "two layers and a cache mount"
    out = prune(workshop, "--all")
    assert "untagged: it:latest" in out
    assert cache_row(workshop) == ["0", "0B"]
    assert workshop.store.directory.all() == []
    assert list((workshop.home.paths.root / "locks" / "build").iterdir()) == []


def test_young_cache_and_a_wanted_amount_stay(workshop: Workshop) -> None:
    workshop.build("FROM busybox\nRUN dd if=/dev/zero of=/big bs=1k count=100\n")
    workshop.build("FROM busybox\nRUN dd if=/dev/zero of=/small bs=1k count=10\n")
    prune(workshop, "--all", "--filter", "until=1h")
    assert workshop.image(), "until= holds for images, too"
    workshop.home.run("image", "prune", "-f")
    assert cache_row(workshop) == ["1", "102kB"]
    prune(workshop, "--keep-storage", "1m")
    assert cache_row(workshop)[0] == "1"
    prune(workshop)
    assert cache_row(workshop)[0] == "0"


def test_labels_choose_containers_and_spare_what_has_none(workshop: Workshop, tmp_path: Path) -> None:
    name = f"prune{time.monotonic_ns()}"
    service = "{image: busybox, command: 'true', network_mode: none"
    (tmp_path / "compose.yaml").write_text(
        f"name: {name}\nservices:\n  keep: {service}}}\n  go: {service}, labels: {{team: core}}}}\n"
    )
    try:
        workshop.home.run("up", "-d", "--wait", cwd=tmp_path, check=False)
        prune(workshop, "--filter", "label=team=core")
        left = workshop.home.run("ps", "-a", "--services", cwd=tmp_path).out.split()
        assert left == ["keep"]
        assert workshop.image("busybox")
        assert f"{name}-keep-1" not in prune(workshop, "--filter", "label=team=core")
        prune(workshop)
        assert workshop.home.run("ps", "-a", "--services", cwd=tmp_path).out.split() == []
    finally:
        workshop.home.run("down", "-t", "0", cwd=tmp_path, check=False)


def test_a_running_build_is_waited_for_and_not_disturbed(workshop: Workshop) -> None:
    nap = f"sleep {2 * PATIENCE:g}"  # longer than another command takes to start
    text = f"FROM busybox\nRUN echo one > /one\nRUN {nap}; cat /one > /two; ip address show eth0\n"
    workshop.write("Dockerfile", text)
    command = workshop.home.command("image", "build", "-t", "slow", str(workshop.context))
    building = subprocess.Popen(
        command, env=workshop.home.environ(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert building.stdout is not None
        seen = ""
        for line in building.stdout:
            seen += line
            if nap in line:
                break
        done = workshop.home.run("system", "prune", "-f")
        rest, _ = building.communicate(timeout=30 * PATIENCE)
    finally:
        building.kill()
        building.wait()
    assert building.returncode == 0, seen + rest
    assert "waiting for" in done.err
    assert workshop.read("two", "slow") == "one\n"
