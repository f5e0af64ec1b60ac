"""Plans of all commands but `up` and `down`: stop, start, restart, kill, rm, pause, unpause. Pure.

They need no Compose file: what a container depends on stands in its labels. With a project, its graph
adds what the labels do not know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.controller import labels
from composer.controller.observe import ACTIVE
from composer.controller.plan import (
    KillContainer,
    Operation,
    PauseContainer,
    Plan,
    RemoveContainer,
    StartContainer,
    StopContainer,
    UnpauseContainer,
    WaitFor,
)
from composer.controller.starting import Draft, ToStart, add_starts, in_order
from composer.errors import NotFoundError, unknown_service
from composer.graph import COMPLETED, STARTED, Edge, Graph

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from composer.controller.observe import Observed
    from composer.controller.options import SelectOptions, UpOptions
    from composer.engine import ContainerState
    from composer.spec.model import Project


def graph_of(observed: Observed, project: Project | None = None) -> Graph:
    """The dependencies among what exists, from labels and, where there is one, from the project.

    Services that are in both are as the project says. A circle, which only labels of different ages can
    make, is cut.
    """
    services: dict[str, None] = {}
    edges: dict[tuple[str, str], Edge] = {}
    if project is not None:
        graph = Graph.of(project, including_disabled=True) if _complete(project) else Graph.of(project)
        services.update(dict.fromkeys(graph.services))
        edges.update({(edge.service, edge.needs): edge for edge in graph.edges})
    for container in observed.containers:
        service = labels.service_of(container)
        if service in services and project is not None:
            continue
        services[service] = None
        for needs, (condition, restart) in labels.dependencies_from(container.config.labels).items():
            edges.setdefault((service, needs), Edge(service, needs, condition, restart, required=False))
    known = [edge for edge in edges.values() if edge.needs in services and edge.service in services]
    return Graph(services, _without_circles(known) if project is None else known)


def _complete(project: Project) -> bool:
    everything = project.services.keys() | project.disabled_services.keys()
    return all(
        needs in everything
        for service in project.disabled_services.values()
        for needs, dependency in service.depends_on.items()
        if dependency.required
    )


def _without_circles(edges: Sequence[Edge]) -> list[Edge]:
    kept: list[Edge] = []
    reach: dict[str, set[str]] = {}
    for edge in edges:
        if edge.service == edge.needs or edge.service in reach.get(edge.needs, ()):
            continue
        kept.append(edge)
        gained = {edge.needs} | reach.get(edge.needs, set())
        for name in [edge.service, *(name for name, seen in reach.items() if edge.service in seen)]:
            reach.setdefault(name, set()).update(gained)
    return kept


def stops_of(
    graph: Graph,
    containers: Sequence[ContainerState],
    *,
    timeout: float | None,
    reason: str,
    hooks: bool = True,
) -> dict[str, StopContainer]:
    """Stop operations by container id, dependants first; containers without a process need none."""
    result: dict[str, StopContainer] = {}
    active = [container for container in containers if container.status in ACTIVE]
    by_service: dict[str, list[str]] = {}
    for container in active:
        by_service.setdefault(labels.service_of(container), []).append(f"stop {container.name}")
    for container in active:
        service = labels.service_of(container)
        dependants = graph.with_dependents([service]) - {service}
        result[container.id] = StopContainer(
            key=f"stop {container.name}",
            name=container.name,
            container=container.id,
            service=service,
            after=tuple(key for name in sorted(dependants) for key in by_service.get(name, ())),
            timeout=timeout,
            hooks=hooks,
            reason=reason,
        )
    return result


def removes_of(
    containers: Sequence[ContainerState],
    stops: dict[str, StopContainer],
    *,
    volumes: bool,
    reason: str,
    force: bool,
) -> dict[str, RemoveContainer]:
    """Remove operations by container id, each after its stop."""
    return {
        container.id: RemoveContainer(
            key=f"remove {container.name}",
            name=container.name,
            container=container.id,
            service=labels.service_of(container),
            after=(stops[container.id].key,) if container.id in stops else (),
            volumes=volumes,
            force=force,
            reason=reason,
        )
        for container in containers
    }


def _chosen(
    observed: Observed, services: Iterable[str], project: Project | None, *, orphans: bool = True
) -> list[ContainerState]:
    """The replicas of *services* (all when empty).

    Raises:
        NotFoundError: A name is no service's.
    """
    wanted = set(services)
    known = {labels.service_of(container) for container in observed.containers}
    if project is not None:
        known |= project.services.keys() | project.disabled_services.keys()
    for name in sorted(wanted - known):
        raise unknown_service(name, known)
    return [
        container
        for container in observed.containers
        if not labels.is_one_off(container)
        and (labels.service_of(container) in wanted or not wanted)
        and (orphans or project is None or labels.service_of(container) in project.services or wanted)
    ]


def plan_stop(observed: Observed, options: SelectOptions, project: Project | None = None) -> Plan:
    """Stop, dependants first."""
    containers = _chosen(observed, options.services, project, orphans=False)
    stops = stops_of(graph_of(observed, project), containers, timeout=options.timeout, reason="stop")
    return Plan(observed.project, in_order({item.key: item for item in stops.values()}))


def plan_start(
    project: Project, graph: Graph, observed: Observed, options: SelectOptions, draft_options: UpOptions
) -> Plan:
    """Start existing containers, and those of what they need, in order and gated like `up`.

    Raises:
        NotFoundError: There is no container to start.
    """
    from composer.controller.reconcile import selected_services

    wanted = selected_services(project, graph, options.services, no_deps=options.no_deps)
    draft = Draft(project, graph, observed, draft_options, wanted)
    order = graph.sorted(wanted)
    for name in order:
        service = project.services[name]
        containers = observed.of_service(name)
        if not containers and service.replicas > 0:
            missing = [edge.service for edge in graph.needed_by(name) if observed.of_service(edge.service)]
            if name in options.services or (not missing and not options.services):
                raise NotFoundError(
                    f'service "{name}" has no container to start', hint="create it with `composer up`"
                )
            if missing:
                raise NotFoundError(
                    f"{missing[0]} is missing dependency {name}", hint="create it with `composer up`"
                )
        draft.members[name] = [container.id for container in containers]
        for container in containers:
            if container.status in ("running", "restarting"):
                draft.unchanged.append((name, container.name))
            elif container.status == "paused":
                continue
            else:
                draft.to_start.append(ToStart(name, container.id, container.name, (), "start"))
    add_starts(draft, order, lambda _service: ())
    return draft.plan()


def plan_start_known(observed: Observed, options: SelectOptions) -> Plan:
    """`plan_start` without a Compose file: what exists, gated by what the labels say of its dependencies.

    Raises:
        NotFoundError: A name is no service's.
    """
    graph = graph_of(observed)
    chosen = _chosen(observed, options.services, None)
    named = options.services or {labels.service_of(item) for item in chosen}
    wanted = graph.sorted(frozenset(named) if options.no_deps else graph.with_dependencies(named))
    operations: dict[str, Operation] = {}
    unchanged: list[tuple[str, str]] = []
    starts: dict[str, tuple[str, ...]] = {}

    def wait(service: str, condition: str, *, required: bool = True, dependency: bool = True) -> str:
        key = f"wait {service} {condition}"
        operations.setdefault(
            key,
            WaitFor(
                key=key,
                name=service,
                service=service,
                condition=condition,
                containers=tuple(item.id for item in observed.of_service(service)),
                required=required,
                dependency=dependency,
                after=starts.get(service, ()),
                reason="start",
            ),
        )
        return key

    for name in wanted:
        gates: list[str] = []
        for edge in graph.needs(name):
            if edge.needs in wanted and edge.condition == STARTED:
                gates += starts.get(edge.needs, ())
            elif edge.needs in wanted:
                gates.append(wait(edge.needs, edge.condition, required=edge.required))
        for item in observed.of_service(name):
            if item.status in ACTIVE:
                unchanged += [(name, item.name)] if item.status != "paused" else []
                continue
            key = f"start {item.name}"
            operations[key] = StartContainer(
                key=key, name=item.name, container=item.id, service=name, after=tuple(gates), reason="start"
            )
            starts[name] = (*starts.get(name, ()), key)
    if options.wait:
        for name in wanted:
            completes = any(edge.condition == COMPLETED for edge in graph.needed_by(name))
            wait(name, COMPLETED if completes else "running_or_healthy", dependency=completes)
    return Plan(observed.project, in_order(operations), tuple(unchanged))


def plan_restart(observed: Observed, options: SelectOptions, project: Project | None = None) -> Plan:
    """Stop in reverse order, start in order; dependants with `restart: true` come along."""
    graph = graph_of(observed, project)
    containers = _chosen(observed, options.services, project, orphans=False)
    chosen = {container.id for container in containers}
    if options.services and not options.no_deps:
        waiting = list(options.services)
        seen = set(waiting)
        while waiting:
            for edge in graph.needed_by(waiting.pop()):
                if edge.restart and edge.service not in seen:
                    seen.add(edge.service)
                    waiting.append(edge.service)
        dependants = seen - set(options.services)
        containers += [
            item
            for item in observed.containers
            if labels.service_of(item) in dependants
            and not labels.is_one_off(item)
            and item.status in ACTIVE
            and item.id not in chosen
        ]
    stops = stops_of(graph, containers, timeout=options.timeout, reason="restart")
    operations: list[Operation] = list(stops.values())
    starts: dict[str, list[str]] = {}
    for name in graph.order:
        for container in containers:
            if labels.service_of(container) != name:
                continue
            needed = [key for edge in graph.needs(name) for key in starts.get(edge.needs, ())]
            stop = [stops[container.id].key] if container.id in stops else []
            operation = StartContainer(
                key=f"start {container.name}",
                name=container.name,
                container=container.id,
                service=name,
                after=tuple(dict.fromkeys((*stop, *needed))),
                reason="restart",
            )
            operations.append(operation)
            starts.setdefault(name, []).append(operation.key)
    return Plan(observed.project, in_order({item.key: item for item in operations}))


def plan_kill(observed: Observed, options: SelectOptions, project: Project | None = None) -> Plan:
    """Send a signal to every running container, all at once."""
    containers = _chosen(observed, options.services, project, orphans=options.remove_orphans)
    return Plan(
        observed.project,
        tuple(
            KillContainer(
                key=f"kill {item.name}",
                name=item.name,
                container=item.id,
                service=labels.service_of(item),
                signal=options.signal,
                reason="kill",
            )
            for item in containers
            if item.status in ACTIVE
        ),
    )


def plan_remove(observed: Observed, options: SelectOptions, project: Project | None = None) -> Plan:
    """Remove containers that have ended, or with `stop` all of them."""
    containers = _chosen(observed, options.services, project, orphans=False)
    if not options.stop:
        containers = [item for item in containers if item.status not in ACTIVE]
    stops = stops_of(graph_of(observed, project), containers, timeout=options.timeout, reason="rm")
    removes = removes_of(containers, stops, volumes=options.volumes, reason="rm", force=True)
    operations: list[Operation] = [*stops.values(), *removes.values()]
    warnings = () if operations else ("No stopped containers",)
    return Plan(observed.project, in_order({item.key: item for item in operations}), warnings=warnings)


def plan_pause(
    observed: Observed, options: SelectOptions, project: Project | None = None, *, thaw: bool = False
) -> Plan:
    """Freeze what runs, or thaw what is frozen; what is so already, or does not run, is named."""
    verb, operation, wanted, done = (
        ("unpause", UnpauseContainer, "paused", "running")
        if thaw
        else ("pause", PauseContainer, "running", "paused")
    )
    chosen = _chosen(observed, options.services, project, orphans=False)
    operations = tuple(
        operation(
            key=f"{verb} {item.name}",
            name=item.name,
            container=item.id,
            service=labels.service_of(item),
            reason=verb,
        )
        for item in chosen
        if item.status == wanted
    )
    warnings = [f"{item.name} is {done} already" for item in chosen if item.status == done]
    if options.services or not operations:
        warnings += [
            f"{item.name} is {item.status}, and cannot be {verb}d"
            for item in chosen
            if item.status not in (wanted, done)
        ]
    return Plan(observed.project, operations, warnings=tuple(warnings))
