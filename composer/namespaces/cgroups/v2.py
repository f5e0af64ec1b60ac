"""A control group on a unified (v2) hierarchy."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import time

from composer.namespaces.cgroups import devices as device_rules
from composer.namespaces.cgroups import limits
from composer.namespaces.cgroups.base import (
    Cgroup,
    read_file,
    read_number,
    read_pairs,
    write_all,
    write_file,
)
from composer.namespaces.kernel.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from composer.namespaces.cgroups.layout import Layout

_WANTED = ("cpu", "cpuset", "io", "memory", "pids")
_FREEZE_SECONDS = 10.0
_RACES = 20


class UnifiedCgroup(Cgroup):
    """See the kernel's cgroup-v2 document."""

    def __init__(self, path: str, layout: Layout) -> None:
        self.path = path
        self._mount = layout.unified
        self._directory = layout.unified + path

    def create(self) -> None:
        for attempt in range(_RACES):
            try:
                self._make()
            except KernelError as error:
                # Whoever removes the last container of a project removes the parents too, perhaps right now.
                if error.errno != errno.ENOENT or attempt == _RACES - 1:
                    raise
                continue
            return

    def _make(self) -> None:
        current = self._mount
        for part in self.path.strip("/").split("/"):
            _enable_controllers(current)
            current += "/" + part
            try:
                os.mkdir(current, 0o755)
            except FileExistsError:
                pass
            except OSError as error:
                raise KernelError(error.errno or 0, "mkdir", current) from None

    def apply(self, resources: dict[str, Any], devices: list[str] | None = None) -> list[str]:
        bfq = os.path.exists(f"{self._directory}/io.bfq.weight")
        writes = limits.v2_writes(resources, bfq=bfq)
        warnings = write_all(
            dict.fromkeys(("cpu", "cpuset", "io", "memory", "pids"), self._directory), writes
        )
        if devices is not None and device_rules.ALL not in devices:
            try:
                device_rules.attach(self._directory, devices)
            except KernelError as error:
                if error.errno not in (errno.EPERM, errno.ENOSYS):
                    raise
                warnings.append("device rules are not applied: bpf(2) is not permitted here")
        return warnings

    def directory_fd(self) -> int:
        return os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def directories(self) -> list[str]:
        return [self._directory]

    def freeze(self) -> None:
        write_file(f"{self._directory}/cgroup.freeze", "1")
        fd = os.open(f"{self._directory}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        try:
            poll = select.poll()
            poll.register(fd, select.POLLPRI)
            deadline = time.monotonic() + _FREEZE_SECONDS
            while b"frozen 1" not in os.pread(fd, 4096, 0):
                if (left := deadline - time.monotonic()) <= 0:
                    raise KernelError(errno.ETIMEDOUT, "freeze", self._directory)
                poll.poll(left * 1000)
        finally:
            os.close(fd)

    def thaw(self) -> None:
        write_file(f"{self._directory}/cgroup.freeze", "0")

    def kill(self) -> None:
        try:
            write_file(f"{self._directory}/cgroup.kill", "1")
        except KernelError as error:
            if error.errno != errno.ENOENT or not os.path.exists(self._directory):
                raise
            kill_each(self)  # kernels before 5.14

    def oom_kills(self) -> int:
        return read_pairs(f"{self._directory}/memory.events").get("oom_kill", 0)

    def oom_alarm(self) -> tuple[int, int]:
        try:
            fd = os.open(f"{self._directory}/memory.events", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return -1, 0
        self.heard(fd)  # a fresh descriptor is always ready
        return fd, select.POLLPRI

    @staticmethod
    def heard(fd: int) -> None:
        os.pread(fd, 4096, 0)

    def stats(self) -> dict[str, Any]:
        directory = self._directory
        cpu = read_pairs(f"{directory}/cpu.stat")
        memory = read_pairs(f"{directory}/memory.stat")
        current = read_number(f"{directory}/memory.current")
        read, written = 0, 0
        for line in read_file(f"{directory}/io.stat", "").splitlines():
            for field in line.split()[1:]:
                key, _, value = field.partition("=")
                read += int(value) if key == "rbytes" else 0
                written += int(value) if key == "wbytes" else 0
        return {
            "cpu_total": cpu.get("usage_usec", 0) * 1000,
            "memory": max(0, current - memory.get("inactive_file", 0)),
            "memory_limit": read_number(f"{directory}/memory.max"),
            "pids": read_number(f"{directory}/pids.current"),
            "pids_limit": read_number(f"{directory}/pids.max"),
            "block_read": read,
            "block_write": written,
            "throttled_periods": cpu.get("nr_throttled", 0),
            "throttled_time": cpu.get("throttled_usec", 0) * 1000,
            "pressure": _pressure(directory),
        }


def kill_each(group: Cgroup) -> None:
    """SIGKILL each process until none is left: freezing first keeps a fork bomb from outrunning the loop."""
    group.freeze()
    try:
        for pid in group.pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
    finally:
        group.thaw()


def _enable_controllers(directory: str) -> None:
    """Pass controllers on to the children of *directory*; those a kernel or a parent lacks are left out."""
    available = read_file(f"{directory}/cgroup.controllers", "").split()
    enabled = read_file(f"{directory}/cgroup.subtree_control", "").split()
    for controller in _WANTED:
        if controller in available and controller not in enabled:
            try:
                write_file(f"{directory}/cgroup.subtree_control", f"+{controller}")
            except KernelError as error:
                # EBUSY: processes sit in this group. A limit that needs the controller says so later.
                if error.errno not in (errno.EBUSY, errno.ENOENT, errno.EINVAL, errno.EOPNOTSUPP):
                    raise


def _pressure(directory: str) -> dict[str, float]:
    result = {}
    for resource in ("cpu", "memory", "io"):
        for line in read_file(f"{directory}/{resource}.pressure", "").splitlines():
            kind, *fields = line.split()
            for field in fields:
                key, _, value = field.partition("=")
                if key.startswith("avg"):
                    result[f"{resource}.{kind}.{key}"] = float(value)
    return result
