"""The second half of a reconciliation: in which order, and after which waits, containers start; pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from composer.controller.observe import ACTIVE
from composer.controller.plan import (
    CreateContainer,
    Operation,
    Plan,
    RunHook,
    StartContainer,
    WaitFor,
)
from composer.graph import COMPLETED, STARTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from composer.controller.observe import Observed
    from composer.controller.options import UpOptions
    from composer.engine import ContainerState
    from composer.graph import Edge, Graph
    from composer.spec.model import Project, Service


class ToStart(NamedTuple):
    """A container that shall be started: a member of `service`, after the operations in `after`."""

    service: str
    container: str
    name: str
    after: tuple[str, ...]
    reason: str


@dataclass(slots=True)
class Draft:
    """A plan in the making.

    Attributes:
        members: By service: ids of kept containers and keys of new ones, by number.
        starts: By service: keys of the operations after which all its containers have been started.
        to_start: What needs a start operation.
        restart_stops: By container id: operations that stop it because a dependency is made anew.
    """

    project: Project
    graph: Graph
    observed: Observed
    options: UpOptions
    wanted: set[str]
    operations: dict[str, Operation] = field(default_factory=dict)
    unchanged: list[tuple[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    members: dict[str, list[str]] = field(default_factory=dict)
    starts: dict[str, list[str]] = field(default_factory=dict)
    to_start: list[ToStart] = field(default_factory=list)
    restart_stops: dict[str, list[str]] = field(default_factory=dict)

    def add(self, operation: Operation) -> str:
        """Take *operation* in; returns its key."""
        self.operations[operation.key] = operation
        return operation.key

    def is_replaced(self, container: ContainerState) -> bool:
        """Whether some operation makes *container* anew."""
        return any(
            isinstance(operation, CreateContainer) and operation.replaces == container.id
            for operation in self.operations.values()
        )

    def waits_for(self, starts: Iterable[str], goal: str) -> bool:
        """Whether one of *starts* already waits, directly or not, for *goal*."""
        seen: set[str] = set()
        waiting = list(starts)
        while waiting:
            key = waiting.pop()
            if key == goal:
                return True
            if key not in seen and key in self.operations:
                seen.add(key)
                waiting.extend(self.operations[key].after)
        return False

    def plan(self) -> Plan:
        """The finished plan."""
        return Plan(self.project.name, in_order(self.operations), tuple(self.unchanged), tuple(self.warnings))


def add_starts(
    draft: Draft, order: Iterable[str], needed_to_create: Callable[[Service], tuple[str, ...]]
) -> None:
    """Add the start operations of all services, and the waits between them.

    Args:
        draft: The plan; its `to_start` and `members` are complete.
        order: The services, dependencies first.
        needed_to_create: What must exist before any container of a service (for pre_start hooks).
    """
    order = tuple(order)
    for name in order:
        _start_service(draft, draft.project.services[name], needed_to_create)
    if draft.options.wait:
        for name in order:
            _final_wait(draft, name)
    if draft.options.gate_for:
        _gates(draft, draft.options.gate_for)


def _start_service(
    draft: Draft, service: Service, needed_to_create: Callable[[Service], tuple[str, ...]]
) -> None:
    _restart_stopped(draft, service)
    mine = [entry for entry in draft.to_start if entry.service == service.name]
    if not mine:
        return
    gates = _gates(draft, service.name)
    running = any(item.status in ACTIVE for item in draft.observed.of_service(service.name))
    for index in range(0 if running else len(service.pre_start)):
        hook = RunHook(
            key=f"pre_start {service.name} {index}",
            name=f"{draft.project.name}-{service.name}-pre-start-{index + 1}",
            index=index,
            service=service.name,
            after=(*gates, *needed_to_create(service)),
            reason="pre_start",
        )
        gates = [draft.add(hook)]
    for entry in mine:
        created = draft.operations.get(entry.container)
        start = StartContainer(
            key=f"start {entry.name}",
            name=entry.name,
            container=entry.container,
            service=service.name,
            after=tuple(dict.fromkeys((*entry.after, *gates))),
            reason=entry.reason or (created.reason if created else ""),
        )
        draft.starts.setdefault(service.name, []).append(draft.add(start))
        _hold_back_stop(draft, created, gates)


def _restart_stopped(draft: Draft, service: Service) -> None:
    """Start again what was stopped because a dependency is made anew."""
    for container in draft.observed.of_service(service.name):
        stops = draft.restart_stops.get(container.id)
        if not stops or draft.is_replaced(container):
            continue
        draft.unchanged = [entry for entry in draft.unchanged if entry != (service.name, container.name)]
        if not any(entry.container == container.id for entry in draft.to_start):
            reason = draft.operations[stops[0]].reason
            draft.to_start.append(ToStart(service.name, container.id, container.name, tuple(stops), reason))


def _hold_back_stop(draft: Draft, created: Operation | None, gates: list[str]) -> None:
    """The old container runs on until what the new one waits for is there."""
    if not isinstance(created, CreateContainer) or not created.replaces or not gates:
        return
    key = f"stop {created.replaces[:12]}_{created.name}"
    if (stop := draft.operations.get(key)) is not None and not draft.waits_for(gates, key):
        draft.operations[key] = with_after(stop, gates)


def _gates(draft: Draft, service: str) -> list[str]:
    """What the containers of *service* wait for before they start."""
    gates: list[str] = []
    for edge in draft.graph.needs(service):
        if edge.needs not in draft.wanted or not draft.members.get(edge.needs):
            continue
        if edge.condition == STARTED:
            gates += draft.starts.get(edge.needs, ())
        else:
            gates.append(add_wait(draft, edge))
    return list(dict.fromkeys(gates))


def add_wait(draft: Draft, edge: Edge) -> str:
    """The operation that waits for what *edge* says; one for all services that wait for the same."""
    words = {"service_healthy": "healthy", COMPLETED: "completed"}.get(edge.condition, edge.condition)
    key = f"wait {edge.needs} {words}{'' if edge.required else ' optional'}"
    if key not in draft.operations:
        draft.add(
            WaitFor(
                key=key,
                name=edge.needs,
                service=edge.needs,
                condition=edge.condition,
                containers=tuple(draft.members[edge.needs]),
                required=edge.required,
                after=tuple(draft.starts.get(edge.needs, ())),
                reason=f"{edge.service} depends on it",
            )
        )
    return key


def _final_wait(draft: Draft, service: str) -> None:
    if not draft.members.get(service):
        return
    conditions = {edge.condition for edge in draft.graph.needed_by(service) if edge.service in draft.wanted}
    draft.add(
        WaitFor(
            key=f"final wait {service}",
            name=service,
            service=service,
            condition=COMPLETED if COMPLETED in conditions else "running_or_healthy",
            containers=tuple(draft.members[service]),
            dependency=False,
            after=tuple(draft.starts.get(service, ())),
            reason="--wait",
        )
    )


def with_after(operation: Operation, more: Iterable[str]) -> Operation:
    """*operation*, which also waits for *more*."""
    return replace(operation, after=tuple(dict.fromkeys((*operation.after, *more))))


def in_order(operations: Mapping[str, Operation]) -> tuple[Operation, ...]:
    """The operations so that each comes after what it waits for, otherwise as they were added."""
    from graphlib import TopologicalSorter

    order = TopologicalSorter(
        {key: [other for other in item.after if other in operations] for key, item in operations.items()}
    ).static_order()
    return tuple(operations[key] for key in order)
