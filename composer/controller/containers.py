"""A service and what it refers to, turned into what an engine is asked for; compose-reference.md section 3.

No engine is called here: ids of networks and containers are handed in as `Surroundings`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from composer import __version__
from composer.controller import labels
from composer.controller.connections import attachments, name_servers, published_ports
from composer.controller.divergence import expected_hash, files_hash, network_hash, volume_hash
from composer.controller.mounts import Mounts, build_mounts, inherited_volumes, written_files
from composer.controller.process import (
    build_process,
    devices,
    health_check,
    resources,
    restart_policy,
    security_options,
)
from composer.controller.surroundings import first_replica, other_container
from composer.engine import (
    ContainerConfig,
    IpamPool,
    LogConfig,
    NetworkConfig,
    VolumeConfig,
)
from composer.errors import ComposerError, SpecError
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from composer.controller.surroundings import Surroundings
    from composer.engine import ContainerState
    from composer.images.store import Image
    from composer.spec.model import Project, Service

KNOWN_LOG_DRIVERS = frozenset({"", "json-file", "local", "none"})
"""Others are kept as json-file, with a warning, so that `logs` always works."""


@frozen
class Identity:
    """What sets one container of a service apart from the next.

    Attributes:
        id: 64 hex digits.
        name: Its name, when it is made.
        number: Replica number; 0 for a one-off container.
        replaces: The container it takes the place of.
        inherit_volumes: Take over that container's anonymous volumes.
        final_name: The name it gets once the replaced one is gone, when that is another one.
        slug: For one-off containers.
        hook: For containers of hooks: `pre_start`.
    """

    id: str
    name: str
    number: int = 0
    replaces: ContainerState | None = None
    inherit_volumes: bool = True
    final_name: str = ""
    slug: str = ""
    hook: str = ""


def container_config(
    surroundings: Surroundings,
    service: Service,
    identity: Identity,
    *,
    new_volume: Callable[[], str],
    aliases: bool = True,
) -> tuple[ContainerConfig, list[VolumeConfig]]:
    """The configuration of one container, and the anonymous volumes that must exist before it.

    Args:
        surroundings: See `Surroundings`.
        service: The service; for `run` an altered copy.
        identity: See `Identity`.
        new_volume: Makes a name for an anonymous volume.
        aliases: Answer to the service's names on its networks.

    Raises:
        SpecError: The file asks for something contradictory or unknown.
        NotFoundError: A container that is referred to does not exist.
        UnsupportedError: This engine cannot do what is asked for.
    """
    try:
        return _container_config(surroundings, service, identity, new_volume, aliases=aliases)
    except ComposerError as error:
        if error.path and error.where is None:
            error.where = surroundings.project.locate(error.path)
        raise


def _container_config(
    surroundings: Surroundings,
    service: Service,
    identity: Identity,
    new_volume: Callable[[], str],
    *,
    aliases: bool,
) -> tuple[ContainerConfig, list[VolumeConfig]]:
    project, image = surroundings.project, surroundings.images[service.name]
    mode = _namespace(surroundings, service, "network_mode")
    networked = mode in ("", "bridge")
    mounts = _mounts(surroundings, service, identity, new_volume)
    ports = published_ports(service)
    if ports and mode.startswith("container:"):
        raise SpecError(
            "ports cannot be published by a service that uses another one's network",
            hint="publish them on the service that owns the network",
            path=f"services.{service.name}.ports",
        )
    config = ContainerConfig(
        id=identity.id,
        name=identity.name,
        project=project.name,
        service=service.name,
        labels=_labels(surroundings, service, identity, image),
        image=service.image or f"{project.name}-{service.name}",
        image_id=image.id,
        layers=image.layer_dirs,
        process=build_process(service, image.config),
        hostname=service.hostname,
        domainname=service.domainname,
        read_only=service.read_only,
        privileged=service.privileged,
        init=bool(service.init),
        mounts=mounts.mounts,
        devices=devices(service),
        sysctls={key: str(value) for key, value in service.sysctls.items()},
        resources=resources(service),
        cgroup_parent=service.cgroup_parent,
        shm_size=service.shm_size or 64 * 1024 * 1024,
        stop_signal=service.stop_signal or image.config.stop_signal or "SIGTERM",
        stop_timeout=10.0 if service.stop_grace_period is None else service.stop_grace_period,
        restart=restart_policy(service),
        healthcheck=health_check(service, image.config),
        log=_log(service),
        network_mode="bridge" if networked else mode,
        attachments=attachments(surroundings, service, aliases=aliases) if networked else (),
        ports=ports if networked else (),
        extra_hosts=service.extra_hosts,
        dns=name_servers(service),
        dns_search=service.dns_search,
        dns_options=service.dns_opt,
        pid_mode=_namespace(surroundings, service, "pid"),
        ipc_mode="" if service.ipc == "private" else _namespace(surroundings, service, "ipc"),
        uts_mode="" if service.uts == "private" else service.uts,
        cgroup_mode="" if service.cgroup == "private" else service.cgroup,
        userns_mode=service.userns_mode,
        security_opt=security_options(service, project),
        created=time.time(),
    )
    return config, mounts.anonymous


def _mounts(
    surroundings: Surroundings, service: Service, identity: Identity, new_volume: Callable[[], str]
) -> Mounts:
    shared = []
    for entry in service.volumes_from:
        words = entry.removeprefix("container:").split(":")
        read_only = words[1:] == ["ro"]
        owner = (
            other_container(surroundings, words[0], service, "volumes_from")
            if entry.startswith("container:")
            else first_replica(surroundings, words[0], service, "volumes_from")
        )
        shared.append((owner, read_only))
    inherit = identity.replaces if identity.inherit_volumes else None
    return build_mounts(
        surroundings.project,
        service,
        image_volumes=surroundings.images[service.name].config.volumes,
        mounted_images=surroundings.mounted_images,
        shared=shared,
        inherited=inherited_volumes(inherit, surroundings.anonymous),
        new_volume=new_volume,
    )


def _labels(surroundings: Surroundings, service: Service, identity: Identity, image: Image) -> dict[str, str]:
    project = surroundings.project
    owners = {name: items[0].id for name, items in surroundings.replicas.items() if items}
    own = {
        labels.CONFIG_HASH: expected_hash(project, service.name, owners),
        labels.DEPENDS_ON: depends_on_label(service),
        labels.IMAGE: image.id,
        labels.ONE_OFF: "False" if identity.number else "True",
        labels.SERVICE: service.name,
        labels.VERSION: __version__,
    }
    if identity.number:
        own[labels.NUMBER] = str(identity.number)
    if identity.slug:
        own[labels.SLUG] = identity.slug
    if identity.hook:
        own[labels.HOOK] = identity.hook
    if identity.final_name:
        own[labels.REPLACE] = identity.final_name
    if mounted := image_mounts_label(service, surroundings.mounted_images):
        own[labels.IMAGE_VOLUMES] = mounted
    if digest := files_hash(written_files(project, service)):
        own[labels.FILES_HASH] = digest
    return {
        **image.config.labels,
        **service.annotations,
        **service.labels,
        **project.project_label_values(),
        **own,
    }


def depends_on_label(service: Service) -> str:
    """`db:service_healthy:false,...`: how `down` without a file knows the order."""
    from composer.graph import edges_of

    return ",".join(
        f"{edge.needs}:{edge.condition}:{'true' if edge.restart else 'false'}" for edge in edges_of(service)
    )


def image_mounts_label(service: Service, mounted: Mapping[str, Image]) -> str:
    """`target=digest,...` of a service's image mounts; empty when it has none."""
    return ",".join(
        f"{mount.target}={mounted[mount.source].id}"
        for mount in service.volumes
        if mount.type == "image" and mount.source in mounted
    )


