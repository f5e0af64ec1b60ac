"""What `up` has to do about networks and volumes; pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from composer.controller import labels
from composer.controller.divergence import network_hash, volume_hash
from composer.controller.observe import ACTIVE
from composer.controller.plan import (
    ConnectNetwork,
    CreateNetwork,
    CreateVolume,
    DisconnectNetwork,
    Operation,
    RemoveNetwork,
    RemoveVolume,
    StopContainer,
)
from composer.errors import NotFoundError, SpecError

if TYPE_CHECKING:
    from composer.controller.observe import Observed
    from composer.engine import NetworkState
    from composer.spec.model import Project

DEFAULT_BRIDGE = "bridge"
"""The network of `network_mode: bridge`: one for the machine, without a project, without names."""


@dataclass(slots=True)
class ResourcePlan:
    """The operations on networks or on volumes, and what the services must know of them.

    Attributes:
        operations: What to do.
        warnings: Sentences for the user.
        existing: By key: network id or volume name of what exists and stays.
        created: By key: the operation that makes it.
        recreated: Keys of what is made anew.
        stopped: Ids of containers that are stopped because their network is made anew.
        reconnected: By container id: operations after which it may start again.
    """

    operations: list[Operation] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    existing: dict[str, str] = field(default_factory=dict)
    created: dict[str, str] = field(default_factory=dict)
    recreated: set[str] = field(default_factory=set)
    stopped: set[str] = field(default_factory=set)
    reconnected: dict[str, tuple[str, ...]] = field(default_factory=dict)


def plan_networks(project: Project, observed: Observed, services: tuple[str, ...]) -> ResourcePlan:
    """The networks that *services* use.

    Raises:
        NotFoundError: An external network does not exist.
    """
    result = ResourcePlan()
    keys: dict[str, None] = {}
    for name in services:
        service = project.services[name]
        keys.update(dict.fromkeys(service.networks))
        if service.network_mode == "bridge":
            keys[DEFAULT_BRIDGE] = None
    for key in keys:
        wanted = project.networks.get(key)
        name = wanted.name if wanted else DEFAULT_BRIDGE
        found = observed.network(name)
        path = f"networks.{key}"
        if found is None:
            if wanted and wanted.external:
                raise NotFoundError(
                    f"network {name} declared as external, but could not be found",
                    hint="create it first, or remove `external: true`",
                    where=project.locate(path),
                    path=path,
                )
            operation = CreateNetwork(
                key=f"create network {name}", name=name, network=key, reason="it does not exist"
            )
            result.operations.append(operation)
            result.created[key] = operation.key
            continue
        result.existing[key] = found.config.id
        if wanted is None or wanted.external:
            continue
        own = found.config.labels
        if own.get(labels.PROJECT) != project.name:
            result.warnings.append(
                f"a network with name {name} exists but was not created for project "
                f'"{project.name}". Set `external: true` to use an existing network'
            )
        elif own.get(labels.CONFIG_HASH) != network_hash(project, key):
            _recreate_network(project, observed, key, found, result)
    return result


def _recreate_network(
    project: Project, observed: Observed, key: str, network: NetworkState, result: ResourcePlan
) -> None:
    """Stop its containers, disconnect, remove, create under the same id, reconnect."""
    name, reason = network.config.name, "its configuration changed"
    members = [
        container
        for container in observed.containers
        if any(item.network == network.config.id for item in container.config.attachments)
        or any(item.network == network.config.id for item in container.endpoints)
    ]
    gates = []
    for container in members:
        after: tuple[str, ...] = ()
        if container.status in ACTIVE:
            stop = f"stop {container.name} for network {name}"
            result.operations.append(
                StopContainer(
                    key=stop,
                    name=container.name,
                    container=container.id,
                    service=labels.service_of(container),
                    reason=f"network {name} is made anew",
                )
            )
            result.stopped.add(container.id)
            after = (stop,)
        gates.append(f"disconnect {container.name} {name}")
        result.operations.append(
            DisconnectNetwork(
                key=gates[-1],
                name=container.name,
                container=container.id,
                id=network.config.id,
                service=labels.service_of(container),
                after=after,
                reason=f"network {name} is made anew",
            )
        )
    remove = RemoveNetwork(
        key=f"remove network {name}", name=name, id=network.config.id, after=tuple(gates), reason=reason
    )
    create = CreateNetwork(
        key=f"create network {name}",
        name=name,
        network=key,
        id=network.config.id,
        after=(remove.key,),
        reason=reason,
    )
    result.operations += [remove, create]
    result.created[key] = create.key
    result.recreated.add(key)
    for container in members:
        service = project.services.get(labels.service_of(container))
        if service is None or key not in service.networks:
            continue
        connect = ConnectNetwork(
            key=f"connect {container.name} {name}",
            name=container.name,
            container=container.id,
            network=key,
            service=service.name,
            after=(create.key,),
            reason=f"network {name} is made anew",
        )
        result.operations.append(connect)
        before = result.reconnected.get(container.id, ())
        result.reconnected[container.id] = (*before, connect.key)


def plan_volumes(
    project: Project, observed: Observed, services: tuple[str, ...], *, recreate: bool
) -> ResourcePlan:
    """The named volumes that *services* use.

    Args:
        project: What is wanted.
        observed: What there is.
        services: The services to look at.
        recreate: A volume whose configuration changed may be removed, with its data, and made anew.

    Raises:
        NotFoundError: An external volume does not exist.
        SpecError: A volume is used that the file does not define.
    """
    result = ResourcePlan()
    keys: dict[str, None] = {}
    for name in services:
        for position, mount in enumerate(project.services[name].volumes):
            if mount.type != "volume" or not mount.source:
                continue
            if mount.source not in project.volumes:
                path = f"services.{name}.volumes[{position}]"
                raise SpecError(
                    f'service "{name}" refers to undefined volume {mount.source}',
                    where=project.locate(path),
                    path=path,
                )
            keys[mount.source] = None
    for key in keys:
        wanted = project.volumes[key]
        found = observed.volume(wanted.name)
        path = f"volumes.{key}"
        if found is None:
            if wanted.external:
                raise NotFoundError(
                    f'external volume "{wanted.name}" not found',
                    hint="create it first, or remove `external: true`",
                    where=project.locate(path),
                    path=path,
                )
            _create_volume(result, key, wanted.name, (), "it does not exist")
            continue
        result.existing[key] = wanted.name
        own = found.config.labels
        if wanted.external:
            continue
        if own.get(labels.PROJECT) != project.name:
            result.warnings.append(
                f'volume "{wanted.name}" already exists but was not created for project '
                f'"{project.name}". Use `external: true` to use an existing volume'
            )
        elif own.get(labels.CONFIG_HASH) not in (None, volume_hash(project, key)):
            if recreate:
                _recreate_volume(observed, key, wanted.name, result)
            else:
                result.warnings.append(
                    f'volume "{wanted.name}" exists but does not match its configuration any more; it is '
                    "used as it is. Run the command with -y to remove it with its data and make it anew"
                )
    return result


def _create_volume(result: ResourcePlan, key: str, name: str, after: tuple[str, ...], reason: str) -> None:
    operation = CreateVolume(key=f"create volume {name}", name=name, volume=key, after=after, reason=reason)
    result.operations.append(operation)
    result.created[key] = operation.key


def _recreate_volume(observed: Observed, key: str, name: str, result: ResourcePlan) -> None:
    """Remove and create; the containers that use it are made anew by the services' part of the plan."""
    reason = "its configuration changed"
    users = [
        container
        for container in observed.containers
        if any(mount.type == "volume" and mount.source == name for mount in container.config.mounts)
    ]
    gates = tuple(f"remove {container.id[:12]}_{container.name}" for container in users)
    result.operations.append(RemoveVolume(key=f"remove volume {name}", name=name, after=gates, reason=reason))
    _create_volume(result, key, name, (f"remove volume {name}",), reason)
    result.recreated.add(key)
