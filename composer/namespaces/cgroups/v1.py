"""A control group on v1 hierarchies, with the v2 tree beside them where there is one (hybrid)."""

from __future__ import annotations

import errno
import os
import select
import time
from contextlib import suppress

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
from composer.namespaces.cgroups.v2 import kill_each
from composer.namespaces.kernel.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from composer.namespaces.cgroups.layout import Layout

_FREEZE_SECONDS = 10.0
_RACES = 20


class LegacyCgroup(Cgroup):
    """See the kernel's cgroup-v1 documents. Killing goes through the v2 tree where there is one."""

    def __init__(self, path: str, layout: Layout) -> None:
        self.path = path
        self._layout = layout
        self._by_controller = {name: mount + path for name, mount in layout.controllers.items()}
        self._unified = layout.unified + path if layout.unified else ""

    def create(self) -> None:
        for mount in self._layout.hierarchies:
            self._make(mount, self.path, cpuset=mount == self._layout.controllers.get("cpuset"))

    def _make(self, mount: str, path: str, *, cpuset: bool) -> None:
        """Make one directory, and its parents when they are missing."""
        for _ in range(_RACES):
            try:
                os.mkdir(mount + path, 0o755)
            except FileExistsError:
                return
            except FileNotFoundError:
                # Whoever removes the last container of a project removes the parents too, perhaps right now.
                self._make(mount, os.path.dirname(path), cpuset=cpuset)
                continue
            except OSError as error:
                raise KernelError(error.errno or 0, "mkdir", mount + path) from None
            if cpuset:
                _inherit_cpuset(os.path.dirname(mount + path), mount + path)
            return
        raise KernelError(errno.ENOENT, "mkdir", mount + path)

    def apply(self, resources: dict[str, Any], devices: list[str] | None = None) -> list[str]:
        warnings = write_all(self._by_controller, limits.v1_writes(resources))
        if resources.get("memory_swap") is None:
            # Without swap accounting Docker's implicit "as much swap as memory" needs no word.
            warnings = [warning for warning in warnings if "memsw" not in warning]
        directory = self._by_controller.get("devices")
        if devices is not None and directory:
            if device_rules.ALL not in devices:
                write_file(f"{directory}/devices.deny", "a")
            for rule in devices:
                write_file(f"{directory}/devices.allow", "a" if rule == device_rules.ALL else rule)
        return warnings

    def directory_fd(self) -> int:
        if not self._unified:
            return -1
        return os.open(self._unified, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def procs_fds(self) -> list[int]:
        """Open `tasks` of each v1 hierarchy; the unified one is what the child is born in.

        A single thread that moves itself takes no lock on all thread groups. Moving a process by cgroup.procs
        waits 6 to 15 ms for an RCU grace period.
        """
        mounts = dict.fromkeys(self._layout.controllers.values())
        return [os.open(f"{mount}{self.path}/tasks", os.O_WRONLY | os.O_CLOEXEC) for mount in mounts]

    def directories(self) -> list[str]:
        return [mount + self.path for mount in self._layout.hierarchies]

    def freeze(self) -> None:
        if self._unified and os.path.exists(f"{self._unified}/cgroup.freeze"):
            write_file(f"{self._unified}/cgroup.freeze", "1")
            self._wait(lambda: "frozen 1" in read_file(f"{self._unified}/cgroup.events", ""))
            return
        state = f"{self._by_controller['freezer']}/freezer.state"

        def frozen() -> bool:
            # A group can hang in FREEZING while its processes fork; asking again is what helps.
            write_file(state, "FROZEN")
            return read_file(state).strip() == "FROZEN"

        self._wait(frozen)

    def thaw(self) -> None:
        if self._unified and os.path.exists(f"{self._unified}/cgroup.freeze"):
            write_file(f"{self._unified}/cgroup.freeze", "0")
        else:
            write_file(f"{self._by_controller['freezer']}/freezer.state", "THAWED")

    def kill(self) -> None:
        if self._unified and os.path.exists(f"{self._unified}/cgroup.kill"):
            write_file(f"{self._unified}/cgroup.kill", "1")
        else:
            kill_each(self)

    def oom_kills(self) -> int:
        directory = self._by_controller.get("memory", "")
        return read_pairs(f"{directory}/memory.oom_control").get("oom_kill", 0)

    def oom_alarm(self) -> tuple[int, int]:
        directory = self._by_controller.get("memory", "")
        try:
            control = os.open(f"{directory}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return -1, 0
        alarm = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            write_file(f"{directory}/cgroup.event_control", f"{alarm} {control}")
        except KernelError:  # kernels with PREEMPT_RT have no such alarms
            os.close(alarm)
            return -1, 0
        finally:
            os.close(control)
        return alarm, select.POLLIN

    @staticmethod
    def heard(fd: int) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(fd)

    def stats(self) -> dict[str, Any]:
        at = self._by_controller.get
        cpu = read_pairs(f"{at('cpu', '')}/cpu.stat")
        memory = read_pairs(f"{at('memory', '')}/memory.stat")
        usage = read_number(f"{at('memory', '')}/memory.usage_in_bytes")
        read, written = 0, 0
        for line in read_file(
            f"{at('blkio', '')}/blkio.throttle.io_service_bytes_recursive", ""
        ).splitlines():
            fields = line.split()
            if len(fields) == 3:
                read += int(fields[2]) if fields[1] == "Read" else 0
                written += int(fields[2]) if fields[1] == "Write" else 0
        return {
            "cpu_total": read_number(f"{at('cpuacct', '')}/cpuacct.usage"),
            "memory": max(0, usage - memory.get("total_inactive_file", 0)),
            "memory_limit": read_number(f"{at('memory', '')}/memory.limit_in_bytes"),
            "pids": read_number(f"{at('pids', '')}/pids.current"),
            "pids_limit": read_number(f"{at('pids', '')}/pids.max"),
            "block_read": read,
            "block_write": written,
            "throttled_periods": cpu.get("nr_throttled", 0),
            "throttled_time": cpu.get("throttled_time", 0),
            "pressure": {},
        }

    def _wait(self, done: Any) -> None:
        deadline = time.monotonic() + _FREEZE_SECONDS
        while not done():
            if time.monotonic() > deadline:
                raise KernelError(errno.ETIMEDOUT, "freeze", self.path)
            time.sleep(0.001)


def _inherit_cpuset(parent: str, child: str) -> None:
    """A new v1 cpuset is empty and takes no process (ENOSPC) until it has what its parent has."""
    for file in ("cpuset.cpus", "cpuset.mems"):
        value = read_file(f"{parent}/{file}").strip()
        if not value:
            # Somebody else has just made the parent, and is about to do this.
            _inherit_cpuset(os.path.dirname(parent), parent)
            value = read_file(f"{parent}/{file}").strip()
        write_file(f"{child}/{file}", value)
