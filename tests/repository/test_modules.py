"""What every module of the package keeps to; see docs/ARCHITECTURE.md."""

from __future__ import annotations

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent
MODULES = sorted((REPOSITORY / "composer").rglob("*.py"))
LONGEST = 500


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_module_is_small_documented_and_finished(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LONGEST, (
        "a module whose contents do not fit a screen wants to be a package"
    )
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "the first line says what the module is for"
    if any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in tree.body):
        futures = [
            node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"
        ]
        assert [alias.name for node in futures for alias in node.names] == ["annotations"]
    assert not re.search(r"\b(TODO|FIXME|XXX|HACK)\b", text)


def test_no_test_is_passed_over(request: pytest.FixtureRequest) -> None:
    """As all tests of the builder were for days, in directories that are called `build`."""
    patterns = request.config.getini("norecursedirs")
    tests = REPOSITORY / "tests"
    directories = {
        directory for file in tests.rglob("test_*.py") for directory in file.relative_to(tests).parts[:-1]
    }
    assert [name for name in sorted(directories) if any(fnmatch(name, pattern) for pattern in patterns)] == []


def test_only_the_command_line_prints_and_exits() -> None:
    """Library code raises; a process's own entry point (agent, zygote, shim) may end itself with os._exit."""
    offenders = []
    for path in MODULES:
        if path.relative_to(REPOSITORY / "composer").parts[0] in ("cli", "testing", "__main__.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in ("print", "sys.exit", "exit", "quit") and not path.name.startswith("__main__"):
                    offenders.append(f"{name(path)}:{node.lineno}: {called}")
    assert not offenders
