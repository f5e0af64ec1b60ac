"""A project of a name of its own, with the processes that look after it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import time

import pytest

from tests.support.home import PATIENCE

LOOP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


class Project:
    """A directory with a Compose file of its own project name."""

    def __init__(self, home, path):
        self.home = home
        self.path = path
        self.name = f"ag{os.getpid()}x{time.monotonic_ns() % 100000}"

    def write(self, services, **top):
        for service in services.values():
            service.setdefault("image", "busybox")
            service.setdefault("command", ["sh", "-c", LOOP])
        document = {"name": self.name, "services": services, **top}
        (self.path / "compose.yaml").write_text(json.dumps(document))

    def run(self, *args, **options):
        return self.home.run(*args, cwd=self.path, **options)

    def start(self, *args):
        """A command in the background."""
        return subprocess.Popen(
            self.home.command(*args),
            cwd=self.path,
            env=self.home.environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def states(self):
        """By name: what the shims wrote down."""
        found = {}
        for file in (self.home.paths.run / "containers").glob("*/state.json"):
            config = json.loads((self.home.paths.container(file.parent.name) / "config.json").read_text())
            with contextlib.suppress(ValueError):
                found[config["name"]] = json.loads(file.read_text())
        return found

    def state(self, service, number=1):
        return self.states().get(f"{self.name}-{service}-{number}", {})

    def agent(self):
        """The pid of the agent, or 0."""
        lock = self.home.paths.project_run(self.name) / "agent.lock"
        if not lock.exists() or not _is_locked(lock):
            return 0
        wanted = os.stat(lock)
        for entry in os.listdir("/proc"):
            if entry.isdecimal() and _has_open(int(entry), wanted):
                return int(entry)
        return 0


def _is_locked(path):
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _has_open(pid, wanted):
    with contextlib.suppress(OSError):
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                found = os.stat(f"/proc/{pid}/fd/{fd}")
                if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                    return b"composer-agent" in open(f"/proc/{pid}/cmdline", "rb").read()
    return False


def eventually(check, seconds=10.0):
    """The first true value of *check*; fails when it does not come."""
    deadline = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < deadline:
        if value := check():
            return value
        time.sleep(0.02)
    pytest.fail(f"did not happen within {seconds} seconds")
    return None
