"""A machine goes down (SIGTERM to every shim) and comes back (`system restore`): each restart policy's promise."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.home import Home

pytestmark = pytest.mark.root

COMPOSE = """
name: restore
services:
  always: &service
    image: busybox
    command: [sh, -c, "trap 'echo stopping; exit 0' TERM; echo started; while :; do sleep 0.05; done"]
    restart: always
  unless: {<<: *service, restart: unless-stopped}
  stopped: {<<: *service, restart: unless-stopped}
  failing: {<<: *service, restart: on-failure}
  never: {<<: *service, restart: "no"}
"""


def states(home: Home, cwd: Path) -> dict[str, str]:
    out = home.run("ps", "-a", "--format", "json", cwd=cwd).out
    return {row["Service"]: row["State"] for row in map(json.loads, out.splitlines())}


def shims(home: Home) -> list[int]:
    found = []
    for path in (home.paths.run / "containers").glob("*/state.json"):
        state = json.loads(path.read_text(encoding="utf-8"))
        if state["status"] == "running":
            found.append(state["shim"]["pid"])
    return found


def test_shutdown_and_restore(composer_home: Home, busybox_image: str, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
    composer_home.run("up", "-d", cwd=tmp_path)
    composer_home.run("stop", "stopped", cwd=tmp_path)
    for pid in shims(composer_home):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 15
    while set(states(composer_home, tmp_path).values()) != {"exited"} and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(states(composer_home, tmp_path).values()) == {"exited"}
    log = composer_home.run("logs", "--no-log-prefix", "always", cwd=tmp_path).out
    assert log.split() == ["started", "stopping"], "it was stopped gracefully and not restarted"

    done = composer_home.run("system", "restore", "restore", cwd="/")
    assert done.out.split("\n")[:-1] == ["restore-always-1 started", "restore-unless-1 started"]
    assert states(composer_home, tmp_path) == {
        "always": "running", "unless": "running", "stopped": "exited", "failing": "exited", "never": "exited",
    }  # fmt: skip
    assert composer_home.run("system", "restore", cwd="/").out == "", "what runs is left alone"


def test_restore_of_an_unknown_project_is_refused(composer_home: Home) -> None:
    done = composer_home.run("system", "restore", "nosuch", check=False)
    assert done.code == 1
    assert done.err.strip() == "composer: no project nosuch on this machine (composer ls -a lists them)"
