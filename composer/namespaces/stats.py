"""Counters of a running container; see cgroups(7) and proc_stat(5)."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from composer.engine import Stats
from composer.errors import ConflictError
from composer.namespaces.cgroups import open_cgroup
from composer.namespaces.network.counters import received_and_sent

if TYPE_CHECKING:
    from composer.engine import ContainerState


def read_stats(state: ContainerState, cgroup: str) -> Stats:
    """Read everything once.

    Raises:
        ConflictError: The container does not run.
    """
    if not state.pid:
        raise ConflictError(f"container {state.name} is not running")
    counters = open_cgroup(cgroup).stats()
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = counters["memory_limit"]
    counters["memory_limit"] = min(limit, total) if limit else total
    own = not state.config.network_mode.startswith(("host", "container:"))
    received, sent = received_and_sent(state.pid) if own else (0, 0)
    with open("/proc/stat", encoding="ascii") as file:
        ticks = sum(map(int, file.readline().split()[1:9]))
    return Stats(
        container=state.id,
        time=time.time(),
        system_cpu_total=ticks * 1_000_000_000 // os.sysconf("SC_CLK_TCK"),
        online_cpus=os.cpu_count() or 1,
        network_received=received,
        network_sent=sent,
        **counters,
    )
