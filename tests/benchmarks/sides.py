"""The programs that are compared, each able to run a Compose file of the benchmark."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tests.benchmarks.measure import run
from tests.support.home import REPOSITORY, Home

if TYPE_CHECKING:
    from tests.benchmarks.docker import Docker


class Side(Protocol):
    """One program that knows the words of docker compose."""

    name: str

    def compose(self, *args: str, cwd: Path) -> float:
        """Seconds of one command."""

    def memory(self) -> float:
        """Proportional memory (PSS) of its processes that are not containers, in MiB."""


class Ours:
    """composer, from the virtual environment, as a user calls it.

    Args:
        home: Where its state lives.
    """

    name = "composer"

    def __init__(self, home: Home) -> None:
        self.home = home
        self.program = REPOSITORY / ".venv" / "bin" / "composer"

    def compose(self, *args: str, cwd: Path) -> float:
        """See `Side`."""
        return run([self.program, *args], cwd=cwd, env=self.home.environ())

    def memory(self) -> float:
        """Agent, zygote and shims: what was started with this home in its environment."""
        return pss(list(self.home.pids()))


class Theirs:
    """docker compose on a daemon of its own.

    Args:
        docker: The daemon.
    """

    name = "docker compose"

    def __init__(self, docker: Docker) -> None:
        self.docker = docker

    def compose(self, *args: str, cwd: Path) -> float:
        """See `Side`."""
        return run(self.docker.compose(*args), cwd=cwd, env=self.docker.environ())

    def memory(self) -> float:
        """dockerd, containerd, its shims and the port proxies."""
        return pss(self.docker.pids())


def pss(pids: list[int]) -> float:
    """Proportional set size of *pids* in MiB, proc_pid_smaps(5); a process that just ended counts nothing."""
    total = 0
    for pid in pids:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")), 0)
    return total / 1024


def versions() -> str:
    """One line: what was compared on which kernel."""
    asked = (["docker", "--version"], ["podman", "--version"], ["buildah", "--version"], ["uname", "-r"])
    lines = []
    for command in asked:
        try:
            lines.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip())
        except (OSError, subprocess.CalledProcessError):
            lines.append(f"{command[0]}: not installed")
    return ", ".join(lines)
