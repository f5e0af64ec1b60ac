"""A Compose project that lives as long as a test wants it to."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

_LOG_LINES = "200"


@frozen
class Result:
    """What a command did: its exit code and what it printed."""

    exit_code: int
    stdout: str
    stderr: str


class CommandError(AssertionError):
    """A command of a project failed; the message holds the command and what it printed to stderr.

    An assertion error, so that test runners report it as a failure with its text.
    """

    def __init__(self, command: Sequence[str], result: Result) -> None:
        super().__init__(f"{' '.join(command)} exited with {result.exit_code}\n{result.stderr.strip()}")
        self.result = result


class ComposeProject:
    """One project under test, with a name of its own, so that tests can run side by side.

    Args:
        file: A Compose file, or its content as a mapping.
        directory: Where relative paths start; default: the file's directory, or the current one.
        name: Project name; default: unique.
        environment: Further variables for interpolation.
        profiles: Profiles to activate.
    """

    def __init__(
        self,
        file: str | Path | Mapping[str, Any],
        *,
        directory: str | Path | None = None,
        name: str = "",
        environment: Mapping[str, str] | None = None,
        profiles: Sequence[str] = (),
    ) -> None:
        self.name = name or f"test-{secrets.token_hex(4)}"
        self._environment = {**os.environ, **(environment or {})}
        self._input = None
        if isinstance(file, (str, Path)):
            path = Path(file).resolve()
            self.directory = Path(directory or path.parent)
            source = str(path)
        else:
            self.directory = Path(directory or Path.cwd())
            source = "-"
            self._input = json.dumps(file)  # JSON is YAML
        self._prefix = [sys.executable, "-m", "composer", "-f", source, "-p", self.name]
        self._prefix += ["--project-directory", str(self.directory)]
        for profile in profiles:
            self._prefix += ["--profile", profile]

    def run(self, *arguments: str, check: bool = True, timeout: float | None = None) -> Result:
        """Run a `composer` command on the project.

        Raises:
            CommandError: It failed, and *check* is true.
            subprocess.TimeoutExpired: It took longer than *timeout* seconds.
        """
        command = [*self._prefix, *arguments]
        done = subprocess.run(
            command,
            input=self._input,
            stdin=None if self._input is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env=self._environment,
        )
        result = Result(done.returncode, done.stdout, done.stderr)
        if check and done.returncode:
            raise CommandError(["composer", *arguments], result)
        return result

    def up(self, *services: str, timeout: float | None = None) -> None:
        """Bring services (default all) up, and wait until they are running and healthy."""
        self.run("up", "--detach", "--wait", *services, timeout=timeout)

    def down(self) -> None:
        """Remove everything the project made: containers, networks, volumes, orphans."""
        self.run("down", "--volumes", "--remove-orphans", "--timeout", "2")

    def port(self, service: str, port: int, *, protocol: str = "tcp", index: int = 1) -> tuple[str, int]:
        """Host and port under which a service's published port is reached from this machine."""
        options = ["--protocol", protocol, "--index", str(index)]
        address = self.run("port", *options, service, str(port)).stdout.split()[0]
        host, _, number = address.rpartition(":")
        return ("127.0.0.1" if host in ("0.0.0.0", "[::]") else host.strip("[]")), int(number)  # noqa: S104

    def url(self, service: str, port: int, *, scheme: str = "http") -> str:
        """`http://127.0.0.1:PORT` of a published port."""
        host, number = self.port(service, port)
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{number}"

    def exec(self, service: str, *command: str, check: bool = True) -> Result:
        """Run a command in a running container."""
        return self.run("exec", "-T", service, *command, check=check)

    def logs(self, *services: str) -> str:
        """The last lines of the services' output, with prefixes."""
        return self.run("logs", "--no-color", "--tail", _LOG_LINES, *services, check=False).stdout

    def ps(self) -> list[dict[str, Any]]:
        """What `composer ps --all --format json` prints, one mapping per container."""
        lines = self.run("ps", "--all", "--format", "json").stdout.splitlines()
        return [json.loads(line) for line in lines]

    def report(self) -> str:
        """State and logs, for a failure report."""
        return self.run("ps", "--all", check=False).stdout + self.logs()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.down()
