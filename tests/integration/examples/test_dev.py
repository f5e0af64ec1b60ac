"""examples/dev: its own test passes, its tool runs when asked for, and a page shows what the file configures."""

from __future__ import annotations

import shutil
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.support.home import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.home import Home

pytestmark = pytest.mark.root


@pytest.fixture
def example(tmp_path: Path) -> Path:
    return shutil.copytree(REPOSITORY / "examples" / "dev", tmp_path / "dev")


def test_its_own_test_passes(composer_home: Home, busybox_image: str, example: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(example)],
        cwd=example, env=composer_home.environ(), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_the_tool_runs_when_asked_for(composer_home: Home, busybox_image: str, example: Path) -> None:
    def composer(*words: str) -> str:
        return composer_home.run(*words, cwd=example, env={"DEV_PORT": "0"}, timeout=120).out

    composer("up", "-d", "--wait", "--build")
    assert composer("ps", "--services").split() == ["web"]
    assert composer("run", "--rm", "-T", "load").count("hello from a config") == 5
    port = composer("port", "web", "80").strip().rpartition(":")[2]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/cgi-bin/hello", timeout=10) as answer:
        assert b"the token is there" in answer.read()
