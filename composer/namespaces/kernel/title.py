"""What `ps` shows of a process that runs without an execve of its own: its name, and its argument vector.

The kernel shows the memory between arg_start and arg_end, or the first string there when the last byte is
not zero (proc_pid_cmdline(5) calls that "changed by the process"). Forked processes share the addresses.
"""

from __future__ import annotations

import ctypes

from composer.namespaces.kernel import constants as c
from composer.namespaces.kernel import syscalls as sys_

_ARG_START = 45  # of the fields after the command's name, see proc_pid_stat(5)
_LONGEST = 4095  # the kernel reads one page
_areas: list[tuple[int, int, int]] = []


def remember() -> None:
    """Look up where the argument vector is, while there is a /proc of ours; unknown, it stays."""
    try:
        with open("/proc/self/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        start, end, env_start, env_end = (int(field) for field in fields[_ARG_START : _ARG_START + 4])
    except (OSError, ValueError):
        return
    if 0 < start < end <= env_start <= env_end:
        _areas[:] = [(start, end, env_end)]


def change(name: bytes, arguments: bytes, *, forget_environment: bool = False) -> None:
    """Be *name* (15 bytes are seen) with the argument vector *arguments*, cut to the room that there is.

    Args:
        name: What `ps -o comm` shows.
        arguments: What `ps -o args` shows.
        forget_environment: Overwrite what /proc/PID/environ shows, too; it has been read.
    """
    buffer = ctypes.create_string_buffer(name)
    sys_.prctl(c.PR_SET_NAME, ctypes.addressof(buffer))
    for start, end, env_end in _areas:
        size = (env_end if forget_environment else end) - start
        shown = arguments.replace(b"\0", b" ")[: min(size - 2, _LONGEST)]
        ctypes.memset(start, 0, size)
        ctypes.memmove(start, shown, len(shown))
        if len(shown) < end - start - 1:
            ctypes.memset(end - 1, 1, 1)
