"""Pages and examples say what is true: links lead somewhere, commands exist, files load."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from composer.cli.table import COMMANDS, available

REPOSITORY = Path(__file__).resolve().parent.parent.parent
PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md")), *sorted((REPOSITORY / "examples").rglob("*.md"))]  # fmt: skip
EXAMPLES = sorted((REPOSITORY / "examples").glob("*/compose.yaml"))
COMMAND = re.compile(r"composer (?:-{1,2}[a-z]\S* (?:[a-z./]*[./]\S* |shop |NAME )?)*([a-z]+)(?: ([a-z]+))?")


def name(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_on_the_page_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if page.name == "cli.md":
        pytest.skip("generated from the commands")
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    inline = [" ".join(words.split()) for words in re.findall(r"`([^`]+)`", prose)]
    lines = [line.strip().removeprefix("$ ") for block in fenced + inline for line in block.splitlines()]
    said = [found.groups() for line in lines if (found := COMMAND.match(line))]
    assert not [
        " ".join(filter(None, words))
        for words in said
        if not {words[0], " ".join(filter(None, words))} & set(COMMANDS)
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_of_the_table_is_there(command: str) -> None:
    assert available(COMMANDS[command])


@pytest.mark.parametrize("file", EXAMPLES, ids=name)
def test_examples_load(file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "composer", "-f", str(file), "config", "-q"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
