"""Scenarios: each is a directory with a compose.yaml that a person can run, and a test that holds its promise."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.home import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.home import Home

HERE = Path(__file__).parent


class Project:
    """One scenario in an installation of its own."""

    def __init__(self, home: Home, name: str) -> None:
        self.home = home
        self.directory = HERE / name
        self.name = name

    def __call__(
        self,
        *words: str,
        check: bool = True,
        timeout: float = 60,
        input: str | None = None,  # noqa: A002 - the name that subprocess.run has
        env=None,
    ):
        """Run composer here; the result has `.code`, `.out`, `.err`."""
        return self.home.run(*words, cwd=self.directory, check=check, timeout=timeout, input=input, env=env)

    def start(self, *words: str, **options) -> subprocess.Popen[str]:
        """Start composer here, with its output in pipes."""
        return subprocess.Popen(
            self.home.command(*words),
            cwd=self.directory,
            env=self.home.environ(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            **options,
        )

    def ps(self, *words: str) -> dict[str, dict]:
        """`ps -a --format json` by container name."""
        done = self("ps", "-a", "--format", "json", *words)
        import json

        return {row["Name"]: row for row in map(json.loads, done.out.splitlines())}


class Terminal:
    """Composer with a pseudo terminal."""

    def __init__(self, project: Project, *words: str) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(project.directory)
            command = project.home.command(*words)
            os.execvpe(command[0], command, {**project.home.environ(), "TERM": "xterm"})
        self.seen = ""

    def wait_for(self, text: str, seconds: float = 15) -> str:
        """Read until *text* has appeared."""
        deadline = time.monotonic() + seconds * PATIENCE
        while text not in self.seen:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                raise AssertionError(f"{text!r} did not appear in {self.seen!r}")
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                raise AssertionError(
                    f"the terminal ended before {text!r} appeared in {self.seen!r}"
                ) from None
            self.seen += data.decode(errors="replace")
        return self.seen

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def type_until(self, keys: str, text: str) -> None:
        """Type *keys* once a second until *text* appears."""
        for _ in range(int(15 * PATIENCE)):
            self.type(keys)
            try:
                self.wait_for(text, 1)
            except AssertionError:
                continue
            return
        raise AssertionError(f"{text!r} did not appear in {self.seen!r}")

    def end(self, seconds: float = 15) -> int:
        """Read to the end and return the exit code."""
        deadline = time.monotonic() + seconds * PATIENCE
        while (left := deadline - time.monotonic()) > 0 and select.select([self.fd], [], [], left)[0]:
            try:
                self.seen += os.read(self.fd, 65536).decode(errors="replace")
            except OSError:
                break
        else:
            os.kill(self.pid, signal.SIGKILL)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


@pytest.fixture
def scenario(composer_home: Home, busybox_image: str) -> Iterator[Callable[[str], Project]]:
    """`scenario("basic")`: the directory of that name, with busybox:latest in the store."""
    made: list[Project] = []

    def make(name: str) -> Project:
        made.append(Project(composer_home, name))
        return made[-1]

    yield make
    for project in made:
        project("down", "-v", "-t", "0", "--remove-orphans", check=False)
