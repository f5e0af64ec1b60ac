"""One snapshot of everything on the machine that a plan depends on."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any

from composer.controller.labels import PROJECT, REPLACE, is_one_off, number_of, service_of
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

    from composer.engine import ContainerState, Engine, NetworkState, VolumeState

ACTIVE = frozenset({"running", "paused", "restarting", "stopping"})
"""Statuses of a container that has, or is about to have, a process."""


@frozen
class Observed:
    """What there is.

    Attributes:
        project: The project that was looked at.
        containers: Its containers.
        networks: All networks of the machine, since external ones and name clashes matter.
        volumes: All volumes of the machine.
        previous: Canonical services as they were last applied, so that a reason can say what changed.
    """

    project: str
    containers: tuple[ContainerState, ...] = ()
    networks: tuple[NetworkState, ...] = ()
    volumes: tuple[VolumeState, ...] = ()
    previous: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of_service(self, service: str) -> tuple[ContainerState, ...]:
        """Its replicas by number, without one-off containers and without half-made replacements."""
        return _replicas(self.containers).get(service, ())

    def half_made(self, service: str) -> tuple[ContainerState, ...]:
        """Replacements that still have their temporary name: somebody was interrupted."""
        return tuple(
            container
            for container in self.containers
            if service_of(container) == service and self.is_half_made(container)
        )

    @staticmethod
    def is_half_made(container: ContainerState) -> bool:
        """Whether a recreation was interrupted before this container got its name."""
        wanted = container.config.labels.get(REPLACE, "")
        return bool(wanted) and container.name != wanted

    def network(self, name: str) -> NetworkState | None:
        """The network with this real name."""
        return next((network for network in self.networks if network.config.name == name), None)

    def volume(self, name: str) -> VolumeState | None:
        """The volume with this real name."""
        return next((volume for volume in self.volumes if volume.config.name == name), None)

    def own_networks(self) -> tuple[NetworkState, ...]:
        """The networks that were made for this project."""
        return tuple(item for item in self.networks if item.config.labels.get(PROJECT) == self.project)

    def own_volumes(self) -> tuple[VolumeState, ...]:
        """The volumes that were made for this project, anonymous ones too."""
        return tuple(
            item
            for item in self.volumes
            if item.config.labels.get(PROJECT) == self.project
            or (item.config.anonymous and item.config.project == self.project)
        )


_latest: list[tuple[tuple[ContainerState, ...], dict[str, tuple[ContainerState, ...]]]] = []


def _replicas(containers: tuple[ContainerState, ...]) -> dict[str, tuple[ContainerState, ...]]:
    """`Observed.of_service` of all services; the latest is kept, for the sake of hundreds of services."""
    if _latest and _latest[0][0] is containers:
        return _latest[0][1]
    found: dict[str, list[ContainerState]] = {}
    for container in containers:
        if not is_one_off(container) and not Observed.is_half_made(container):
            found.setdefault(service_of(container), []).append(container)
    result = {
        service: tuple(sorted(items, key=lambda item: (number_of(item), item.name)))
        for service, items in found.items()
    }
    _latest[:] = [(containers, result)]
    return result


async def observe(
    engine: Engine, project: str, previous: Mapping[str, Mapping[str, Any]] | None = None
) -> Observed:
    """Take the snapshot of *project*."""
    return Observed(
        project,
        tuple(await engine.containers(project)),
        tuple(await engine.networks()),
        tuple(await engine.volumes()),
        previous or {},
    )
