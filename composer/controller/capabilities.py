"""Which capabilities a container gets for `cap_add`, `cap_drop` and `privileged`; see capabilities(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable

ALL = (
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE"
).split()

DEFAULT = frozenset(
    "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD "
    "AUDIT_WRITE SETFCAP".split()
)
"""What Docker gives a container that asks for nothing."""


def effective(add: Iterable[str], drop: Iterable[str], *, privileged: bool = False) -> tuple[str, ...]:
    """The names, without `CAP_`, in the order of their numbers; `ALL` is understood in both lists.

    Raises:
        SpecError: There is no such capability; its path is that below the service.
    """
    added, dropped = _names(add, "cap_add"), _names(drop, "cap_drop")
    if privileged:
        kept = set(ALL)
    elif "ALL" in added:
        kept = set(ALL) - dropped
    elif "ALL" in dropped:
        kept = added
    else:
        kept = set(DEFAULT) - dropped | added
    return tuple(name for name in ALL if name in kept)


def _names(words: Iterable[str], attribute: str) -> set[str]:
    result = set()
    for position, word in enumerate(words):
        name = word.upper().removeprefix("CAP_")
        if name != "ALL" and name not in ALL:
            from difflib import get_close_matches

            close = get_close_matches(name, ALL, 1)
            raise SpecError(
                f"unknown capability {word!r} in {attribute}",
                hint=f"did you mean {close[0]}?" if close else "see capabilities(7) for the names",
                path=f"{attribute}[{position}]",
            )
        result.add(name)
    return result
