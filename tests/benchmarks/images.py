"""Issue 4's list: pull, push, rebuild, first build, import of a root file system against `tar -x`."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.benchmarks.measure import Row, Table, in_turns, run
from tests.benchmarks.registry import registry
from tests.benchmarks.sides import Ours
from tests.support.home import REPOSITORY, Home

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.benchmarks.docker import Docker

_PORTS = itertools.count(20000)


class _Tools:
    """Command lines of the programs that are compared; all run in the daemon's network namespace."""

    def __init__(self, home: Home, docker: Docker, work: Path) -> None:
        self.docker = docker
        self._composer = [str(Ours(home).program)]
        storage = [
            "--root",
            f"{work}/containers",
            "--runroot",
            f"{work}/containers-run",
            "--storage-driver",
            "overlay",
        ]
        self._podman = ["podman", *storage]
        self._buildah = ["buildah", *storage]
        self._env = {**docker.environ(), **home.environ(), "DOCKER_BUILDKIT": "1", "BUILDAH_ISOLATION": "oci"}
        self._env |= {name: value for name, value in docker.environ().items() if name.startswith("DOCKER")}

    def run(self, program: str, *args: str | Path, cwd: Path | None = None) -> float:
        """Seconds of `composer`, `docker`, `podman` or `buildah` with *args*."""
        prefix = {
            "composer": self._composer,
            "docker": ["docker"],
            "podman": self._podman,
            "buildah": self._buildah,
        }
        return run(self.docker.inside([*prefix[program], *map(str, args)]), cwd=cwd, env=self._env)

    def forget(self, program: str, name: str) -> None:
        """Remove an image, so that the next pull is a whole one."""
        words = ("image", "rm", "-f", name) if program == "composer" else ("rmi", "-f", name)
        self.run(program, *words)


def measure(table: Table, home: Home, docker: Docker, work: Path, rounds: int) -> None:
    """All of the list."""
    tools = _Tools(home, docker, work)
    debian = REPOSITORY / ".cache/rootfs/debian.tar"
    _pulls(table, tools, debian, rounds)
    _pushes(table, tools, debian, rounds)
    _builds(table, tools, work, rounds)
    _imports(table, home, work, rounds)


def _pulls(table: Table, tools: _Tools, archive: Path, rounds: int) -> None:
    with registry(tools.docker, next(_PORTS)) as address:
        name = f"{address}/debian:1"
        tools.run("docker", "import", archive, name)
        tools.run("docker", "push", name)
        tools.forget("docker", name)

        def sample(program: str, *words: str) -> Callable[[], float]:
            def one() -> float:
                elapsed = tools.run(program, *words, name)
                tools.forget(program, name)
                return elapsed

            return one

        ours, docker, podman = in_turns(
            rounds, sample("composer", "image", "pull"), sample("docker", "pull"),
            sample("podman", "pull", "--tls-verify=false"),
        )  # fmt: skip
    table.add(Row("pull of Debian from a registry on loopback", ours, docker, "docker pull", 0.3))
    table.add(Row("pull of Debian from a registry on loopback", ours, podman, "podman pull", 1.0))


def _pushes(table: Table, tools: _Tools, archive: Path, rounds: int) -> None:
    tools.run("docker", "import", archive, "push:1")
    tools.run("podman", "import", archive, "localhost/push:1")
    tools.run("composer", "image", "import", archive, "push:1")

    def sample(program: str, source: str, *words: str) -> Callable[[], float]:
        def one() -> float:
            # A registry that has never seen a layer, at an address that no program has a memory of.
            with registry(tools.docker, next(_PORTS)) as address:
                name = f"{address}/debian:1"
                tools.run(program, *(("image",) if program == "composer" else ()), "tag", source, name)
                elapsed = tools.run(program, *words, name)
                tools.forget(program, name)
                return elapsed

        return one

    ours, docker, podman = in_turns(
        rounds, sample("composer", "push:1", "image", "push"), sample("docker", "push:1", "push"),
        sample("podman", "localhost/push:1", "push", "--tls-verify=false"),
    )  # fmt: skip
    table.add(Row("push of Debian to an empty registry", ours, docker, "docker push", 1.0))
    table.add(Row("push of Debian to an empty registry", ours, podman, "podman push", 1.0))


