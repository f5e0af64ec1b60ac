"""A project's control groups live in a delegated scope of systemd (runs in the VM, where systemd is)."""

import subprocess
import time
import uuid

import pytest

from composer.namespaces.cgroups import open_cgroup
from composer.namespaces.cgroups.systemd import enter_scope, manages_cgroups

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not manages_cgroups(), reason="systemd does not manage a unified cgroup tree here"),
]


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "300"])
    yield process
    process.kill()
    process.wait()


def test_limits_survive_daemon_reload(sleeper) -> None:
    project = f"t{uuid.uuid4().hex[:8]}"
    scope = enter_scope(project, pid=sleeper.pid)
    assert scope == f"/composer.slice/composer-{project}.scope"
    group = open_cgroup(f"{scope}/container")
    group.create()
    payload = subprocess.Popen(["sleep", "300"])
    try:
        group.add(payload.pid)
        group.apply({"memory": 64 << 20, "cpus": 0.5, "pids": 10})
        subprocess.run(["systemctl", "daemon-reload"], check=True)
        time.sleep(0.5)
        directory = group.directories()[0]
        assert open(f"{directory}/memory.max").read().strip() == str(64 << 20)
        assert open(f"{directory}/cpu.max").read().strip() == "50000 100000"
        assert open(f"{directory}/pids.max").read().strip() == "10"
        shown = subprocess.run(
            ["systemctl", "show", "-p", "Delegate", f"composer-{project}.scope"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert shown.stdout.strip() == "Delegate=yes"
    finally:
        payload.kill()
        payload.wait()
        group.remove()


def test_a_second_process_joins_the_scope(sleeper) -> None:
    project = f"t{uuid.uuid4().hex[:8]}"
    first = enter_scope(project, pid=sleeper.pid)
    second = subprocess.Popen(["sleep", "300"])
    try:
        assert enter_scope(project, pid=second.pid) == first != ""
        assert open(f"/proc/{second.pid}/cgroup").read().strip() == f"0::{first}/agent"
    finally:
        second.kill()
        second.wait()
