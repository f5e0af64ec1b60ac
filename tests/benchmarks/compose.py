"""Issue 2's list: up, down, ps, exec, config, memory; issue 3's: config of small and large files."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.benchmarks import projects
from tests.benchmarks.measure import Row, Table, in_turns

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.benchmarks.sides import Side


def up_and_down(table: Table, ours: Side, theirs: Side, directory: Path, rounds: int) -> None:
    """`up -d` of 1, 10 and 30 services, again with nothing to do, ps, exec, memory, and `down`."""
    for count, target in ((1, 0.25), (10, None), (30, 0.08)):
        project = projects.services(directory, count)
        ups, downs, agains, lists, execs, memory = ([[], []] for _ in range(6))
        for number in range(rounds + 1):
            for index, side in enumerate((ours, theirs)):
                up = side.compose("up", "-d", cwd=project)
                time.sleep(0.3)  # what up left in the background must not slow the next command down
                again = side.compose("up", "-d", cwd=project)
                listed = side.compose("ps", cwd=project)
                executed = side.compose("exec", "-T", "s0", "true", cwd=project)
                used = side.memory()
                down = side.compose("down", cwd=project)
                if number:
                    ups[index].append(up)
                    agains[index].append(again)
                    lists[index].append(listed)
                    execs[index].append(executed)
                    memory[index].append(used)
                    downs[index].append(down)
        plural = "service" if count == 1 else "services"
        table.add(Row(f"`up -d`, {count} {plural}", *ups, target=target))
        if count == 10:
            table.add(Row("`up -d` again, nothing to do (10 services)", *agains, target=0.8))
            table.add(Row("`ps` (10 services)", *lists, target=0.8))
            table.add(Row("`exec -T s0 true`", *execs, target=0.8))
        table.add(Row(f"`down`, {count} {plural}", *downs, target=0.15 if count == 30 else None))
        if count == 30:
            table.add(Row("memory (PSS) with 30 containers", *memory, target=0.35, unit="MiB"))


def health_chain(table: Table, ours: Side, theirs: Side, directory: Path, rounds: int) -> None:
    """Five services, each waiting for the health of the one before."""
    project = projects.chain(directory, 5)

    def sample(side: Side) -> Callable[[], float]:
        def one() -> float:
            elapsed = side.compose("up", "-d", "--wait", cwd=project)
            side.compose("down", cwd=project)
            return elapsed

        return one

    table.add(Row("`up -d --wait`, chain of 5 health-gated services",
                  *in_turns(rounds, sample(ours), sample(theirs)), target=0.05))  # fmt: skip


def configs(table: Table, ours: Side, theirs: Side, directory: Path, rounds: int) -> None:
    """`config -q`: only the program and its loader, no daemon."""
    small, big = projects.services(directory, 3), projects.large(directory)
    for what, project in (("small file", small), ("300 services", big)):
        sides = [
            lambda side=side, project=project: side.compose("config", "-q", cwd=project)
            for side in (ours, theirs)
        ]
        table.add(Row(f"`config -q`, {what}", *in_turns(rounds, *sides), target=0.8))
