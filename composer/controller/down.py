"""The plan of `down`: what goes, what stays, and in which order. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.controller import labels
from composer.controller.observe import ACTIVE
from composer.controller.plan import (
    DisconnectNetwork,
    Operation,
    Plan,
    RemoveContainer,
    RemoveImage,
    RemoveNetwork,
    RemoveVolume,
)
from composer.controller.starting import in_order
from composer.controller.teardown import graph_of, removes_of, stops_of
from composer.errors import unknown_service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from composer.controller.observe import Observed
    from composer.controller.options import DownOptions
    from composer.engine import ContainerState
    from composer.graph import Graph
    from composer.spec.model import Project


def plan_down(observed: Observed, options: DownOptions, project: Project | None = None) -> Plan:
    """Stop and remove containers, then networks, and on request volumes and images.

    Without a project everything that bears the project's labels goes, one-off containers and orphans only
    with `remove_orphans`, or when there is no file that could tell what an orphan is.
    """
    graph = graph_of(observed, project)
    containers = _to_remove(observed, options, graph, project)
    gone = {container.id for container in containers}
    stops = stops_of(graph, containers, timeout=options.timeout, reason="down")
    removes = removes_of(containers, stops, volumes=options.volumes, reason="down", force=True)
    operations: list[Operation] = [*stops.values(), *removes.values()]
    operations += _network_removals(observed, options, gone, tuple(item.key for item in removes.values()))
    if options.volumes:
        operations += _volume_removals(observed, options, project, containers, removes)
    if options.images:
        operations += _image_removals(observed, options, project, containers, removes)
    warnings = _down_warnings(observed, options, gone, found=bool(operations))
    return Plan(observed.project, in_order({item.key: item for item in operations}), warnings=warnings)


def _down_warnings(
    observed: Observed, options: DownOptions, gone: set[str], *, found: bool
) -> tuple[str, ...]:
    """What `down` does not do, so that nobody believes that it did."""
    if options.services:
        return ()
    left = [item.name for item in observed.containers if item.id not in gone and labels.is_one_off(item)]
    if left:
        return (
            f"containers of `run` are left: {', '.join(sorted(left))}; --remove-orphans removes them, too",
        )
    return () if found else (f'No resource found to remove for project "{observed.project}".',)


def _network_removals(
    observed: Observed, options: DownOptions, gone: set[str], after: tuple[str, ...]
) -> list[Operation]:
    """Networks, after the containers that go; what has ended, and stays, is taken off them first."""
    operations: list[Operation] = []
    for network in observed.own_networks():
        users = set(network.containers) - gone
        if options.services and users:
            continue
        stay = [item for item in observed.containers if item.id in users]
        leave: list[Operation] = []
        if len(stay) == len(users) and not any(item.status in ACTIVE for item in stay):
            leave = [
                DisconnectNetwork(
                    key=f"disconnect {item.name} from {network.config.name}",
                    name=item.name,
                    container=item.id,
                    id=network.config.id,
                    service=labels.service_of(item),
                    reason="down",
                )
                for item in stay
            ]
        operations += leave
        operations.append(
            RemoveNetwork(
                key=f"remove network {network.config.name}",
                name=network.config.name,
                id=network.config.id,
                after=(*after, *(item.key for item in leave)),
                reason="down",
            )
        )
    return operations


def _to_remove(
    observed: Observed, options: DownOptions, graph: Graph, project: Project | None
) -> list[ContainerState]:
    if options.services:
        known = set(graph.services)
        for name in options.services:
            if name not in known:
                raise unknown_service(name, known)
        wanted = graph.with_dependents(options.services)
        return [
            item
            for item in observed.containers
            if labels.service_of(item) in wanted and not labels.is_one_off(item)
        ]
    if options.remove_orphans:
        return list(observed.containers)
    return [
        item
        for item in observed.containers
        if (not labels.is_one_off(item) or labels.HOOK in item.config.labels)
        and (project is None or labels.service_of(item) in project.services)
    ]


def _volume_removals(
    observed: Observed,
    options: DownOptions,
    project: Project | None,
    containers: Sequence[ContainerState],
    removes: dict[str, RemoveContainer],
) -> list[Operation]:
    """Named volumes of the file (or of the labels), and anonymous ones that containers left behind."""
    own = {volume.config.name: volume for volume in observed.own_volumes()}
    if project is not None:
        keys = set(project.volumes)
        if options.services:
            mine = {labels.service_of(container) for container in containers}
            keys = {
                mount.source
                for name in mine
                if name in project.services
                for mount in project.services[name].volumes
                if mount.type == "volume"
            }
        names = [
            volume.name
            for key, volume in project.volumes.items()
            if key in keys and not volume.external and observed.volume(volume.name)
        ]
    else:
        names = [name for name, volume in own.items() if not volume.config.anonymous]
    if not options.services:
        taken_along = {
            mount.source for item in containers for mount in item.config.mounts if mount.type == "volume"
        }
        used = {
            mount.source
            for item in observed.containers
            if item.id not in removes
            for mount in item.config.mounts
            if mount.type == "volume"
        }
        names += [
            name
            for name, volume in own.items()
            if volume.config.anonymous and name not in taken_along and name not in used
        ]
    return [
        RemoveVolume(
            key=f"remove volume {name}",
            name=name,
            after=tuple(item.key for item in removes.values()),
            reason="down --volumes",
        )
        for name in dict.fromkeys(names)
    ]


def _image_removals(
    observed: Observed,
    options: DownOptions,
    project: Project | None,
    containers: Sequence[ContainerState],
    removes: dict[str, RemoveContainer],
) -> list[Operation]:
    """`local`: built for the project, without a name of their own; `all`: every image that is used."""
    names: dict[str, None] = {}
    if project is not None:
        for service in project.services.values():
            built = service.build is not None and not service.image
            if built or options.images == "all":
                names[service.image or f"{project.name}-{service.name}"] = None
    else:
        for container in containers:
            own = f"{observed.project}-{labels.service_of(container)}"
            if options.images == "all" or container.config.image.partition(":")[0] == own:
                names[container.config.image] = None
    return [
        RemoveImage(
            key=f"remove image {name}",
            name=name,
            after=tuple(item.key for item in removes.values()),
            reason=f"down --rmi {options.images}",
        )
        for name in names
    ]
