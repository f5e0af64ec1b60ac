"""Who waits for whom, and for what: a project's services as a graph.

An edge comes from `depends_on`, `links`, `volumes_from`, or from a namespace that is shared with another
service (`network_mode`, `ipc`, `pid`, `uts`, `cgroup` with `service:x`). The order comes from graphlib, which
costs two milliseconds to import; networkx, which costs a hundred, is imported only to name cycles, to leave
out edges that follow from others, and to export.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import SpecError
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from typing import Any

    from composer.spec.model import Project, Service

STARTED = "service_started"
HEALTHY = "service_healthy"
COMPLETED = "service_completed_successfully"

SHARED_NAMESPACES = ("network_mode", "ipc", "pid", "uts", "cgroup")
"""Service attributes whose value may be `service:NAME`."""


@frozen
class Edge:
    """`service` needs `needs`.

    Attributes:
        service: The one that waits.
        needs: The one that is waited for.
        condition: `service_started`, `service_healthy` or `service_completed_successfully`.
        restart: Restart `service` when `needs` is restarted or recreated.
        required: A failure of `needs` is a failure of `service`.
        reasons: Attributes of `service` that say so, such as `depends_on` or `network_mode`.
    """

    service: str
    needs: str
    condition: str = STARTED
    restart: bool = False
    required: bool = True
    reasons: tuple[str, ...] = ("depends_on",)


def implied_dependencies(service: Service) -> Iterator[tuple[str, str, bool]]:
    """What *service* needs without saying `depends_on`: (service, attribute, restart)."""
    for attribute in SHARED_NAMESPACES:
        value: str = getattr(service, attribute)
        if value.startswith("service:"):
            yield value.removeprefix("service:"), attribute, True
    for link in service.links:
        yield link.partition(":")[0], "links", True
    for entry in service.volumes_from:
        if not entry.startswith("container:"):
            yield entry.partition(":")[0], "volumes_from", False


def edges_of(service: Service) -> list[Edge]:
    """All edges that leave *service*, one per needed service; what `depends_on` says wins."""
    found: dict[str, Edge] = {}
    for needs, dependency in service.depends_on.items():
        found[needs] = Edge(
            service.name, needs, dependency.condition or STARTED, dependency.restart, dependency.required
        )
    for needs, attribute, restart in implied_dependencies(service):
        old = found.get(needs)
        if old is None:
            found[needs] = Edge(service.name, needs, restart=restart, reasons=(attribute,))
        elif attribute not in old.reasons:
            found[needs] = Edge(
                old.service, needs, old.condition, old.restart, old.required, (*old.reasons, attribute)
            )
    return list(found.values())


class Graph:
    """The services of one project and the edges between them.

    Args:
        services: Names of all services.
        edges: Edges between them; one to a service that is not listed is left out when it is not required.

    Raises:
        SpecError: A required service is not there, or services wait for each other in a circle.
    """

    def __init__(self, services: Iterable[str], edges: Iterable[Edge]) -> None:
        self.services = tuple(services)
        known = set(self.services)
        self._needs: dict[str, list[Edge]] = {name: [] for name in self.services}
        self._needed_by: dict[str, list[Edge]] = {name: [] for name in self.services}
        for edge in edges:
            if edge.needs not in known:
                if not edge.required:
                    continue
                raise SpecError(
                    f'service "{edge.service}" depends on undefined service "{edge.needs}"',
                    path=f"services.{edge.service}.{edge.reasons[0]}",
                )
            self._needs[edge.service].append(edge)
            self._needed_by[edge.needs].append(edge)
        self.order = self._sorted()

    @classmethod
    def of(cls, project: Project, *, including_disabled: bool = False) -> Graph:
        """The graph of a project's active services.

        Args:
            project: The project.
            including_disabled: Also take services that no profile or selection includes.

        Raises:
            SpecError: A required service is not there, or services wait for each other in a circle.
        """
        services = dict(project.services)
        if including_disabled:
            services.update(project.disabled_services)
        edges = [edge for service in services.values() for edge in edges_of(service)]
        try:
            return cls(services, edges)
        except SpecError as error:
            error.where = error.where or project.locate(error.path)
            raise

    @property
    def edges(self) -> tuple[Edge, ...]:
        """All edges, in the order of `services`."""
        return tuple(edge for name in self.services for edge in self._needs[name])

    def needs(self, service: str) -> tuple[Edge, ...]:
        """The edges that leave *service*: what it waits for."""
        return tuple(self._needs[service])

    def needed_by(self, service: str) -> tuple[Edge, ...]:
        """The edges that arrive at *service*: who waits for it."""
        return tuple(self._needed_by[service])

    def with_dependencies(self, services: Iterable[str]) -> frozenset[str]:
        """*services* and everything they need, directly or not."""
        return self._reach(services, self._needs, "needs")

    def with_dependents(self, services: Iterable[str]) -> frozenset[str]:
        """*services* and everything that needs them, directly or not."""
        return self._reach(services, self._needed_by, "service")

    def sorted(self, services: Collection[str]) -> tuple[str, ...]:
        """*services* in starting order: what is needed comes first."""
        return tuple(name for name in self.order if name in services)

    def reduced(self) -> tuple[Edge, ...]:
        """The edges worth drawing: a plain wait that follows from other waits is left out."""
        import networkx as nx

        kept = nx.transitive_reduction(self.to_networkx()).edges
        return tuple(
            edge for edge in self.edges if edge.condition != STARTED or (edge.service, edge.needs) in kept
        )

    def to_networkx(self) -> Any:
        """A `networkx.DiGraph` with an edge from each service to what it needs; attributes as in `Edge`."""
        return _digraph(self.services, self.edges)

    def _reach(self, start: Iterable[str], edges: Mapping[str, list[Edge]], end: str) -> frozenset[str]:
        found: set[str] = set()
        waiting = [name for name in start if name in edges]
        while waiting:
            name = waiting.pop()
            if name not in found:
                found.add(name)
                waiting.extend(getattr(edge, end) for edge in edges[name])
        return frozenset(found)

    def _sorted(self) -> tuple[str, ...]:
        from graphlib import CycleError, TopologicalSorter

        needs = {name: [edge.needs for edge in edges] for name, edges in self._needs.items()}
        try:
            return tuple(TopologicalSorter(needs).static_order())
        except CycleError:
            cycle = shortest_cycle(self.services, self.edges)
            raise SpecError(
                f"dependency cycle detected: {' -> '.join(cycle)}",
                hint="remove one of these dependencies",
                path=f"services.{cycle[0]}.{self._reason(cycle[0], cycle[1])}",
            ) from None

    def _reason(self, service: str, needs: str) -> str:
        return next(edge.reasons[0] for edge in self._needs[service] if edge.needs == needs)


def shortest_cycle(services: Iterable[str], edges: Iterable[Edge]) -> tuple[str, ...]:
    """The smallest circle of services that wait for each other, beginning and ending with the same one.

    It begins with the service that comes first in *services*; empty when there is no circle.
    """
    import networkx as nx

    order = {name: position for position, name in enumerate(services)}
    graph = _digraph(order, edges)
    cycles: list[tuple[str, ...]] = []
    for component in nx.strongly_connected_components(graph):
        cycles.extend((name, name) for name in component if graph.has_edge(name, name))
        if len(component) > 1:
            part = graph.subgraph(component)
            for name in component:
                ways = nx.single_source_shortest_path(part, name)
                cycles.extend((*ways[back], name) for back in part.predecessors(name) if back in ways)
    return min(cycles, key=lambda cycle: (len(cycle), [order[name] for name in cycle]), default=())


def _digraph(services: Iterable[str], edges: Iterable[Edge]) -> Any:
    import networkx as nx

    graph: Any = nx.DiGraph()
    graph.add_nodes_from(services)
    for edge in edges:
        graph.add_edge(
            edge.service,
            edge.needs,
            condition=edge.condition,
            restart=edge.restart,
            required=edge.required,
            reasons=edge.reasons,
        )
    return graph


def _label(edge: Edge) -> str:
    words = {STARTED: "", HEALTHY: "healthy", COMPLETED: "completed"}.get(edge.condition, edge.condition)
    return words if edge.required else f"{words} (optional)".strip()


def _drawn(graph: Graph, *, reduce: bool) -> list[Edge]:
    return sorted(graph.reduced() if reduce else graph.edges, key=lambda edge: (edge.service, edge.needs))


def to_dot(graph: Graph, *, name: str = "services", reduce: bool = True) -> str:
    """The graph in Graphviz' language; an arrow points from a service to what it waits for."""
    lines = [f"digraph {_quoted(name)} {{", "  rankdir=LR;", "  node [shape=box];"]
    lines += [f"  {_quoted(service)};" for service in sorted(graph.services)]
    for edge in _drawn(graph, reduce=reduce):
        style = "" if edge.required else ", style=dashed"
        label = f" [label={_quoted(_label(edge))}{style}]" if _label(edge) else ""
        lines.append(f"  {_quoted(edge.service)} -> {_quoted(edge.needs)}{label};")
    return "\n".join([*lines, "}"]) + "\n"


def to_mermaid(graph: Graph, *, reduce: bool = True) -> str:
    """The graph as a Mermaid flowchart, which GitHub and GitLab draw in Markdown."""
    names = {service: f"s{number}" for number, service in enumerate(sorted(graph.services))}
    lines = ["flowchart LR", *(f'  {short}["{service}"]' for service, short in names.items())]
    for edge in _drawn(graph, reduce=reduce):
        arrow = "-->" if edge.required else "-.->"
        label = f"|{_label(edge)}|" if _label(edge) else ""
        lines.append(f"  {names[edge.service]} {arrow}{label} {names[edge.needs]}")
    return "\n".join(lines) + "\n"


def to_text(graph: Graph) -> str:
    """One line per service in starting order, with what it waits for."""
    lines = []
    for name in graph.order:
        needs = [
            edge.needs + (f" ({_label(edge)})" if _label(edge) else "")
            for edge in sorted(graph.needs(name), key=lambda edge: edge.needs)
        ]
        lines.append(f"{name} <- {', '.join(needs)}" if needs else name)
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
