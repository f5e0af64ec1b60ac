"""What a control group can do, whatever the version, and the small file operations both versions share."""

from __future__ import annotations

import errno
import os
import time
from abc import ABC, abstractmethod
from collections import namedtuple

from composer.namespaces.kernel.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# `typing.NamedTuple` would bring typing into everything that is forked.
Write = namedtuple("Write", ["controller", "file", "value", "required"], defaults=[True])  # noqa: PYI024
"""One value for one control file. `required`: a user asked for it, so failing to write it is an error."""

_REMOVE_SECONDS = 2.0


class Cgroup(ABC):
    """A control group. All methods raise `KernelError` with the file that refused."""

    path: str

    @abstractmethod
    def create(self) -> None:
        """Make it and its parents, with every controller that the machine offers."""

    @abstractmethod
    def apply(self, resources: dict[str, Any], devices: list[str] | None = None) -> list[str]:
        """Write limits.

        Args:
            resources: JSON form of `engine.Resources`.
            devices: Device rules in v1 words that make the allow list, or None to leave devices alone.

        Returns:
            Sentences about what this kernel has no file for.
        """

    @abstractmethod
    def directory_fd(self) -> int:
        """A descriptor for CLONE_INTO_CGROUP, or -1 where a child cannot be born in its group."""

    @abstractmethod
    def directories(self) -> list[str]:
        """The group's directory in each hierarchy."""

    @abstractmethod
    def freeze(self) -> None:
        """Stop every process in it; returns when all have stopped."""

    @abstractmethod
    def thaw(self) -> None:
        """Let them run again."""

    @abstractmethod
    def kill(self) -> None:
        """SIGKILL to every process in it and below."""

    @abstractmethod
    def oom_kills(self) -> int:
        """How often the kernel's OOM killer ended a process in it."""

    @abstractmethod
    def oom_alarm(self) -> tuple[int, int]:
        """A descriptor and the poll(2) events that say: look at `oom_kills`; (-1, 0) where there is none.

        The alarm may come a moment before the count rises. Each one is acknowledged with `heard`.
        """

    @staticmethod
    @abstractmethod
    def heard(fd: int) -> None:
        """Acknowledge an alarm."""

    @abstractmethod
    def stats(self) -> dict[str, Any]:
        """Counters; keys are fields of `engine.Stats`."""

    def add(self, pid: int) -> None:
        """Put a process into it, in every hierarchy."""
        for directory in self.directories():
            write_file(f"{directory}/cgroup.procs", str(pid))

    def procs_fds(self) -> list[int]:
        """Open `cgroup.procs` of each hierarchy; who has lost sight of them joins by writing "0"."""
        return [
            os.open(f"{directory}/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
            for directory in self.directories()
        ]

    def pids(self) -> list[int]:
        """Every process in it and below."""
        found: set[int] = set()
        for directory, _, _ in os.walk(self.directories()[0]):
            found.update(map(int, read_file(f"{directory}/cgroup.procs", "").split()))
        return sorted(found)

    def remove(self) -> None:
        """Remove it and what its processes made below it; while it is busy, try for 2 seconds."""
        deadline = time.monotonic() + _REMOVE_SECONDS
        for directory in self.directories():
            _remove_tree(directory, deadline)


def write_file(path: str, value: str) -> None:
    """Write *value* to the control file *path* in one write(2)."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise KernelError(error.errno or 0, f"write {value!r} to", path) from None


def read_file(path: str, missing: str | None = None) -> str:
    """The content of the control file *path*; *missing* when there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        if missing is None:
            raise KernelError(errno.ENOENT, "open", path) from None
        return missing
    try:
        data = b""
        while chunk := os.read(fd, 65536):
            data += chunk
        return data.decode()
    except OSError:
        # A group that vanishes while it is read answers ENODEV: the same as not being there.
        return missing if missing is not None else ""
    finally:
        os.close(fd)


def read_number(path: str) -> int:
    """A control file that holds one number; `max`, and a missing file, count as 0."""
    text = read_file(path, "").strip()
    return int(text) if text.isdigit() else 0


def read_pairs(path: str) -> dict[str, int]:
    """A flat keyed file: one `key value` per line."""
    pairs = {}
    for line in read_file(path, "").splitlines():
        key, _, value = line.partition(" ")
        if value.isdigit():
            pairs[key] = int(value)
    return pairs


def write_all(directories: dict[str, str], writes: list[Write]) -> list[str]:
    """Make *writes* in order; returns a sentence for each optional one that this kernel has no file for."""
    warnings = []
    for write in writes:
        directory = directories.get(write.controller)
        path = f"{directory}/{write.file}"
        if directory is None or not os.path.exists(path):
            if write.required:
                raise KernelError(errno.ENOENT, "cgroup", f"{write.file} (no {write.controller} controller)")
            warnings.append(f"this kernel has no {write.file}, the limit is not applied")
            continue
        write_file(path, write.value)
    return warnings


def _remove_tree(directory: str, deadline: float) -> None:
    for current, _, _ in os.walk(directory, topdown=False):
        while True:
            try:
                os.rmdir(current)
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno != errno.EBUSY or time.monotonic() > deadline:
                    raise KernelError(error.errno or 0, "rmdir", current) from None
                time.sleep(0.005)  # the kernel still counts zombies; there is no event for their end
                continue
            break