# Namespaces that are shared


def _namespace(surroundings: Surroundings, service: Service, attribute: str) -> str:
    """The engine's word: `service:x` and `container:name` become `container:<id>`."""
    value: str = getattr(service, attribute)
    if value.startswith("service:"):
        owner = first_replica(surroundings, value.removeprefix("service:"), service, attribute)
        return f"container:{owner.id}"
    if value.startswith("container:"):
        owner = other_container(surroundings, value.removeprefix("container:"), service, attribute)
        return f"container:{owner.id}"
    return value


def _log(service: Service) -> LogConfig:
    if service.logging is None:
        return LogConfig()
    options = {key: str(value or "") for key, value in service.logging.options.items()}
    if service.logging.driver == "none":
        return LogConfig("none")
    if service.logging.driver not in KNOWN_LOG_DRIVERS:
        options = {key: value for key, value in options.items() if key in ("max-size", "max-file")}
    return LogConfig("json-file", options)


# Networks and volumes of the file


def network_config(project: Project, key: str, network_id: str) -> NetworkConfig:
    """What the engine is asked for, for a network of the file (or the machine's default bridge)."""
    network = project.networks.get(key)
    if network is None:
        return NetworkConfig(id=network_id, name=key, created=time.time())
    return NetworkConfig(
        id=network_id,
        name=network.name,
        project=project.name,
        driver=network.driver or "bridge",
        labels={
            **network.labels,
            labels.CONFIG_HASH: network_hash(project, key),
            labels.NETWORK: key,
            labels.PROJECT: project.name,
            labels.VERSION: __version__,
        },
        options={name: str(value) for name, value in network.driver_opts.items()},
        internal=network.internal,
        attachable=network.attachable,
        enable_ipv4=network.enable_ipv4 is not False,
        enable_ipv6=bool(network.enable_ipv6),
        pools=tuple(
            IpamPool(pool.subnet, pool.gateway, pool.ip_range, pool.aux_addresses)
            for pool in network.ipam.config
        ),
        created=time.time(),
    )


def volume_config(project: Project, key: str) -> VolumeConfig:
    """What the engine is asked for, for a volume of the file."""
    volume = project.volumes[key]
    return VolumeConfig(
        name=volume.name,
        project=project.name,
        driver=volume.driver or "local",
        labels={
            **volume.labels,
            labels.CONFIG_HASH: volume_hash(project, key),
            labels.PROJECT: project.name,
            labels.VERSION: __version__,
            labels.VOLUME: key,
        },
        options={name: str(value) for name, value in volume.driver_opts.items()},
        created=time.time(),
    )
