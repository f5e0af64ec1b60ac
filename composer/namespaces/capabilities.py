"""Capabilities by name; see capabilities(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable

NAMES = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE"
).split()

DEFAULT = (
    "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD "
    "AUDIT_WRITE SETFCAP"
).split()
"""What Docker gives a container that asks for nothing."""

_NUMBERS = {name: number for number, name in enumerate(NAMES)}


def last() -> int:
    """Highest capability of the running kernel."""
    try:
        with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return len(NAMES) - 1


def mask(names: Iterable[str]) -> int:
    """Bit mask of *names*, with or without `CAP_`, in any case; `ALL` is every one.

    Raises:
        EngineError: There is no such capability.
    """
    result = 0
    for name in names:
        bare = name.upper().removeprefix("CAP_")
        if bare == "ALL":
            return (1 << (last() + 1)) - 1
        if bare not in _NUMBERS:
            raise EngineError(f"unknown capability {name}", hint="see capabilities(7) for the names")
        result |= 1 << _NUMBERS[bare]
    return result
