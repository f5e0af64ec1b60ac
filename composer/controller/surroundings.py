"""What the attributes of services refer to, as it is on this machine."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from composer.errors import NotFoundError
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from composer.engine import ContainerState
    from composer.images.store import Image
    from composer.spec.model import Project, Service


@frozen
class Surroundings:
    """What the attributes of services refer to, as it is on this machine.

    Attributes:
        project: The project.
        images: By service: the image its containers are made from.
        mounted_images: By source of a `type: image` mount.
        networks: By key of the file: network id.
        replicas: By service: its containers by number; others share the namespaces of the first.
        others: By name: all other containers of the machine (`container:NAME`, external_links).
        anonymous: Names of all anonymous volumes.
    """

    project: Project
    images: Mapping[str, Image] = field(default_factory=dict)
    mounted_images: Mapping[str, Image] = field(default_factory=dict)
    networks: Mapping[str, str] = field(default_factory=dict)
    replicas: Mapping[str, tuple[ContainerState, ...]] = field(default_factory=dict)
    others: Mapping[str, ContainerState] = field(default_factory=dict)
    anonymous: Collection[str] = frozenset()


def first_replica(surroundings: Surroundings, owner: str, service: Service, attribute: str) -> ContainerState:
    """The container of the service *owner* that others join.

    Raises:
        NotFoundError: It has none; the path is *attribute* of *service*.
    """
    replicas = surroundings.replicas.get(owner)
    if not replicas:
        raise NotFoundError(
            f'service "{service.name}" needs a container of service "{owner}", which has none',
            path=f"services.{service.name}.{attribute}",
        )
    return replicas[0]


def other_container(
    surroundings: Surroundings, name: str, service: Service, attribute: str
) -> ContainerState:
    """A container of the machine by name or the beginning of its id.

    Raises:
        NotFoundError: There is none, or several; the path is *attribute* of *service*.
    """
    found = surroundings.others.get(name)
    if found is None:
        matches = [item for item in surroundings.others.values() if item.id.startswith(name)]
        found = matches[0] if len(matches) == 1 else None
    if found is None:
        raise NotFoundError(f"no such container: {name}", path=f"services.{service.name}.{attribute}")
    return found
