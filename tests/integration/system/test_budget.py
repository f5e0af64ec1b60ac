"""Import budgets of the commands that people type all day, on a project that runs."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.repository.test_imports import HEAVY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.home import Home

pytestmark = pytest.mark.root

COMPOSE = """
name: budget
services:
  a:
    image: busybox
    command: [sleep, 1d]
    stop_grace_period: 0s
"""


def test_reading_a_running_project_loads_only_what_it_uses(
    composer_home: Home, busybox_image: str, tmp_path: Path
) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
    composer_home.run("up", "-d", cwd=tmp_path)
    for words in (["ps"], ["exec", "-T", "a", "true"], ["logs"], ["top"]):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "composer", *words],
            cwd=tmp_path, env=composer_home.environ(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=True, timeout=60,
        )  # fmt: skip
        loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert not loaded & (HEAVY | {"dataclasses"}), f"composer {' '.join(words)}"
