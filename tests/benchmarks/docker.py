"""A Docker daemon of our own for the comparison, in a network namespace of its own.

dockerd changes the firewall (FORWARD becomes DROP) and makes bridges; in a namespace none of that
touches the machine. Everything it writes lies below one temporary directory.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parent.parent.parent


class Docker:
    """A running daemon and the commands that talk to it.

    Args:
        directory: Where it keeps everything.
        netns: Name of its network namespace (ip-netns(8)).
    """

    def __init__(self, directory: Path, netns: str) -> None:
        self.directory = directory
        self.netns = netns
        self.socket = directory / "docker.sock"
        self.plugins = subprocess.run(
            [REPOSITORY / "tools/docker-plugins.sh"], check=True, stdout=subprocess.PIPE, text=True
        ).stdout.strip()

    def environ(self) -> dict[str, str]:
        """The environment of its clients. The plugins are found below the Docker configuration."""
        return {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("COMPOSE", "DOCKER"))
            },
            "DOCKER_HOST": f"unix://{self.socket}",
            "DOCKER_CONFIG": str(self.directory / "config"),
        }

    def docker(self, *args: str | Path) -> list[str]:
        """`docker ...`."""
        return ["docker", *map(str, args)]

    def compose(self, *args: str | Path) -> list[str]:
        """`docker compose ...`."""
        return ["docker", "compose", *map(str, args)]

    def inside(self, command: list[str]) -> list[str]:
        """*command* run in the daemon's network namespace, where its published ports and registry are."""
        # Not `ip netns exec`: that mounts a new /sys, without the cgroup hierarchies.
        return ["nsenter", f"--net=/run/netns/{self.netns}", *command]

    def pids(self) -> list[int]:
        """dockerd, containerd, the shims and the port proxies: everything but the containers."""
        found = []
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                words = Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
                program = os.path.basename(words[0])
            except OSError:
                continue
            ours = str(self.directory).encode() in b" ".join(words)
            if (ours and program in (b"dockerd", b"containerd", b"containerd-shim-runc-v2")) or (
                program == b"docker-proxy" and _netns(int(entry)) == self._netns_inode()
            ):
                found.append(int(entry))
        return found

    def _netns_inode(self) -> int:
        return os.stat(f"/run/netns/{self.netns}").st_ino

    def load_rootfs(self, archive: Path, name: str) -> None:
        """`docker import`."""
        subprocess.run(
            self.docker("import", archive, name), env=self.environ(), check=True, stdout=subprocess.DEVNULL
        )


def _netns(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    except OSError:
        return 0


@contextlib.contextmanager
def daemon() -> Iterator[Docker]:
    """Start dockerd, wait until it answers, and end it and everything it started afterwards.

    Raises:
        RuntimeError: It did not answer within 60 seconds.
    """
    directory = Path(tempfile.mkdtemp(prefix="bench-docker-", dir="/var/tmp"))
    netns = f"bench-{os.getpid()}"
    process = None
    try:
        subprocess.run(["ip", "netns", "add", netns], check=True)
        subprocess.run(["ip", "-n", netns, "link", "set", "lo", "up"], check=True)
        docker = Docker(directory, netns)
        (directory / "config").mkdir()
        (directory / "config" / "config.json").write_text("{}", encoding="ascii")  # podman insists on it
        (directory / "config" / "cli-plugins").symlink_to(docker.plugins)
        (directory / "daemon.json").write_text("{}", encoding="ascii")  # never the machine's own
        with (directory / "dockerd.log").open("wb") as log:
            process = subprocess.Popen(
                # Should this script be killed, the daemon ends too, and its containerd with it.
                ["setpriv", "--pdeathsig", "TERM", *docker.inside([
                    "dockerd", "--host", f"unix://{docker.socket}", "--data-root", f"{directory}/data",
                    "--exec-root", f"{directory}/exec", "--pidfile", f"{directory}/dockerd.pid",
                    "--config-file", f"{directory}/daemon.json", "--storage-driver", "overlay2",
                ])],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        _wait(docker, process)
        yield docker
    finally:
        if process is not None:
            _stop(process)
        subprocess.run(["ip", "netns", "del", netns], check=False)
        discard(directory)


@contextlib.contextmanager
def work_directory() -> Iterator[Path]:
    """A directory on disk for a run; deleted with whatever is mounted below it (podman mounts its store)."""
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir="/var/tmp"))
    try:
        yield directory
    finally:
        discard(directory)


def discard(directory: Path) -> None:
    """Unmount what is mounted below *directory* and delete it."""
    for _ in range(20):
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        inside = [mount for line in lines if (mount := line.split()[4]).startswith(f"{directory}/")]
        if not inside:
            break
        for mount in reversed(inside):
            subprocess.run(["umount", "-l", mount], check=False, stderr=subprocess.DEVNULL)
    shutil.rmtree(directory, ignore_errors=True)


def _wait(docker: Docker, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        probe = subprocess.run(
            docker.docker("version"), env=docker.environ(), capture_output=True, check=False
        )
        if probe.returncode == 0:
            return
        time.sleep(0.2)
    log = (docker.directory / "dockerd.log").read_text("utf-8", errors="replace")
    raise RuntimeError(f"dockerd does not answer:\n{log[-3000:]}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM makes it stop its containers and its containerd."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
