"""What a default container can see and do: nothing that reaches beyond it."""

from __future__ import annotations

import pytest

from composer.engine import Mount, Resources
from composer.errors import ComposerError

pytestmark = pytest.mark.root


def test_status_shows_the_default_privileges(sandbox) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in sandbox.run("cat", "/proc/self/status").output.splitlines()
        if ":\t" in line
    )
    assert status["CapBnd"] == status["CapEff"] == status["CapPrm"] == "00000000a80425fb"
    assert status["CapInh"] == status["CapAmb"] == "0000000000000000"
    assert status["Seccomp"] == "2"


def test_a_user_without_root_has_no_capability(sandbox) -> None:
    lines = sandbox.run("grep", "Cap", "/proc/self/status", user="1000:1000").output.split()
    values = dict(zip(lines[::2], lines[1::2], strict=True))
    assert (
        values["CapEff:"] == values["CapPrm:"] == values["CapAmb:"] == values["CapInh:"] == "0000000000000000"
    )


@pytest.mark.parametrize(
    "script",
    [
        "mount -t tmpfs none /mnt",
        "mount -o remount,rw /proc/sys",
        "unshare -U true",
        "unshare -n true",
        "insmod /bin/busybox",
        "echo b > /proc/sysrq-trigger",
        "echo x > /proc/sys/kernel/core_pattern",
        "echo x > /proc/self/root/proc/sys/kernel/core_pattern",
        "echo x > /sys/kernel/uevent_helper",
        "mkdir /sys/fs/cgroup/escape",
        "find /sys/fs/cgroup -name release_agent -exec sh -c 'echo x > {}' \\; ; false",
        "mknod /disk b 8 0 && head -c1 /disk",
        "mknod /kmem c 1 2 && head -c1 /kmem",
        "head -c1 /dev/kmsg",
        "chroot /proc/1/root/../.. ls /work && false",
        "swapoff -a",
        "hostname other",
        "! date -s 2001-01-01 2>&1 | grep -q permitted",
        "dmesg",
        "reboot -f",
    ],
)
def test_what_would_reach_the_host_fails(sandbox, script: str) -> None:
    assert sandbox.sh(f"{script}").code != 0, script


@pytest.mark.parametrize("path", ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts"])
def test_masked_files_are_empty(sandbox, path: str) -> None:
    ended = sandbox.sh(f'[ ! -e {path} ] || [ -z "$(head -c 16 {path})" ]')
    assert ended.code == 0, ended.output


def test_masked_directories_are_empty(sandbox) -> None:
    ended = sandbox.sh("ls -A /sys/firmware /proc/scsi /proc/acpi 2>/dev/null | grep -v :; true")
    assert ended.output.split() == []


def test_only_the_three_standard_descriptors_are_open(sandbox) -> None:
    # ls itself opens the directory as 3. No pipeline, no redirection: pid 1 is the shell, and would hold them.
    assert sandbox.sh("ls /proc/self/fd; ls /proc/1/fd; true").output.split() == [*"0123", *"012"]


@pytest.mark.parametrize("number", [3, 4, 5, 6, 7, 8, 9, 10, 14, 20])
def test_a_leaked_descriptor_is_no_working_directory(sandbox, number: int) -> None:
    # CVE-2024-21626
    try:
        ended = sandbox.run("pwd", cwd=f"/proc/self/fd/{number}")
    except ComposerError:
        return
    assert ended.code != 0
    assert "/work" not in ended.output


def test_supplementary_groups_are_the_images_alone(poisoned) -> None:
    # CVE-2022-2989
    with (poisoned.layer / "etc/passwd").open("a") as passwd:
        passwd.write("app:x:1234:1234::/home/app:/bin/sh\n")
    with (poisoned.layer / "etc/group").open("a") as group:
        group.write("app:x:1234:\nmedia:x:2000:app,other\n")
    assert poisoned.run("id", "-G", user="app").output.split() == ["1234", "2000"]
    assert poisoned.run("id", "-G", user="app", groups=("3000",)).output.split() == ["1234", "2000", "3000"]
    assert poisoned.run("id", "-G", user="1234:5").output.split() == ["5"]
    assert poisoned.sh("echo $HOME", user="app").output.strip() == "/home/app"


@pytest.mark.parametrize(
    "user",
    [
        "2147483648",
        "4294967295",
        "4294967296",
        "-1",
        "1e3",
        " 0",
        "0x0",
        "٣",
        "nobody-here",
        "0:nogroup-here",
    ],
)
def test_a_user_that_is_none_is_refused(poisoned, user: str) -> None:
    # CVE-2024-40635, CVE-2026-46680
    with (poisoned.layer / "etc/passwd").open("a") as passwd:
        passwd.write(
            f"{user.split(':', maxsplit=1)[0]}:x:0:0::/:/bin/sh\n" if user.strip("-").isdigit() else ""
        )
    with pytest.raises(ComposerError):
        poisoned.run("id", user=user)


def test_a_memory_hog_is_killed_and_said_to_be(sandbox) -> None:
    ended = sandbox.sh(
        "dd if=/dev/zero of=/dev/null bs=200M count=1",
        resources=Resources(memory=32 << 20, memory_swap=32 << 20),
    )
    assert ended.code != 0
    assert ended.oom_killed


def test_a_fork_bomb_stays_inside(sandbox) -> None:
    ended = sandbox.sh(
        "i=0; while [ $i -lt 200 ]; do sleep 2 & i=$((i+1)); done; true", resources=Resources(pids=32)
    )
    assert "fork" in ended.output
    assert ended.seconds < 30


def test_read_only_leaves_only_the_mounts_writable(sandbox) -> None:
    ended = sandbox.sh(
        "touch /f || echo root; touch /etc/f || echo etc; touch /dev/shm/f && touch /run/f && echo ok",
        read_only=True,
        mounts=(Mount("tmpfs", "/run"),),
    )
    assert [line for line in ended.output.split() if line in ("root", "etc", "ok")] == ["root", "etc", "ok"]


def test_privileged_has_everything(sandbox) -> None:
    ended = sandbox.sh(
        "grep -E 'CapEff|Seccomp:' /proc/self/status; mount -t tmpfs none /tmp && echo mounted",
        privileged=True,
    )
    assert "Seccomp:\t0" in ended.output
    assert "mounted" in ended.output


@pytest.mark.parametrize(
    "key", ["kernel.core_pattern", "vm.swappiness", "net/../kernel/core_pattern", "kernel.panic"]
)
def test_a_sysctl_of_the_host_is_refused(sandbox, key: str) -> None:
    with pytest.raises(ComposerError):
        sandbox.run("true", sysctls={key: "1"})


@pytest.mark.parametrize("target", ["/proc", "/proc/sys", "/proc/self/attr", "/", "relative", "/../../x/.."])
def test_a_mount_over_proc_or_the_root_is_refused(sandbox, target: str) -> None:
    # CVE-2019-16884 and its kin
    with pytest.raises(ComposerError):
        sandbox.run("true", mounts=(Mount("tmpfs", target),))
