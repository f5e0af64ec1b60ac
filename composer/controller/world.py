"""What a plan is carried out on: the engine, what was observed, and what the operations have made so far."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from composer.controller import labels
from composer.controller.plan import CreateContainer, RemoveContainer
from composer.controller.surroundings import Surroundings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from composer.controller.image_source import ImageSource
    from composer.controller.observe import Observed
    from composer.controller.plan import Plan
    from composer.controller.watcher import Watcher
    from composer.engine import ContainerState, Engine
    from composer.images.store import Image
    from composer.spec.model import Project


class World:
    """The mutable side of one command.

    Args:
        engine: The engine.
        images: Where images come from.
        watcher: Follows the project's containers.
        observed: What there was when the plan was made.
        project: The project, or None for commands that need no file.
        service_images: By service: the image of its containers.
        mounted_images: By source of `type: image` mounts.
        others: By name: containers of other projects, when a file refers to them.
        all_made: Called when the plan's last container is made, which refers to its image from then on.
    """

    def __init__(
        self,
        engine: Engine,
        images: ImageSource,
        watcher: Watcher,
        observed: Observed,
        project: Project | None = None,
        *,
        service_images: Mapping[str, Image] | None = None,
        mounted_images: Mapping[str, Image] | None = None,
        others: Mapping[str, ContainerState] | None = None,
        all_made: Callable[[], None] | None = None,
    ) -> None:
        self.engine = engine
        self.images = images
        self.watcher = watcher
        self.observed = observed
        self.project = project
        self.service_images = service_images or {}
        self.mounted_images = mounted_images or {}
        self.others = others or {}
        self.made: dict[str, ContainerState] = {}
        """By key of the operation: the container it made."""
        self.networks: dict[str, str] = {}
        """By key of the file: network id."""
        self.names: dict[str, str] = {item.id: labels.final_name(item) for item in observed.containers}
        self._replaces: dict[str, str] = {}
        self._leaving: set[str] = set()
        self._to_make: set[str] = set()
        self._all_made = all_made
        if project is not None:
            for key, network in project.networks.items():
                if (found := observed.network(network.name)) is not None:
                    self.networks[key] = found.config.id
            if (found := observed.network("bridge")) is not None:
                self.networks.setdefault("bridge", found.config.id)

    def begin(self, plan: Plan) -> None:
        """Note what *plan* is going to replace and remove."""
        for operation in plan:
            if isinstance(operation, CreateContainer) and operation.replaces:
                self._replaces[operation.replaces] = operation.key
            if isinstance(operation, CreateContainer):
                self._to_make.add(operation.key)
            if isinstance(operation, RemoveContainer):
                self._leaving.add(operation.container)
        if not self._to_make and self._all_made is not None:
            self._all_made()

    def note_made(self, operation: CreateContainer, state: ContainerState) -> None:
        """Note the container that *operation* made."""
        self.made[operation.key] = state
        self.names[state.id] = operation.name
        self.watcher.put(state)
        self._to_make.discard(operation.key)
        if not self._to_make and self._all_made is not None:
            self._all_made()

    def resolve(self, reference: str) -> str:
        """The id behind a reference of a plan, which is an id or the key of a `CreateContainer`."""
        made = self.made.get(reference)
        return made.id if made is not None else reference

    def name(self, container_id: str) -> str:
        """The name of a container as users know it."""
        return self.names.get(container_id, container_id[:12])

    def is_replaced(self, container_id: str) -> bool:
        """Whether the plan puts another container in the place of this one."""
        return container_id in self._replaces

    def state(self, container_id: str) -> ContainerState | None:
        """The latest known state of a container of the project."""
        found = self.watcher.states.get(container_id)
        if found is None:
            found = next((item for item in self.observed.containers if item.id == container_id), None)
        return found

    def surroundings(self) -> Surroundings:
        """The snapshot from which a container's configuration is made."""
        if self.project is None:
            raise AssertionError("a plan without a project makes no containers")
        replicas: dict[str, list[ContainerState]] = {}
        for item in self.observed.containers:
            if labels.is_one_off(item) or self.observed.is_half_made(item):
                continue
            current: ContainerState | None = item
            if item.id in self._replaces:
                current = self.made.get(self._replaces[item.id])
            elif item.id in self._leaving:
                current = None
            if current is not None:
                replicas.setdefault(labels.service_of(item), []).append(current)
        known = {item.id for items in replicas.values() for item in items}
        for item in self.made.values():
            if item.id not in known and not labels.is_one_off(item):
                replicas.setdefault(labels.service_of(item), []).append(item)
        return Surroundings(
            project=self.project,
            images=self.service_images,
            mounted_images=self.mounted_images,
            networks=self.networks,
            replicas={
                service: tuple(sorted(items, key=labels.number_of)) for service, items in replicas.items()
            },
            others=self.others,
            anonymous=frozenset(
                volume.config.name for volume in self.observed.volumes if volume.config.anonymous
            ),
        )


def new_id() -> str:
    """A fresh id for a container, a network or an anonymous volume: 64 hex digits."""
    return secrets.token_hex(32)