def _context(work: Path, steps: int = 20, files: int = 2000) -> Path:
    """A directory with *files* files of four kilobytes and a Dockerfile of *steps* steps."""
    context = work / "context"
    lines = ["FROM busybox:latest", "WORKDIR /app"]
    for number in range(files):
        path = context / "src" / f"d{number % 50}" / f"f{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n" * 700, encoding="ascii")
    for number in range((steps - 2) // 2):
        lines += [f"COPY src/d{number} /app/d{number}", f"RUN echo step {number} > /app/step{number}"]
    lines += ["COPY . /app/all", 'CMD ["true"]']
    (context / "Dockerfile").write_text("\n".join(lines) + "\n", encoding="ascii")
    return context


def _builds(table: Table, tools: _Tools, work: Path, rounds: int) -> None:
    context = _context(work)
    busybox = REPOSITORY / ".cache/rootfs/busybox.tar"
    tools.run("podman", "import", busybox, "docker.io/library/busybox:latest")

    def ours(*options: str) -> Callable[[], float]:
        return lambda: tools.run("composer", "image", "build", *options, "-t", "bench:1", context)

    def docker(*options: str) -> Callable[[], float]:
        return lambda: tools.run("docker", "build", "--quiet", *options, "-t", "bench:1", context)

    def buildah(*options: str) -> Callable[[], float]:
        return lambda: tools.run(
            "buildah",
            "bud",
            "--runtime",
            "runc",
            "--pull-never",
            "--network",
            "host",
            *options,
            "-t",
            "bench:1",
            context,
        )

    first, first_docker, first_buildah = in_turns(
        rounds, ours("--no-cache"), docker("--no-cache"), buildah("--layers", "--no-cache")
    )
    table.add(Row("build of 20 steps, 2,000 files, without cache", first, first_buildah, "buildah", 1.0))
    table.add(Row("build of 20 steps, 2,000 files, without cache", first, first_docker, "docker build", None))
    again, again_docker = in_turns(rounds, ours(), docker())
    table.add(
        Row("the same build again, nothing changed", again, again_docker, "docker build (BuildKit)", 0.5)
    )


def _imports(table: Table, home: Home, work: Path, rounds: int) -> None:
    archive = _large_rootfs(work)
    target = work / "unpacked"

    def untar() -> float:
        target.mkdir()
        elapsed = run(["tar", "-x", "-f", str(archive), "-C", str(target), "--numeric-owner", "--xattrs"])
        shutil.rmtree(target)
        return elapsed

    def ours() -> float:
        elapsed = run([Ours(home).program, "image", "import", archive, "large:1"], env=home.environ())
        run([Ours(home).program, "image", "rm", "-f", "large:1"], env=home.environ())
        return elapsed

    table.add(
        Row("import of 180 MB, 10,000 files", *in_turns(rounds, ours, untar), other="tar -x", target=1.2)
    )


def _large_rootfs(work: Path, megabytes: int = 180, files: int = 10_000) -> Path:
    """Debian's root file system with more small files, to the size that the issue names."""
    archive = work / "large.tar"
    shutil.copyfile(REPOSITORY / ".cache/rootfs/debian.tar", archive)
    have = len(
        subprocess.run(["tar", "-t", "-f", archive], stdout=subprocess.PIPE, check=True).stdout.splitlines()
    )
    missing = max(files - have, 1)
    size = max((megabytes * 1_000_000 - archive.stat().st_size) // missing, 1)
    extra = work / "extra"
    for number in range(missing):
        path = extra / "opt" / f"d{number % 100}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(number.to_bytes(8, "big") * (size // 8))
    subprocess.run(["tar", "-r", "-f", archive, "-C", extra, "opt"], check=True)
    shutil.rmtree(extra)
    return archive
