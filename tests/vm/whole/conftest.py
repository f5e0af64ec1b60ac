"""Tests that change the machine they run on, so they run in the virtual machine only."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

REMOTE = "192.0.2.129"  # the stranger on the other side of a cable
OURS = "192.0.2.130"
NETNS = "stranger"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("COMPOSER_VM"):
        return
    skip = pytest.mark.skip(reason="changes the whole machine: runs in the virtual machine")
    for item in items:
        if "tests/vm/whole" in item.nodeid:
            item.add_marker(skip)


def run(*argv: str, check: bool = True) -> str:
    """Standard output; a failing program's words are in the assertion."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture
def stranger() -> Iterator[None]:
    """Another host at the machine's own network card: `ip netns exec stranger ...` is it, at REMOTE."""
    run("ip", "netns", "add", NETNS)
    try:
        run("ip", "link", "add", "cable0", "type", "veth", "peer", "name", "cable1", "netns", NETNS)
        run("ip", "address", "add", f"{OURS}/30", "dev", "cable0")
        run("ip", "link", "set", "cable0", "up")
        run("ip", "-n", NETNS, "address", "add", f"{REMOTE}/30", "dev", "cable1")
        run("ip", "-n", NETNS, "link", "set", "cable1", "up")
        yield
    finally:
        run("ip", "netns", "delete", NETNS)
