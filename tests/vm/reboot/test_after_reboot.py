"""Issue 5, acceptance 3, asked after the virtual machine has rebooted with the project up (before.sh)."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent

pytestmark = [
    pytest.mark.root,
    pytest.mark.vm,
    pytest.mark.skipif(
        not os.environ.get("COMPOSER_REBOOTED"), reason="runs in the virtual machine, after its reboot"
    ),
]


def composer(*words: str) -> str:
    return subprocess.run(
        ["composer", *words], cwd=HERE, check=True, stdout=subprocess.PIPE, text=True, timeout=120
    ).stdout


def containers() -> dict[str, dict[str, object]]:
    text = composer("ps", "-a", "--format", "json")
    rows = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
    return {row["Service"]: row for row in rows}


def test_the_unit_has_done_its_work() -> None:
    shown = subprocess.run(
        ["systemctl", "show", "-P", "ActiveState", "composer-boot.service"],
        check=False, stdout=subprocess.PIPE, text=True,
    ).stdout.split()  # fmt: skip
    journal = subprocess.run(
        ["journalctl", "-b", "--no-pager", "-u", "composer-boot.service"],
        check=False, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    assert shown == ["active"], journal


@pytest.mark.parametrize("service", ["always", "unless", "web"])
def test_policies_that_promise_it_are_back(service: str) -> None:
    assert containers()[service]["State"] == "running"


@pytest.mark.parametrize("service", ["never", "failing", "stopped"])
def test_the_others_are_recorded_as_exited(service: str) -> None:
    assert containers()[service]["State"] == "exited"


def test_names_and_ports_work_again() -> None:
    assert (
        composer("exec", "-T", "always", "wget", "-q", "-O", "-", "http://web/starts").count("started") >= 5
    )
    answer = subprocess.run(
        ["curl", "-sf", "http://127.0.0.1:8088/starts"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    assert "started" in answer


def test_up_brings_the_rest_back_and_down_leaves_nothing() -> None:
    composer("up", "-d")
    assert {row["State"] for row in containers().values()} == {"running"}
    composer("down", "-v", "-t", "1")
    links = subprocess.run(["ip", "-o", "link"], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert "br-" not in links
    assert "veth" not in links
