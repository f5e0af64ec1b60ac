"""Each limit is found in the kernel's file, on whatever hierarchy this machine has."""

import contextlib
import os
import subprocess
import time
import uuid

import pytest

from composer.namespaces.cgroups import detect, open_cgroup
from composer.namespaces.cgroups.base import read_file
from composer.namespaces.cgroups.devices import DEFAULT_RULES
from composer.namespaces.kernel.errors import KernelError

pytestmark = pytest.mark.root


@pytest.fixture
def group():
    group = open_cgroup(f"/composer-test/{uuid.uuid4().hex}")
    group.create()
    yield group
    group.kill()
    group.remove()
    for directory in group.directories():
        with contextlib.suppress(OSError):  # another worker's group is in it
            os.rmdir(os.path.dirname(directory))


LIMITS = [
    ({"memory": 64 << 20}, "memory.max", "67108864", "memory.limit_in_bytes", "67108864"),
    ({"cpus": 0.5}, "cpu.max", "50000 100000", "cpu.cfs_quota_us", "50000"),
    ({"cpu_shares": 512}, "cpu.weight", "59", "cpu.shares", "512"),
    ({"pids": 64}, "pids.max", "64", "pids.max", "64"),
    ({"cpuset_cpus": "0"}, "cpuset.cpus", "0", "cpuset.cpus", "0"),
    (
        {"memory": 1 << 26, "memory_reservation": 1 << 25},
        "memory.low",
        "33554432",
        "memory.soft_limit_in_bytes",
        "33554432",
    ),
]


@pytest.mark.parametrize(("resources", "v2_file", "v2_value", "v1_file", "v1_value"), LIMITS)
def test_a_limit_is_in_its_file(group, resources, v2_file, v2_value, v1_file, v1_value) -> None:
    group.apply(resources)
    mode = detect().mode
    file, value = (v2_file, v2_value) if mode == "unified" else (v1_file, v1_value)
    found = [
        read_file(f"{directory}/{file}").strip()
        for directory in group.directories()
        if os.path.exists(f"{directory}/{file}")
    ]
    print(f"{mode}: asked {resources}, {file} holds {found}")
    assert value in found


def test_a_child_is_added_counted_frozen_and_killed(group) -> None:
    child = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    try:
        group.add(child.pid)
        assert group.pids() == [child.pid]
        time.sleep(0.05)
        group.freeze()
        used = group.stats()["cpu_total"]
        assert used > 0
        time.sleep(0.05)
        assert group.stats()["cpu_total"] - used < 20_000_000
        group.thaw()
        group.kill()
        assert child.wait(timeout=5) == -9
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()


def test_pids_limit_stops_forks(group) -> None:
    group.apply({"pids": 3})
    child = subprocess.run(
        ["sh", "-c", "read go; for i in 1 2 3 4 5 6; do sleep 5 & done; wait"],
        input="go\n",
        text=True,
        capture_output=True,
        check=False,
        timeout=20,
        preexec_fn=lambda: group.add(os.getpid()),
    )
    assert "ork" in child.stderr  # "Cannot fork"
    group.kill()


def test_the_oom_killer_is_counted(group) -> None:
    group.apply({"memory": 16 << 20, "memory_swap": 16 << 20})
    hog = subprocess.run(
        ["python3", "-c", "b = bytearray(200 << 20)"],
        check=False,
        capture_output=True,
        timeout=60,
        preexec_fn=lambda: group.add(os.getpid()),
    )
    assert hog.returncode == -9
    assert group.oom_kills() >= 1


def test_devices_outside_the_list_are_denied(group, tmp_path) -> None:
    group.apply({}, list(DEFAULT_RULES))
    node = tmp_path / "disk"
    os.mknod(node, 0o60666, os.makedev(7, 200))
    script = f"head -c1 /dev/zero >/dev/null && echo zero; head -c1 {node}; head -c1 /dev/kmsg"
    done = subprocess.run(
        ["sh", "-c", script],
        text=True,
        capture_output=True,
        check=False,
        timeout=20,
        preexec_fn=lambda: group.add(os.getpid()),
    )
    assert done.stdout.startswith("zero")
    assert done.stderr.count("Operation not permitted") == 2


def test_what_processes_made_below_is_removed_too(group) -> None:
    for directory in group.directories():
        os.mkdir(f"{directory}/nested")
    group.remove()
    assert not any(os.path.exists(directory) for directory in group.directories())
    group.create()


def test_a_limit_that_the_kernel_refuses_names_the_file(group) -> None:
    with pytest.raises(KernelError, match=r"cpuset\.cpus"):
        group.apply({"cpuset_cpus": "4096"})
