"""Import budgets: what a start-up may load. Each of these costs milliseconds that a user waits for, or memory
in every shim."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent

# tests/integration/system/test_budget.py holds the same lists against a running project.
HEAVY = {
    "anyio", "asyncio", "networkx", "structlog", "jsonschema", "yaml", "h11", "ssl", "isal", "logging", "sqlite3",
    "email", "http.client", "unittest", "concurrent.futures", "multiprocessing", "importlib.metadata",
}  # fmt: skip
NOT_FORKED = HEAVY | {
    "dataclasses",
    "inspect",
    "typing_extensions",
    "subprocess",
    "tempfile",
    "pathlib",
    "argparse",
}


def loaded(statement: str, *argv: str, home: Path) -> set[str]:
    """Modules in memory after *statement*, in a fresh interpreter."""
    program = (
        f"import sys, json\nsys.argv = {['composer', *argv]!r}\n"
        f"try:\n    {statement}\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write('MODULES' + json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=home, capture_output=True, text=True, check=False,
        env={"PATH": "/usr/bin:/bin", "COMPOSER_HOME": str(home), "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert "MODULES" in done.stderr, done.stderr
    return set(json.loads(done.stderr.rpartition("MODULES")[2]))


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(
        "name: budget\nservices:\n  a:\n    image: busybox\n", encoding="utf-8"
    )
    return tmp_path


RUN_CLI = "from composer.cli.main import main; main()"


@pytest.mark.parametrize(
    ("argv", "forbidden"),
    [
        (("--version",), HEAVY | {"dataclasses", "argparse"}),
        (("ps",), HEAVY | {"dataclasses"}),
        (("ls",), HEAVY | {"dataclasses"}),
        (("config", "-q"), HEAVY - {"yaml"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_command_loads_only_what_it_uses(argv: tuple[str, ...], forbidden: set[str], home: Path) -> None:
    assert not loaded(RUN_CLI, *argv, home=home) & forbidden


@pytest.mark.parametrize("module", ["composer.namespaces.zygote", "composer.namespaces.shim"])
def test_what_is_forked_is_lean(module: str, home: Path) -> None:
    assert not loaded(f"import {module}", home=home) & NOT_FORKED
