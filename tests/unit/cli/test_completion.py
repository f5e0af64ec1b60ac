from __future__ import annotations

import shutil
import subprocess

import pytest

from composer.cli.completion import SHELLS, bash
from composer.cli.describe import describe_all


@pytest.fixture(scope="module")
def script() -> str:
    return bash(describe_all())


def complete(script: str, *words: str) -> list[str]:
    quoted = " ".join(f"'{word}'" for word in words)
    program = f"{script}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _composer; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", program], check=True, capture_output=True, text=True)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["composer", "lo"], {"logs", "lock", "login", "logout"}),
        (["composer", "-p", "x", "p"], {"ps", "port", "pause", "plan", "pull", "push"}),
        (["composer", "--ansi", "n"], {"never"}),
        (["composer", "--proj"], {"--project-name", "--project-directory"}),
        (["composer", "up", "--force"], {"--force-recreate"}),
        (["composer", "up", "--pull", "mi"], {"missing"}),
        (["composer", "ps", "--status", "r"], {"running", "restarting", "removing"}),
        (["composer", "-f", "x.yaml", "down", "--rmi", ""], {"local", "all"}),
    ],
)
def test_bash(script, words, expected) -> None:
    found = set(complete(script, *words))
    assert found
    assert found <= expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts_are_valid_where_the_shell_is_here(shell) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on this machine")
    text = SHELLS[shell](describe_all())
    done = subprocess.run([shell, "-n"], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_fish_names_every_command() -> None:
    text = SHELLS["fish"](describe_all())
    assert "-a up -d 'Create and start containers'" in text
    assert "__fish_seen_subcommand_from up' -l force-recreate" in text
