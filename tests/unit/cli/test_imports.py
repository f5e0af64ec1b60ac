"""What hot paths may import. A budget in modules is a budget in milliseconds that does not flicker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {
    "anyio", "asyncio", "concurrent", "dataclasses", "email", "h11", "hashlib", "http", "inspect", "jsonschema",
    "jsonschema_rs", "logging", "networkx", "shutil", "sqlite3", "ssl", "structlog", "subprocess", "tempfile", "yaml",
    "composer.engine", "composer.spec", "composer.controller", "composer.events", "composer.agent",
}  # fmt: skip

PROGRAM = """
import sys
from composer.cli.main import main
code = main(sys.argv[1:])
import json
print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def modules(home: Path, *words: str) -> set[str]:
    environ = {"COMPOSER_HOME": str(home), "PATH": os.environ["PATH"]}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        check=True,
        capture_output=True,
        text=True,
        env=environ,
        cwd="/",
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    ("words", "limit"),
    [
        (["--version"], 75),
        (["-p", "shop", "ps"], 110),
        (["ls"], 110),
        (["-p", "shop", "exec", "-T", "web", "true"], 120),
        (["-p", "shop", "logs"], 120),
        (["-p", "shop", "port", "web", "80"], 110),
    ],
)
def test_hot_paths_stay_lean(home, add_container, words, limit) -> None:
    add_container("web", state={"status": "running", "pid": os.getpid()})
    loaded = modules(home, *words)
    assert not loaded & HEAVY
    assert len(loaded) <= limit, sorted(loaded)
