"""The process ends without taking itself apart, and yet nothing it wrote is lost."""

from __future__ import annotations

import subprocess
import sys

BEFORE = "import sys; import composer.cli.main as m; m.dispatch = lambda words, context: "


def run(action: str, *, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    """The program with *action* in the place of every command."""
    return subprocess.run(
        [sys.executable, "-c", f"{BEFORE}{action}; m.program()"],
        stdout=stdout, stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip


def test_the_exit_code_is_that_of_the_command():
    assert run("7").returncode == 7


def test_what_was_printed_before_a_mistake_arrives():
    done = run("[print('half'), m.run_command('nonsense', [], context)]")
    assert done.stdout == "half\n"
    assert done.returncode == 1


def test_a_full_disk_is_reported():
    with open("/dev/full", "w") as full:
        done = run("[print('x'), 0][1]", stdout=full.fileno())
    assert (done.returncode, done.stderr) == (1, "composer: No space left on device\n")


def test_an_exit_on_request_keeps_its_code():
    assert run("[print('x'), sys.exit(3)]").returncode == 3
