"""What a container may not see or write, and the defaults of its /dev; see runtime-reference A.3.12-13."""

from __future__ import annotations

import glob

MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_thermal: list[str] | None = None


def masked_paths() -> list[str]:
    """Paths that are hidden from a container on this machine."""
    global _thermal  # noqa: PLW0603 - the set of processors does not change under us
    if _thermal is None:
        _thermal = sorted(glob.glob("/sys/devices/system/cpu/cpu[0-9]*/thermal_throttle"))
    return [*MASKED, *_thermal]
