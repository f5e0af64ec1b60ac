"""From the words of the Compose file to control files and their values; pure, so each row has a test.

The formulas are those of runc and crun; see the kernel's cgroup-v1 and cgroup-v2 documents.
"""

from __future__ import annotations

import math
import os
import stat

from composer.namespaces.cgroups.base import Write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PERIOD = 100_000  # microseconds, what Docker uses when nothing is asked
_MIN_SHARES, _MAX_SHARES = 2, 262_144
_MIN_BLKIO, _MAX_BLKIO = 10, 1000


def cpu_weight(shares: int) -> int:
    """cpu.weight for Docker's cpu shares, so that 1024 stays the default 100 (runc 1.3.2, crun 1.23)."""
    if shares <= _MIN_SHARES:
        return 1
    if shares >= _MAX_SHARES:
        return 10_000
    log = math.log2(shares)
    return math.ceil(10 ** ((log * log + 125 * log) / 612 - 7 / 34))


def io_weight(weight: int) -> int:
    """io.weight (1-10000) for a blkio weight (10-1000)."""
    return 1 + (weight - _MIN_BLKIO) * 9999 // (_MAX_BLKIO - _MIN_BLKIO)


def device_number(path: str) -> str:
    """`major:minor` of the block device *path*."""
    status = os.stat(path)
    if not stat.S_ISBLK(status.st_mode):
        raise NotADirectoryError(0, "not a block device", path)
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"


def v2_writes(resources: dict[str, Any], *, bfq: bool = False) -> list[Write]:
    """What cgroup v2 is told. Limits that v2 does not have become optional writes of their v1 file."""
    get = resources.get
    writes: list[Write] = []
    if memory := get("memory"):
        writes.append(Write("memory", "memory.max", str(memory)))
    if (swap := get("memory_swap")) is not None or memory:
        writes.append(Write("memory", "memory.swap.max", _v2_swap(memory, swap), swap is not None))
    if reservation := get("memory_reservation"):
        writes.append(Write("memory", "memory.low", str(reservation)))
    if get("memory_swappiness") is not None:
        writes.append(Write("memory", "memory.swappiness", str(get("memory_swappiness")), False))
    if get("oom_kill_disable"):
        writes.append(Write("memory", "memory.oom_control", "1", False))
    quota, period = _quota(resources)
    if quota is not None or get("cpu_period"):
        writes.append(Write("cpu", "cpu.max", f"{'max' if quota is None else quota} {period}"))
    if shares := get("cpu_shares"):
        writes.append(Write("cpu", "cpu.weight", str(cpu_weight(shares))))
    if runtime := get("cpu_rt_runtime"):
        writes.append(Write("cpu", "cpu.rt_runtime_us", str(runtime), False))
    if rt_period := get("cpu_rt_period"):
        writes.append(Write("cpu", "cpu.rt_period_us", str(rt_period), False))
    writes += _cpuset(resources)
    if pids := get("pids"):
        writes.append(Write("pids", "pids.max", "max" if pids < 0 else str(pids)))
    if weight := get("blkio_weight"):
        file, value = ("io.bfq.weight", weight) if bfq else ("io.weight", io_weight(weight))
        writes.append(Write("io", file, str(value), False))
    for entry in get("blkio_weight_devices") or ():
        line = f"{device_number(entry['device'])} {entry['rate']}"
        writes.append(Write("io", "io.bfq.weight", line, False))
    for name, word in (
        ("read_bps", "rbps"),
        ("write_bps", "wbps"),
        ("read_iops", "riops"),
        ("write_iops", "wiops"),
    ):
        for entry in get(name) or ():
            writes.append(Write("io", "io.max", f"{device_number(entry['device'])} {word}={entry['rate']}"))
    return writes


def v1_writes(resources: dict[str, Any]) -> list[Write]:
    """What cgroup v1 is told, in an order that is valid for a new group."""
    get = resources.get
    writes: list[Write] = []
    if memory := get("memory"):
        writes.append(Write("memory", "memory.limit_in_bytes", str(memory)))
    swap = get("memory_swap")
    if swap is not None or memory:
        # The file is absent without swap accounting; then only a limit that was asked for is worth a word.
        total = swap or 2 * (memory or 0)
        writes.append(Write("memory", "memory.memsw.limit_in_bytes", str(total), False))
    if reservation := get("memory_reservation"):
        writes.append(Write("memory", "memory.soft_limit_in_bytes", str(reservation)))
    if get("memory_swappiness") is not None:
        writes.append(Write("memory", "memory.swappiness", str(get("memory_swappiness"))))
    if get("oom_kill_disable"):
        writes.append(Write("memory", "memory.oom_control", "1"))
    quota, period = _quota(resources)
    if quota is not None or get("cpu_period"):
        writes.append(Write("cpu", "cpu.cfs_period_us", str(period)))
        writes.append(Write("cpu", "cpu.cfs_quota_us", str(-1 if quota is None else quota)))
    if shares := get("cpu_shares"):
        writes.append(Write("cpu", "cpu.shares", str(shares)))
    if get("cpu_rt_period"):
        writes.append(Write("cpu", "cpu.rt_period_us", str(get("cpu_rt_period"))))
    if get("cpu_rt_runtime"):
        writes.append(Write("cpu", "cpu.rt_runtime_us", str(get("cpu_rt_runtime"))))
    writes += _cpuset(resources)
    if pids := get("pids"):
        writes.append(Write("pids", "pids.max", "max" if pids < 0 else str(pids)))
    if weight := get("blkio_weight"):
        writes.append(Write("blkio", "blkio.bfq.weight", str(weight), False))
    for entry in get("blkio_weight_devices") or ():
        line = f"{device_number(entry['device'])} {entry['rate']}"
        writes.append(Write("blkio", "blkio.bfq.weight_device", line, False))
    for name in ("read_bps", "write_bps", "read_iops", "write_iops"):
        for entry in get(name) or ():
            line = f"{device_number(entry['device'])} {entry['rate']}"
            writes.append(Write("blkio", f"blkio.throttle.{name}_device", line))
    return writes


def _v2_swap(memory: int | None, swap: int | None) -> str:
    """v2 counts swap alone; Docker's number is memory plus swap, and unset means as much again as memory."""
    if not swap:
        return str(memory) if memory else "max"
    return "max" if swap < 0 else str(swap - (memory or 0))


def _quota(resources: dict[str, Any]) -> tuple[int | None, int]:
    period = resources.get("cpu_period") or PERIOD
    if cpus := resources.get("cpus"):
        return round(cpus * period), period
    quota = resources.get("cpu_quota")
    return (quota if quota and quota > 0 else None), period


def _cpuset(resources: dict[str, Any]) -> list[Write]:
    return [
        Write("cpuset", name.replace("_", "."), value)
        for name in ("cpuset_cpus", "cpuset_mems")
        if (value := resources.get(name))
    ]
