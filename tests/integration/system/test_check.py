"""`composer system check` tells the truth about this machine, and about a poorer one."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.home import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.home import Home

pytestmark = pytest.mark.root


def test_this_machine_can_run_containers(composer_home: Home) -> None:
    done = composer_home.run("system", "check", "--format", "json")
    findings = {row["what"]: row for row in done.json()}
    assert {"privileges", "kernel", "overlay", "nftables", "cgroup", "seccomp"} <= set(findings)
    needed = ("privileges", "kernel", "overlay", "nftables")
    assert [findings[what] for what in needed if findings[what]["verdict"] != "ok"] == []


def test_probing_leaves_nothing(composer_home: Home) -> None:
    def links() -> str:
        return subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout

    composer_home.run("system", "check")
    assert "probe" not in links()
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    assert "probe" not in tables


def as_weaker(home: Home, *restriction: str) -> dict[str, dict[str, str]]:
    done = subprocess.run(
        ["setpriv", *restriction, "--", *home.command("system", "check", "--format", "json")],
        env=home.environ(), cwd="/", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr == ""
    return {row["what"]: row for row in json.loads(done.stdout)}


def test_root_without_capabilities_is_told(composer_home: Home) -> None:
    findings = as_weaker(composer_home, "--bounding-set=-sys_admin,-net_admin", "--inh-caps=-all")
    assert findings["privileges"]["verdict"] == "missing"
    assert "SYS_ADMIN" in findings["privileges"]["found"]
    assert findings["unshare"]["verdict"] == "missing"


def test_other_users_are_told_to_become_root(composer_home: Home) -> None:
    composer_home.directory.chmod(0o755)
    # Reading everything, since the working tree may lie below a home directory that is closed to others.
    reading = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    findings = as_weaker(composer_home, "--reuid=65534", "--regid=65534", "--clear-groups", *reading)
    assert findings["privileges"]["remedy"].startswith("run composer as root")


IN_CHROOT = """
mount --rbind / "$0"
exec chroot "$0" env -C "$1" "${@:2}"
"""


def test_a_chroot_is_refused(composer_home: Home, busybox_image: str, tmp_path: Path) -> None:
    """pivot_root works where the directory is a mount point, and leaves the outer directories above the root."""
    (tmp_path / "compose.yaml").write_text(f"services: {{web: {{image: {busybox_image}, command: top}}}}\n")
    (tmp_path / "root").mkdir()

    def in_chroot(*words: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "-ec", IN_CHROOT, tmp_path / "root", tmp_path, *composer_home.command(*words)]
        return subprocess.run(
            ["unshare", "--mount", *command], env=composer_home.environ(),
            capture_output=True, text=True, check=False, timeout=60 * PATIENCE,
        )  # fmt: skip

    findings = {
        row["what"]: row for row in json.loads(in_chroot("system", "check", "--format", "json").stdout)
    }
    assert findings["root directory"]["verdict"] == "missing"
    done = in_chroot("up", "-d")
    assert done.returncode == 1
    assert "composer runs in a chroot" in done.stderr
