"""Issue 5: a project survives the logout of whoever started it, and `systemctl daemon-reload`."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.vm.whole.conftest import run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.home import Home

pytestmark = [pytest.mark.root, pytest.mark.vm]

COMPOSE = """
services:
  web:
    image: busybox
    command: [sleep, 1d]
    stop_grace_period: 0s
    mem_limit: 64m
"""
SETTING = Path("/etc/systemd/logind.conf.d/kill.conf")


@pytest.fixture
def strict_logind() -> Iterator[None]:
    """At logout everything that the session has started is killed, root's processes too (logind.conf(5))."""
    SETTING.parent.mkdir(parents=True, exist_ok=True)
    # Somebody must be named in the second list, or root is.
    SETTING.write_text("[Login]\nKillUserProcesses=yes\nKillExcludeUsers=nobody\n", encoding="ascii")
    run("systemctl", "restart", "systemd-logind")
    yield
    SETTING.unlink()
    run("systemctl", "restart", "systemd-logind")


def in_a_session(script: str) -> None:
    """Log in on a terminal, run *script*, log out."""
    subprocess.run(
        ["script", "-qec", "login -f root", "/dev/null"], input=f"{script}; exit\n",
        text=True, check=True, timeout=300, stdout=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.usefixtures("strict_logind", "busybox_image")
def test_containers_and_agent_outlive_the_session(composer_home: Home, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
    up = shlex.join(
        ["env", "-C", str(tmp_path), *variables(composer_home), *composer_home.command("up", "-d")]
    )
    in_a_session(
        f"sleep 4321 & echo $! >{tmp_path}/sleeper; {up} >{tmp_path}/up 2>&1; loginctl >{tmp_path}/sessions"
    )
    assert " root " in (tmp_path / "sessions").read_text(encoding="utf-8")
    assert "Started" in (tmp_path / "up").read_text(encoding="utf-8")
    sleeper = int((tmp_path / "sleeper").read_text(encoding="ascii"))
    deadline = time.monotonic() + 30
    while Path(f"/proc/{sleeper}").exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not Path(f"/proc/{sleeper}").exists(), "the session's own processes should have been killed"
    assert "running" in composer_home.run("ps", "--format", "json", cwd=tmp_path).out
    cgroups = {Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii") for pid in composer_home.pids()}
    assert cgroups, "agent, zygote and shim should be there"
    assert all(line.startswith("0::/composer.slice/") for line in cgroups)
    composer_home.run("down", "-t", "0", cwd=tmp_path)


@pytest.mark.usefixtures("busybox_image")
def test_a_reload_of_systemd_changes_no_limit(composer_home: Home, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
    composer_home.run("up", "-d", cwd=tmp_path)
    found = limits()
    assert found
    assert set(found.values()) == {str(64 << 20)}
    run("systemctl", "daemon-reload")
    run("systemctl", "daemon-reexec")
    time.sleep(1)
    assert limits() == found
    composer_home.run("up", "-d", "--force-recreate", cwd=tmp_path)
    assert set(limits().values()) == {str(64 << 20)}
    composer_home.run("down", "-t", "0", cwd=tmp_path)


def variables(home: Home) -> list[str]:
    return [f"{key}={home.environ()[key]}" for key in ("COMPOSER_HOME", "PYTHONPATH", "PATH")]


def limits() -> dict[str, str]:
    """memory.max of every control group of the project that has a limit, by its directory."""
    found = {}
    for file in Path("/sys/fs/cgroup/composer.slice").rglob("memory.max"):
        value = file.read_text(encoding="ascii").strip()
        if value != "max":
            found[str(file.parent)] = value
    return found
