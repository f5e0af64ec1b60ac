"""An installation of composer below a temporary directory, and the proof that it left nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from composer.state.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REPOSITORY = Path(__file__).resolve().parent.parent.parent
# How many times longer than here a thing may take: tests/vm sets it, since a translated processor is slow.
PATIENCE = float(os.environ.get("COMPOSER_PATIENCE", "1"))


@dataclass(frozen=True, slots=True)
class Finished:
    """What a command left: exit code, standard output, standard error."""

    args: tuple[str, ...]
    code: int
    out: str
    err: str

    def json(self) -> object:
        """Standard output as JSON: one document, or one a line."""
        try:
            return json.loads(self.out)
        except json.JSONDecodeError:
            return [json.loads(line) for line in self.out.splitlines() if line]


class Home:
    """One value of COMPOSER_HOME.

    Args:
        directory: The directory; `lib` and `run` come below it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.paths = Paths.from_environment({"COMPOSER_HOME": str(directory)})

    @classmethod
    @contextlib.contextmanager
    def temporary(cls) -> Iterator[Home]:
        """A home that is deleted at the end, whatever happened."""
        directory = Path(tempfile.mkdtemp(prefix="ct-", dir="/tmp"))
        home = cls(directory)
        try:
            yield home
        finally:
            home.end_by_force()
            shutil.rmtree(directory, ignore_errors=True)

    def environ(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a command in this home."""
        env = {
            name: value for name, value in os.environ.items() if not name.startswith(("COMPOSE_", "DOCKER_"))
        }
        env["COMPOSER_HOME"] = str(self.directory)
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(REPOSITORY), env.get("PYTHONPATH", ""))))
        env.update(extra or {})
        return env

    def command(self, *args: str) -> list[str]:
        """The argument vector that runs composer with *args*."""
        return [sys.executable, "-m", "composer", *args]

    def run(
        self,
        *args: str | Path,
        cwd: str | Path | None = None,
        input: str | None = None,  # noqa: A002 - the name that subprocess.run has
        env: Mapping[str, str] | None = None,
        timeout: float = 60,
        check: bool = True,
    ) -> Finished:
        """Run composer and wait for it.

        Args:
            args: The command line.
            cwd: Where; the home by default, which has no Compose file.
            input: Standard input; empty by default.
            env: Added to the environment.
            timeout: Seconds (times PATIENCE); afterwards the command is killed and the test fails.
            check: Fail the test when the exit code is not 0.
        """
        words = tuple(str(arg) for arg in args)
        # Files, not pipes: a background process that kept the descriptors open would make the test wait for it.
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            process = subprocess.Popen(
                self.command(*words), cwd=cwd or self.directory, env=self.environ(env),
                stdin=subprocess.PIPE, stdout=out, stderr=err, text=True,
            )  # fmt: skip
            try:
                process.communicate(input or "", timeout * PATIENCE)
                expired = False
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                expired = True
            out.seek(0)
            err.seek(0)
            done = Finished(words, process.returncode, out.read(), err.read())
        if expired:
            raise AssertionError(
                f"composer {' '.join(words)} took over {timeout * PATIENCE} s\n{done.out}{done.err}"
            )
        if check and done.code:
            raise AssertionError(f"composer {' '.join(words)} ended with {done.code}\n{done.out}{done.err}")
        return done

    def import_image(self, archive: Path, name: str) -> str:
        """`composer image import`; returns *name*."""
        self.run("image", "import", archive, name, timeout=120)
        return name

    def projects(self) -> list[str]:
        """Names of all projects that have state here."""
        names: set[str] = set()
        for directory in (self.paths.project("x").parent, self.paths.project_run("x").parent):
            if directory.is_dir():
                names.update(entry.name for entry in directory.iterdir() if entry.is_dir())
        return sorted(names)

    def tear_down(self) -> list[str]:
        """Take all projects down; returns what is left of this home on the machine, as sentences."""
        failed = []
        for name in self.projects():
            done = self.run("-p", name, "down", "-v", "-t", "0", "--remove-orphans", check=False)
            if done.code:
                failed.append(
                    f"down of {name} ended with {done.code}: {done.err.strip() or done.out.strip()}"
                )
        # An agent leaves by itself once its project is gone; give it and the kernel's clean-up a moment.
        deadline = time.monotonic() + 5 * PATIENCE
        left = self.leftovers()
        while left and time.monotonic() < deadline:
            time.sleep(0.05)
            left = self.leftovers()
        return failed + left

    def leftovers(self) -> list[str]:
        """Processes, mounts, links, tables and cgroups of this home."""
        return [*self._processes(), *self._mounts(), *self._links(), *self._tables(), *self._cgroups()]

    def pids(self) -> Iterator[int]:
        """Processes that were started in this home (agents, zygotes, shims), by their environment."""
        mark = f"COMPOSER_HOME={self.directory}".encode()
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                environ = Path(f"/proc/{entry}/environ").read_bytes()
                if mark in environ.split(b"\0"):
                    yield int(entry)
            except OSError:
                continue

    def _processes(self) -> Iterator[str]:
        for pid in self.pids():
            try:
                words = (
                    Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                )
            except OSError:
                continue
            if words:  # a zombie has none; its parent is about to collect it
                yield f"process {pid}: {words.strip()}"

    def _mounts(self) -> Iterator[str]:
        # Every process of this home is gone or listed above, so this mount namespace is the one that counts.
        for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            target = line.split()[4]
            if target == str(self.directory) or target.startswith(f"{self.directory}/"):
                yield f"mount {target}"

    @property
    def mark(self) -> str:
        """The name that tables, cgroups and link aliases of this home carry."""
        return f"composer{self.paths.suffix}"

    def _links(self) -> Iterator[str]:
        for link in Path("/sys/class/net").iterdir():
            try:
                alias = (link / "ifalias").read_text(encoding="utf-8").strip()
            except OSError:
                continue
            if alias == self.mark or alias.startswith(f"{self.mark}:"):
                yield f"link {link.name}"

    def _tables(self) -> Iterator[str]:
        done = subprocess.run(["nft", "list", "tables"], stdout=subprocess.PIPE, text=True, check=False)
        for line in done.stdout.splitlines():
            if line.split()[-1] == self.mark:
                yield f"nftables {line}"

    def _cgroups(self) -> Iterator[str]:
        root = Path("/sys/fs/cgroup")
        # /composer-1a2b3c on v2, /CONTROLLER/composer-1a2b3c on v1, composer.slice/composer-1a2b3c-NAME.scope by systemd
        for depth in (self.mark, f"*/{self.mark}", f"*/{self.mark}-*"):
            for directory in root.glob(depth):
                for inner, names, _files in os.walk(directory):
                    if inner != str(directory) and not names:
                        yield f"cgroup {inner}"

    def end_by_force(self) -> None:
        """The last resort after a failed test: kill this home's processes and detach its mounts."""
        for pid in list(self.pids()):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        for sentence in list(self._mounts()):
            subprocess.run(
                ["umount", "-l", sentence.removeprefix("mount ")], stderr=subprocess.DEVNULL, check=False
            )
        for sentence in list(self._links()):
            subprocess.run(
                ["ip", "link", "del", sentence.removeprefix("link ")], stderr=subprocess.DEVNULL, check=False
            )
        for sentence in list(self._tables()):
            _table, family, name = sentence.removeprefix("nftables ").split()
            subprocess.run(["nft", "delete", "table", family, name], stderr=subprocess.DEVNULL, check=False)
        for top in [*Path("/sys/fs/cgroup").glob(self.mark), *Path("/sys/fs/cgroup").glob(f"*/{self.mark}")]:
            for inner, _names, _files in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(inner)
