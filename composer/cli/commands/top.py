"""`composer top`: the processes of containers, seen from the host through /proc."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Show the processes of services"
HEADER = ("SERVICE", "#", "UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")


class Process(NamedTuple):
    """What /proc says about one process; see proc_pid_stat(5)."""

    pid: int
    ppid: int
    user: str
    command: str
    terminal: int
    seconds: float
    started: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="only these services")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print one table for all containers."""
    from composer.cli.project import select
    from composer.cli.render.table import format_table

    rows = []
    now = time.time()
    by_namespace = _by_pid_namespace()
    for container in select(context, args.services):
        pid = container.state.get("pid", 0)
        if not pid or not container.alive:
            continue
        try:
            namespace = os.readlink(f"/proc/{pid}/ns/pid")
        except OSError:
            continue
        pids = by_namespace.get(namespace, [])
        if namespace == os.readlink("/proc/self/ns/pid"):
            pids = _descendants(pid)
        for process in filter(None, map(_read, sorted(pids))):
            age = max(now - process.started, 0.01)
            rows.append(
                (
                    container.service,
                    str(container.number or container.name),
                    process.user,
                    str(process.pid),
                    str(process.ppid),
                    str(min(int(100 * process.seconds / age), 99)),
                    _start_time(process.started, now),
                    _terminal(process.terminal),
                    time.strftime("%H:%M:%S", time.gmtime(process.seconds)),
                    process.command,
                )
            )
    for line in format_table(HEADER, rows):
        context.print(line)
    return 0


def _by_pid_namespace() -> dict[str, list[int]]:
    """Every process of the machine by its pid namespace."""
    found: dict[str, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found.setdefault(os.readlink(f"/proc/{name}/ns/pid"), []).append(int(name))
            except OSError:
                continue
    return found


def _descendants(pid: int) -> list[int]:
    """*pid* and everything below it, for containers that share the host's pid namespace."""
    found = [pid]
    for parent in found:
        try:
            with open(f"/proc/{parent}/task/{parent}/children", encoding="ascii") as file:
                found += [int(word) for word in file.read().split()]
        except OSError:
            continue
    return found


def _read(pid: int) -> Process | None:
    """One process, or None when it has gone."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            name, _, rest = file.read().partition("(")[2].rpartition(")")
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().rstrip(b"\0").split(b"\0")
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            # Not the owner of the directory: that is root for a process that is not dumpable.
            owner = next(int(line.split()[2]) for line in file if line.startswith("Uid:"))
        with open("/proc/uptime", encoding="ascii") as file:
            uptime = float(file.read().split()[0])
    except (OSError, ValueError):
        return None
    fields = rest.split()
    ticks = os.sysconf("SC_CLK_TCK")
    command = b" ".join(words).decode(errors="replace") or f"[{name}]"
    return Process(
        pid,
        int(fields[1]),
        _user(owner),
        command,
        int(fields[4]),
        (int(fields[11]) + int(fields[12])) / ticks,
        time.time() - uptime + int(fields[19]) / ticks,
    )


def _user(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _terminal(device: int) -> str:
    """`pts/0` of a device number as in /proc, or `?`."""
    major, minor = os.major(device), os.minor(device)
    return f"pts/{minor + 256 * (major - 136)}" if 136 <= major <= 143 else "?"


def _start_time(moment: float, now: float) -> str:
    return time.strftime("%H:%M" if now - moment < 86400 else "%b%d", time.localtime(moment))
