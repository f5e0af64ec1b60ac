"""`composer stats`: what containers use, read from their control groups."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context
    from composer.cli.snapshot import Container

HELP = "Show how much CPU, memory and traffic containers use"
INTERVAL = 1.0
"""Seconds between two readings, of which the CPU's share is the difference."""

COLUMNS = {
    "CONTAINER ID": "ID",
    "NAME": "Name",
    "CPU %": "CPUPerc",
    "MEM USAGE / LIMIT": "MemUsage",
    "MEM %": "MemPerc",
    "NET I/O": "NetIO",
    "BLOCK I/O": "BlockIO",
    "PIDS": "PIDs",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="only these services")
    parser.add_argument("-a", "--all", action="store_true", help="also containers that do not run")
    parser.add_argument("--format", default="table", help="table, json or a Go template")
    parser.add_argument("--no-stream", action="store_true", help="print once and end")
    parser.add_argument("--no-trunc", action="store_true", help="whole ids")
    parser.add_argument("--pressure", action="store_true", help="show also how long tasks waited (PSI, %%)")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print once, or again and again until interrupted."""
    from composer.cli.project import select
    from composer.cli.render.table import print_rows

    columns = {**COLUMNS, "PRESSURE CPU/MEM/IO": "PressureSome"} if args.pressure else COLUMNS
    before: dict[str, dict[str, Any]] = {}
    live = not args.no_stream and context.may_use_ansi(context.stdout) and args.format == "table"
    first = True
    while True:
        found = [c for c in select(context, args.services) if args.all or c.alive]
        now = {container.id: read(container) for container in found}
        if not first:
            rows = [row(c, before.get(c.id, {}), now[c.id], whole=args.no_trunc) for c in found]
            if live:
                context.print("\x1b[H\x1b[2J", end="")
            print_rows(context, rows, columns=columns, style=args.format)
            context.stdout.flush()
            if args.no_stream:
                return 0
        first = False
        before = now
        time.sleep(INTERVAL)


def read(container: Container) -> dict[str, Any]:
    """The counters of one container now, empty when it does not run."""
    from composer.namespaces.cgroups import open_cgroup
    from composer.namespaces.network.counters import received_and_sent

    pid = container.state.get("pid", 0)
    if not pid:
        return {}
    try:
        counters = open_cgroup(cgroup_of(pid)).stats()
        received, sent = received_and_sent(pid)
    except OSError:
        return {}
    return {**counters, "received": received, "sent": sent, "time": time.monotonic()}


def cgroup_of(pid: int) -> str:
    """The control group of a process as the host sees it, see proc_pid_cgroup(5)."""
    best = "/"
    with open(f"/proc/{pid}/cgroup", encoding="utf-8") as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if "memory" in controllers.split(","):
                return path
            if not controllers:
                best = path
    return best


def row(
    container: Container, before: dict[str, Any], now: dict[str, Any], *, whole: bool = False
) -> dict[str, Any]:
    """What `stats --format json` prints about one container."""
    from composer.cli.render.units import human_bytes, human_bytes_binary

    seconds = now.get("time", 0.0) - before.get("time", 0.0) if before and now else 0.0
    used = now.get("cpu_total", 0) - before.get("cpu_total", 0) if seconds else 0
    memory, limit = now.get("memory", 0), memory_limit(now.get("memory_limit", 0))
    share = 100 * memory / limit if limit else 0.0
    identifier = container.id if whole else container.id[:12]
    return {
        "BlockIO": f"{human_bytes(now.get('block_read', 0))} / {human_bytes(now.get('block_write', 0))}",
        "CPUPerc": f"{used / seconds / 1e7 if seconds else 0:.2f}%",
        "Container": identifier,
        "ID": identifier,
        "MemPerc": f"{share:.2f}%",
        "MemUsage": f"{human_bytes_binary(memory)} / {human_bytes_binary(limit)}",
        "Name": container.name,
        "NetIO": f"{human_bytes(now.get('received', 0))} / {human_bytes(now.get('sent', 0))}",
        "PIDs": str(now.get("pids", 0)),
        "Pressure": now.get("pressure", {}),
        "PressureSome": some_pressure(now.get("pressure", {})),
    }


def some_pressure(pressure: dict[str, float]) -> str:
    """Percent of the last ten seconds in which some task waited, as `cpu / memory / io`; see PSI.

    `-` where the kernel does not say (cgroup v1).
    """
    if not pressure:
        return "-"
    return " / ".join(f"{pressure.get(f'{kind}.some.avg10', 0.0):.2f}" for kind in ("cpu", "memory", "io"))


def memory_limit(limit: int) -> int:
    """The limit, or the machine's memory when that is less (or there is none)."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min(limit, machine) if limit > 0 else machine
