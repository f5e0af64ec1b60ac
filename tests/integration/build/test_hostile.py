"""Dockerfiles, contexts and steps that try to reach outside."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.home import REPOSITORY

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.build.conftest import Workshop

pytestmark = pytest.mark.root


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    directory = tmp_path / "canary"
    (directory / "b/c").mkdir(parents=True)
    (directory / "f").write_text("canary")
    return directory


def test_clean_up_does_not_follow_what_a_step_left(workshop: Workshop, canary: Path) -> None:
    workshop.build(
        f"FROM busybox\nRUN --mount=type=tmpfs,target=/a/b/c mv /a /moved && ln -s {canary} /a\n", check=False
    )
    assert (canary / "b/c").is_dir()
    assert (canary / "f").read_text() == "canary"


def test_bind_sources_are_resolved_in_what_they_come_from(workshop: Workshop, canary: Path) -> None:
    done = workshop.build(
        f"FROM busybox AS s\nRUN ln -s {canary} /link\n"
        "FROM busybox\nRUN --mount=from=s,source=/link,target=/m,rw ls -R /m; echo x > /m/f\n",
        check=False,
    )
    assert done.code == 1
    assert "does not exist" in done.err
    copied = workshop.build(
        f"FROM busybox AS s\nRUN ln -s {canary}/f /link\nFROM busybox\nCOPY --from=s /link /f\n", check=False
    )
    assert copied.code == 1
    assert (canary / "f").read_text() == "canary"


def test_cache_ids_are_no_paths(workshop: Workshop) -> None:
    workshop.build("FROM busybox\nRUN --mount=type=cache,id=../../../../x,target=/c touch /c/f\n")
    mounts = workshop.home.paths.root / "build" / "mounts"
    assert [entry.name for entry in mounts.iterdir() if len(entry.name) != 32] == []


def test_a_context_link_to_a_host_file_is_not_followed(workshop: Workshop, canary: Path) -> None:
    os.symlink(canary / "f", workshop.context / "f")
    os.symlink(canary, workshop.context / "d")
    assert workshop.build("FROM busybox\nCOPY f /f\n", check=False).code == 1
    assert workshop.build("FROM busybox\nCOPY d/f /f\n", check=False).code == 1
    workshop.build("FROM busybox\nCOPY . /all/\n")
    found = workshop.stat("all/f")
    assert found is not None
    assert os.path.islink(workshop.tree().host_path("all/f"))


def test_a_working_directory_cannot_be_a_descriptor(workshop: Workshop) -> None:
    for number in (3, 7, 9):
        done = workshop.build(
            f"FROM busybox\nWORKDIR /proc/self/fd/{number}\nRUN ls ../../../etc/passwd && cat f\n",
            check=False,
        )
        assert done.code == 1


def test_an_interrupted_build_leaves_nothing_running(workshop: Workshop) -> None:
    workshop.write("Dockerfile", "FROM busybox\nRUN echo begun; sleep 1000\n")
    process = subprocess.Popen(
        workshop.home.command("image", "build", "-t", "it", str(workshop.context)),
        env=workshop.home.environ(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.rstrip().endswith("| begun"):
            break
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert list((workshop.home.paths.root / "tmp").iterdir()) == []
    assert list(workshop.home.paths.run.glob("build/*")) == []


def test_a_killed_build_is_swept_and_repeated(workshop: Workshop) -> None:
    workshop.write("Dockerfile", "FROM busybox\nRUN echo kept > /kept\nRUN echo begun; sleep 1000\n")
    process = subprocess.Popen(
        workshop.home.command("image", "build", "-t", "it", str(workshop.context)),
        env=workshop.home.environ(),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.rstrip().endswith("| begun"):
            break
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while (
        any(b"sleep\x001000" in _command(pid) for pid in workshop.home.pids()) and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    done = workshop.build("FROM busybox\nRUN echo kept > /kept\nRUN echo other\n")
    assert "RUN echo kept > /kept CACHED" in done.err


def _command(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""


@pytest.fixture
def small_disk(workshop: Workshop) -> Iterator[Workshop]:
    """The installation on a disk of 14 MiB, with the base image."""
    root = workshop.home.paths.root
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=14m", "tmpfs", root], check=True)
    try:
        workshop.home.import_image(REPOSITORY / ".cache/rootfs/busybox.tar", "busybox:latest")
        yield workshop
    finally:
        subprocess.run(["umount", "-l", root], check=True)  # this process has the database open


@pytest.mark.parametrize("step", ["COPY big /big", "RUN dd if=/dev/zero of=/big bs=1M count=20"])
def test_a_full_disk_is_named_and_free_again_afterwards(small_disk: Workshop, step: str) -> None:
    workshop = small_disk
    with (workshop.context / "big").open("wb") as file:
        for _ in range(20):
            file.write(os.urandom(1 << 20))
    done = workshop.build(f"FROM busybox\n{step}\n", check=False)
    assert done.code == 1
    assert "Dockerfile:2:1" in done.err, done.err
    assert "No space left" in done.err
    root = workshop.home.paths.root
    free = os.statvfs(root)
    assert free.f_bavail / free.f_blocks > 0.5, subprocess.run(["find", root, "-size", "+100k"], check=False)
    assert list((root / "containers").iterdir() if (root / "containers").exists() else []) == []
    assert workshop.build("FROM busybox\nRUN echo fits > /f\n").code == 0
