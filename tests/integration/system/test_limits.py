"""Issue 5, acceptance 2: for each limit the value asked, the file and the value found, on v2 and on hybrid.

With `-rP` the test prints that table.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from composer.namespaces.cgroups import detect

if TYPE_CHECKING:
    from tests.support.home import Home

pytestmark = pytest.mark.root

UNIFIED = detect().mode == "unified"
CPUS = "0"

COMPOSE = f"""
services:
  limited:
    image: busybox
    command: [sleep, 1d]
    stop_grace_period: 0s
    mem_limit: 64m
    mem_reservation: 32m
    memswap_limit: 96m
    cpus: 0.5
    cpu_shares: 512
    cpuset: "{CPUS}"
    pids_limit: 77
"""


class Expected(NamedTuple):
    attribute: str
    asked: str
    v2: tuple[str, str]
    v1: tuple[str, str]


# cpu.weight: by runc 1.3.2's formula, with which 1024 shares are the default weight of 100.
TABLE = [
    Expected("mem_limit", "64m", ("memory.max", "67108864"), ("memory/memory.limit_in_bytes", "67108864")),
    Expected("mem_reservation", "32m", ("memory.low", "33554432"), ("memory/memory.soft_limit_in_bytes", "33554432")),
    Expected("memswap_limit", "96m", ("memory.swap.max", "33554432"), ("memory/memory.memsw.limit_in_bytes", "100663296")),
    Expected("cpus", "0.5", ("cpu.max", "50000 100000"), ("cpu/cpu.cfs_quota_us", "50000")),
    Expected("cpu_shares", "512", ("cpu.weight", "59"), ("cpu/cpu.shares", "512")),
    Expected("cpuset", CPUS, ("cpuset.cpus", CPUS), ("cpuset/cpuset.cpus", CPUS)),
    Expected("pids_limit", "77", ("pids.max", "77"), ("pids/pids.max", "77")),
]  # fmt: skip


def cgroup_files(pid: int) -> dict[str, Path]:
    """Controller (empty for v2) to the directory of the process, from proc_pid_cgroup(5)."""
    directories = {}
    layout = detect()
    for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii").splitlines():
        _, names, path = line.split(":", 2)
        if not names:
            directories[""] = Path(layout.unified + path)
        for name in names.split(","):
            if name in layout.controllers:
                directories[name] = Path(layout.controllers[name] + path)
    return directories


def first_process(home: Home) -> int:
    """The host's number of the only container's first process: the one that sleeps for a day."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            cgroup = (entry / "cgroup").read_text(encoding="ascii")
        except OSError:
            continue
        if words[:2] == [b"sleep", b"1d"] and home.mark in cgroup:
            return int(entry.name)
    raise AssertionError("the container's process is not there")


def test_each_limit_is_in_its_file(composer_home: Home, busybox_image: str, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
    composer_home.run("up", "-d", cwd=tmp_path)
    directories = cgroup_files(first_process(composer_home))
    wrong = []
    for row in TABLE:
        name, value = row.v2 if UNIFIED else row.v1
        controller, _, file = name.rpartition("/")
        path = directories[controller] / file
        found = path.read_text(encoding="ascii").strip()
        print(f"{row.attribute:16} asked {row.asked:6} {path} holds {found}")
        if found != value:
            wrong.append(f"{row.attribute}: {path} holds {found}, not {value}")
    assert not wrong


DEVICES = """
services:
  denied: &service
    image: busybox
    cap_add: [MKNOD]
    command: [sh, -c, "mknod /tmp/node c 10 200; : < /tmp/node"]
  allowed:
    <<: *service
    device_cgroup_rules: [c 10:200 rwm]
"""


@pytest.mark.usefixtures("busybox_image")
def test_device_rules_open_what_is_closed_otherwise(composer_home: Home, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(DEVICES, encoding="utf-8")
    said = {
        name: composer_home.run("run", "--rm", "-T", name, cwd=tmp_path, check=False).err
        for name in ("denied", "allowed")
    }
    # Whether the kernel has the device does not matter: it looks for it only after the rules.
    assert "Operation not permitted" in said["denied"]
    assert "Operation not permitted" not in said["allowed"]
