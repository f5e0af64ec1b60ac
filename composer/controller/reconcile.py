"""What `up` has to do: wanted project and observed machine in, `Plan` out. Pure: no engine, no clock.

The order of compose-reference.md section 8.2: networks, volumes, services in dependency order, orphans.
Inside a plan only the edges (`Operation.after`) order anything: what has no reason to wait does not wait.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.controller import labels
from composer.controller.divergence import Resources, ServiceFacts, divergence
from composer.controller.observe import ACTIVE
from composer.controller.plan import (
    CreateContainer,
    Plan,
    RemoveContainer,
    RenameContainer,
    StartContainer,
    StopContainer,
    UnpauseContainer,
)
from composer.controller.resources import plan_networks, plan_volumes
from composer.controller.starting import Draft, ToStart, add_starts, with_after
from composer.errors import SpecError, unknown_service
from composer.graph import SHARED_NAMESPACES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from composer.controller.observe import Observed
    from composer.controller.options import UpOptions
    from composer.engine import ContainerState
    from composer.graph import Graph
    from composer.spec.model import Project, Service


def container_name(project: Project, service: Service, number: int, separator: str = "-") -> str:
    """`<project>-<service>-<number>`, or the name that the file gives."""
    return service.container_name or separator.join((project.name, service.name, str(number)))


def selected_services(
    project: Project, graph: Graph, services: tuple[str, ...], *, no_deps: bool
) -> set[str]:
    """The services that a command is about: the named ones and what they need, or all.

    Raises:
        NotFoundError: A name is no service's.
    """
    for name in services:
        if name not in project.services:
            disabled = project.disabled_services.get(name)
            profiles = ", ".join(disabled.profiles) if disabled else ""
            error = unknown_service(name, project.services)
            error.hint = f"activate one of its profiles: {profiles}" if profiles else error.hint
            raise error
    if not services:
        return set(project.services)
    return set(services) if no_deps else set(graph.with_dependencies(services))


def reconcile(
    project: Project,
    graph: Graph,
    observed: Observed,
    facts: Mapping[str, ServiceFacts],
    options: UpOptions,
) -> Plan:
    """The plan that brings *observed* to *project*.

    Args:
        project: What is wanted.
        graph: Its dependencies.
        observed: What there is.
        facts: By service, what images and files say.
        options: What the user asked for.

    Raises:
        NotFoundError: A service, an external network or an external volume does not exist.
        SpecError: The number of containers contradicts the file.
    """
    return _Up(project, graph, observed, facts, options).plan()


class _Up:
    """One reconciliation: fills a `Draft`, which `Starting` then completes."""

    def __init__(
        self,
        project: Project,
        graph: Graph,
        observed: Observed,
        facts: Mapping[str, ServiceFacts],
        options: UpOptions,
    ) -> None:
        self.project = project
        self.graph = graph
        self.observed = observed
        self.facts = facts
        self.options = options
        self.named = set(options.services or project.services)
        self.wanted = selected_services(project, graph, options.services, no_deps=options.no_deps)
        self.replaced: set[str] = set()
        """Services of which a container is made anew."""
        self.fresh: set[str] = set()
        """Services whose first container is new: those who share its namespaces must be made anew too."""

    def plan(self) -> Plan:
        order = self.graph.sorted(self.wanted)
        for name in order:
            self._check_scale(self.project.services[name])
        self.networks = plan_networks(self.project, self.observed, order)
        self.volumes = plan_volumes(
            self.project, self.observed, order, recreate=self.options.recreate_resources
        )
        self.resources = Resources(self.networks.existing, self.volumes.existing)
        self.draft = draft = Draft(self.project, self.graph, self.observed, self.options, self.wanted)
        for operation in (*self.networks.operations, *self.volumes.operations):
            draft.add(operation)
        draft.warnings += [*self.networks.warnings, *self.volumes.warnings]
        for name in order:
            self._service(self.project.services[name])
        self._bystanders()
        if self.options.start:
            add_starts(draft, order, self._needed_to_create)
        self._orphans()
        return draft.plan()

    # Which containers there shall be

    def _replicas(self, service: Service) -> int:
        return self.options.scale.get(service.name, service.replicas)

    def _check_scale(self, service: Service) -> None:
        if service.container_name and self._replicas(service) > 1:
            raise SpecError(
                f'service "{service.name}" cannot have {self._replicas(service)} containers, because they '
                f'would all be named "{service.container_name}"',
                hint="remove container_name",
                where=self.project.locate(f"services.{service.name}.container_name"),
                path=f"services.{service.name}.container_name",
            )

    def _service(self, service: Service) -> None:
        existing = self._adopt_half_made(service, list(self.observed.of_service(service.name)))
        reasons = {container.id: self._reason(service, container) for container in existing}
        replicas = self._replicas(service)
        surplus = len(existing) - replicas
        if surplus > 0:
            by_age = sorted(existing, key=lambda item: (not reasons[item.id], -labels.number_of(item)))
            for container in by_age[:surplus]:
                existing.remove(container)
                self._remove(container, f"scaled down to {replicas}")
        highest = max((labels.number_of(item) for item in self.observed.of_service(service.name)), default=0)
        members = self.draft.members.setdefault(service.name, [])
        for container in existing:
            if reasons[container.id]:
                members.append(self._recreate(service, container, reasons[container.id]))
            else:
                members.append(container.id)
                self._keep(service, container)
        for number in range(highest + 1, highest + 1 + replicas - len(existing)):
            name = container_name(self.project, service, number, self.options.separator)
            reason = f"scaled up to {replicas}" if existing else "it does not exist"
            members.append(self._create(service, number, name, reason))
        if service.name in self.replaced:
            self._stop_dependants(service.name)

    def _adopt_half_made(self, service: Service, existing: list[ContainerState]) -> list[ContainerState]:
        """Finish or undo the recreations that somebody was interrupted in."""
        for container in self.observed.half_made(service.name):
            name = container.config.labels[labels.REPLACE]
            if any(other.name == name for other in existing):
                self._remove(container, "left behind by an interrupted command", word="half-made ")
            else:
                self.draft.add(
                    RenameContainer(
                        key=f"rename {name}",
                        name=name,
                        container=container.id,
                        service=service.name,
                        reason="finishes an interrupted recreation",
                    )
                )
                existing.append(container)
        return sorted(existing, key=lambda item: (labels.number_of(item), item.name))

    def _reason(self, service: Service, container: ContainerState) -> str:
        """Why a container is made anew, or an empty string."""
        options = self.options
        policy = options.recreate if service.name in self.named else options.recreate_dependencies
        if container.status == "dead":
            return "it could not be removed earlier"
        if policy == "never":
            return ""
        if policy == "force":
            return "asked for"
        if options.renew_volumes and service.name in self.named:
            return "fresh anonymous volumes were asked for"
        if owner := self._replaced_owner(service):
            return f"it shares a namespace or volumes with {owner}, which is made anew"
        if changed := [key for key in _volume_keys(service) if key in self.volumes.recreated]:
            return f"volume {self.project.volumes[changed[0]].name} is made anew"
        owners = {
            name: members[0]
            for name in (*_namespace_owners(service), *_volume_owners(service))
            if (members := self._members(name))
        }
        return divergence(
            self.project,
            service.name,
            container,
            facts=self.facts.get(service.name, ServiceFacts()),
            owners=owners,
            resources=self.resources,
            previous=self.observed.previous.get(service.name),
        )

    def _members(self, service: str) -> list[str]:
        """The containers of a service, also of one that this plan leaves alone."""
        if service in self.draft.members:
            return self.draft.members[service]
        return [container.id for container in self.observed.of_service(service)]

    def _replaced_owner(self, service: Service) -> str:
        owners = [*_namespace_owners(service), *_volume_owners(service)]
        return next((owner for owner in owners if owner in self.replaced | self.fresh), "")

    def _keep(self, service: Service, container: ContainerState) -> None:
        if container.status == "paused" and self.options.start:
            key = self.draft.add(
                UnpauseContainer(
                    key=f"unpause {container.name}",
                    name=container.name,
                    container=container.id,
                    service=service.name,
                    reason="it is paused",
                )
            )
            self.draft.starts.setdefault(service.name, []).append(key)
        elif container.status in ("running", "restarting") and container.id not in self.networks.stopped:
            self.draft.unchanged.append((service.name, container.name))
        else:
            why = {"created": "it was never started", "exited": f"it exited ({container.exit_code})"}
            reason = why.get(container.status, "")
            after = self.networks.reconnected.get(container.id, ())
            if container.id in self.networks.stopped:
                reason = "its network was made anew"
            name = container.config.labels.get(labels.REPLACE) or container.name
            rename = f"rename {name}"
            if rename in self.draft.operations:
                after = (*after, rename)
            else:
                name = container.name
            self.draft.to_start.append(ToStart(service.name, container.id, name, after, reason))

    # Operations on single containers

    def _create(self, service: Service, number: int, name: str, reason: str) -> str:
        key = self.draft.add(
            CreateContainer(
                key=f"create {name}",
                name=name,
                number=number,
                service=service.name,
                after=self._needed_to_create(service),
                reason=reason,
            )
        )
        self.draft.to_start.append(ToStart(service.name, key, name, (key,), ""))
        if not self.draft.members.get(service.name):
            self.fresh.add(service.name)
        return key

    def _recreate(self, service: Service, old: ContainerState, reason: str) -> str:
        """Create new, then, as late as possible, stop old, remove old, rename, start."""
        self.replaced.add(service.name)
        number = labels.number_of(old) or 1
        name = container_name(self.project, service, number, self.options.separator)
        temporary = f"{old.id[:12]}_{name}"
        left = f"remove half-made {temporary}"  # an interrupted command's replacement has the name
        cleared = (left,) if left in self.draft.operations else ()
        swap_first = self._must_go_first(service)
        key = f"create {name}"
        gates = () if swap_first else (key,)
        if old.status in ACTIVE:
            stop = StopContainer(
                key=f"stop {old.id[:12]}_{name}",
                name=old.name,
                container=old.id,
                service=service.name,
                after=gates,
                timeout=self.options.timeout,
                reason=reason,
            )
            gates = (self.draft.add(stop),)
        remove = self.draft.add(
            RemoveContainer(
                key=f"remove {old.id[:12]}_{name}",
                name=old.name,
                container=old.id,
                service=service.name,
                after=gates,
                volumes=self.options.renew_volumes,
                force=True,
                reason=reason,
            )
        )
        self.draft.add(
            CreateContainer(
                key=key,
                name=name,
                number=number,
                service=service.name,
                after=(*self._needed_to_create(service), *cleared, *((remove,) if swap_first else ())),
                reason=reason,
                replaces=old.id,
                temporary_name="" if swap_first else temporary,
                inherit_volumes=not self.options.renew_volumes,
            )
        )
        ready = key
        if not swap_first:
            ready = self.draft.add(
                RenameContainer(
                    key=f"rename {name}", name=name, container=key, service=service.name, after=(remove,)
                )
            )
        self.draft.to_start.append(ToStart(service.name, key, name, (ready,), ""))
        return key

    def _must_go_first(self, service: Service) -> bool:
        """Whether two containers of it cannot exist at once: a fixed address, a volume that is made anew."""
        fixed = any(
            network.ipv4_address or network.ipv6_address or network.mac_address
            for network in service.networks.values()
        )
        return (
            fixed
            or bool(service.mac_address)
            or any(key in self.volumes.recreated for key in _volume_keys(service))
        )

    def _needed_to_create(self, service: Service) -> tuple[str, ...]:
        keys = [self.networks.created[key] for key in service.networks if key in self.networks.created]
        if service.network_mode == "bridge" and "bridge" in self.networks.created:
            keys.append(self.networks.created["bridge"])
        keys += [self.volumes.created[key] for key in _volume_keys(service) if key in self.volumes.created]
        for owner in dict.fromkeys((*_namespace_owners(service), *_volume_owners(service))):
            keys += [key for key in self.draft.members.get(owner, ())[:1] if key in self.draft.operations]
        return tuple(dict.fromkeys(keys))

    def _remove(self, container: ContainerState, reason: str, *, word: str = "") -> None:
        """Stop and remove a container; *word* keeps keys apart from those of the one it should replace."""
        gates: tuple[str, ...] = ()
        service = labels.service_of(container)
        if container.status in ACTIVE:
            stop = StopContainer(
                key=f"stop {word}{container.name}",
                name=container.name,
                container=container.id,
                service=service,
                timeout=self.options.timeout,
                reason=reason,
            )
            gates = (self.draft.add(stop),)
        self.draft.add(
            RemoveContainer(
                key=f"remove {word}{container.name}",
                name=container.name,
                container=container.id,
                service=service,
                after=gates,
                force=True,
                reason=reason,
            )
        )

    def _stop_dependants(self, service: str) -> None:
        """Stop the running containers of services that said `restart: true` for *service*."""
        stops = []
        for edge in self.graph.needed_by(service):
            if not edge.restart or edge.service not in self.wanted or not self.options.start:
                continue
            if set(edge.reasons) & set(SHARED_NAMESPACES):
                continue
            for container in self.observed.of_service(edge.service):
                if container.status in ACTIVE and not self.draft.is_replaced(container):
                    stop = StopContainer(
                        key=f"stop {container.name}",
                        name=container.name,
                        container=container.id,
                        service=edge.service,
                        timeout=self.options.timeout,
                        reason=f"{service} is made anew",
                    )
                    stops.append(self.draft.add(stop))
                    self.draft.restart_stops.setdefault(container.id, []).append(stop.key)
        for key, operation in list(self.draft.operations.items()):
            if stops and operation.service == service and isinstance(operation, StopContainer):
                self.draft.operations[key] = with_after(operation, stops)

    def _bystanders(self) -> None:
        """Start again what was only stopped because its network is made anew."""
        for container in self.observed.containers:
            service = labels.service_of(container)
            if container.id in self.networks.stopped and service not in self.wanted:
                self.draft.add(
                    StartContainer(
                        key=f"start {container.name}",
                        name=container.name,
                        container=container.id,
                        service=service,
                        after=self.networks.reconnected.get(container.id, ()),
                        reason="its network was made anew",
                    )
                )

    # What should not be there

    def _orphans(self) -> None:
        known = self.project.services.keys() | self.project.disabled_services.keys()
        orphans = [
            container
            for container in self.observed.containers
            if labels.service_of(container) not in known
            or (labels.is_one_off(container) and container.status in ("exited", "dead"))
        ]
        if not orphans:
            return
        if self.options.remove_orphans:
            for container in orphans:
                self._remove(container, "orphan: its service is not in the file")
        elif not self.options.ignore_orphans:
            orphans = [item for item in orphans if not labels.is_one_off(item)]
            names = ", ".join(sorted(container.name for container in orphans))
            if names:
                self.draft.warnings.append(
                    f"Found orphan containers ({names}) for this project. If you removed or renamed this "
                    "service in your compose file, you can run this command with the --remove-orphans flag "
                    "to clean it up."
                )


def _namespace_owners(service: Service) -> list[str]:
    values = [getattr(service, attribute) for attribute in SHARED_NAMESPACES]
    return [value.removeprefix("service:") for value in values if value.startswith("service:")]


def _volume_owners(service: Service) -> list[str]:
    return [entry.partition(":")[0] for entry in service.volumes_from if not entry.startswith("container:")]


def _volume_keys(service: Service) -> list[str]:
    return [mount.source for mount in service.volumes if mount.type == "volume" and mount.source]
