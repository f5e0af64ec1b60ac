"""`Project` and everything in it: a canonical Compose document as frozen values.

Built from the canonical document of `composer.spec.load` (what `composer config --format json` shows,
before it is escaped for output), so that the same class serves a file just read, an agent that got the
document over a socket, and a test. Every attribute of the Compose specification has a field of the same
name. Units: durations are seconds (float), sizes are bytes (int), file modes are ints. A field that a file
does not set is None or empty; defaults of the runtime are not filled in here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, TypeAlias

from composer.errors import Location
from composer.frozen import frozen
from composer.spec.decode import Bytes, Seconds, build
from composer.spec.parts import (
    BindOptions,
    BlkioConfig,
    Build,
    CredentialSpec,
    Dependency,
    Deploy,
    DeployRestartPolicy,
    Develop,
    DeviceMapping,
    DeviceRequest,
    DiscreteResource,
    EnvFile,
    Environment,
    FileReference,
    GenericResource,
    Healthcheck,
    Hook,
    ImageOptions,
    Labels,
    Logging,
    Mount,
    Placement,
    PlacementPreference,
    Port,
    Provider,
    Resource,
    Resources,
    ServiceModel,
    ServiceNetwork,
    ThrottleDevice,
    TmpfsOptions,
    Ulimit,
    UpdateConfig,
    VolumeOptions,
    WatchRule,
    WeightDevice,
)
from composer.spec.tree import nearest

Document: TypeAlias = Mapping[str, Any]
"""A canonical JSON document, or a part of it."""


@frozen
class Service:
    """One service. `command` and `entrypoint` None: the image's; `()`: cleared."""

    name: str
    annotations: Labels = field(default_factory=dict)
    attach: bool | None = None
    blkio_config: BlkioConfig | None = None
    build: Build | None = None
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    cgroup: str = ""
    cgroup_parent: str = ""
    command: tuple[str, ...] | None = None
    configs: tuple[FileReference, ...] = ()
    container_name: str = ""
    cpu_count: int | None = None
    cpu_percent: float | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    cpu_rt_period: int | None = None
    cpu_rt_runtime: int | None = None
    cpu_shares: int | None = None
    cpus: float | None = None
    cpuset: str = ""
    credential_spec: CredentialSpec | None = None
    depends_on: Mapping[str, Dependency] = field(default_factory=dict)
    deploy: Deploy | None = None
    develop: Develop | None = None
    device_cgroup_rules: tuple[str, ...] = ()
    devices: tuple[DeviceMapping, ...] = ()
    dns: tuple[str, ...] = ()
    dns_opt: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    domainname: str = ""
    entrypoint: tuple[str, ...] | None = None
    env_file: tuple[EnvFile, ...] = ()
    environment: Environment = field(default_factory=dict)
    expose: tuple[str, ...] = ()
    external_links: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    gpus: tuple[DeviceRequest, ...] = ()
    group_add: tuple[str, ...] = ()
    healthcheck: Healthcheck | None = None
    hostname: str = ""
    image: str = ""
    init: bool | None = None
    ipc: str = ""
    isolation: str = ""
    label_file: tuple[str, ...] = ()
    labels: Labels = field(default_factory=dict)
    links: tuple[str, ...] = ()
    logging: Logging | None = None
    mac_address: str = ""
    mem_limit: Bytes | None = None
    mem_reservation: Bytes | None = None
    mem_swappiness: Bytes | None = None
    memswap_limit: Bytes | None = None
    models: Mapping[str, ServiceModel] = field(default_factory=dict)
    network_mode: str = ""
    networks: Mapping[str, ServiceNetwork] = field(default_factory=dict)
    oom_kill_disable: bool = False
    oom_score_adj: int | None = None
    pid: str = ""
    pids_limit: int | None = None
    platform: str = ""
    ports: tuple[Port, ...] = ()
    post_start: tuple[Hook, ...] = ()
    pre_start: tuple[Hook, ...] = ()
    pre_stop: tuple[Hook, ...] = ()
    privileged: bool = False
    profiles: tuple[str, ...] = ()
    provider: Provider | None = None
    pull_policy: str = ""
    read_only: bool = False
    restart: str = ""
    runtime: str = ""
    scale: int | None = None
    secrets: tuple[FileReference, ...] = ()
    security_opt: tuple[str, ...] = ()
    shm_size: Bytes | None = None
    stdin_open: bool = False
    stop_grace_period: Seconds | None = None
    stop_signal: str = ""
    storage_opt: Mapping[str, str] = field(default_factory=dict)
    sysctls: Mapping[str, str] = field(default_factory=dict)
    tmpfs: tuple[str, ...] = ()
    tty: bool = False
    ulimits: Mapping[str, Ulimit] = field(default_factory=dict)
    use_api_socket: bool = False
    user: str = ""
    userns_mode: str = ""
    uts: str = ""
    volumes: tuple[Mount, ...] = ()
    volumes_from: tuple[str, ...] = ()
    working_dir: str = ""
    extensions: Mapping[str, Any] = field(default_factory=dict)

    @property
    def replicas(self) -> int:
        """How many containers it wants: `scale`, else `deploy.replicas`, else 1."""
        if self.scale is not None:
            return self.scale
        if self.deploy is not None and self.deploy.replicas is not None:
            return self.deploy.replicas
        return 1


@frozen
class IpamPool:
    """One address pool; CIDR strings."""

    subnet: str = ""
    ip_range: str = ""
    gateway: str = ""
    aux_addresses: Mapping[str, str] = field(default_factory=dict)


@frozen
class Ipam:
    """Address management of a network."""

    driver: str = ""
    config: tuple[IpamPool, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


@frozen
class Network:
    """A network; `name` is its real name on this machine."""

    name: str
    driver: str = ""
    driver_opts: Mapping[str, str] = field(default_factory=dict)
    ipam: Ipam = field(default_factory=Ipam)
    external: bool = False
    internal: bool = False
    attachable: bool = False
    labels: Labels = field(default_factory=dict)
    enable_ipv4: bool | None = None
    enable_ipv6: bool | None = None
    extensions: Mapping[str, Any] = field(default_factory=dict)


@frozen
class Volume:
    """A named volume; `name` is its real name on this machine."""

    name: str
    driver: str = ""
    driver_opts: Mapping[str, str] = field(default_factory=dict)
    external: bool = False
    labels: Labels = field(default_factory=dict)
    extensions: Mapping[str, Any] = field(default_factory=dict)


@frozen
class FileObject:
    """A config or a secret.

    Attributes:
        name: Its real name.
        file: Absolute path of its source, or empty.
        environment: Variable that holds it, or empty.
        content: Its text, for `content` as for a variable that is set; None: not known.
        external: Made by somebody else.
        labels: Metadata.
        driver: Secret driver.
        driver_opts: Options of the driver.
        template_driver: Template engine.
    """

    name: str
    file: str = ""
    environment: str = ""
    content: str | None = None
    external: bool = False
    labels: Labels = field(default_factory=dict)
    driver: str = ""
    driver_opts: Mapping[str, str] = field(default_factory=dict)
    template_driver: str = ""
    extensions: Mapping[str, Any] = field(default_factory=dict)


@frozen
class Model:
    """An AI model; refused before anything starts."""

    name: str = ""
    model: str = ""
    context_size: int = 0
    runtime_flags: tuple[str, ...] = ()
    extensions: Mapping[str, Any] = field(default_factory=dict)


@frozen
class Project:
    """A whole application.

    Attributes:
        name: Project name.
        services: Active services by key.
        disabled_services: Services that no active profile or selection includes.
        networks: By key; only those in use unless all were asked for.
        volumes: By key.
        configs: By key.
        secrets: By key.
        models: By key.
        extensions: Top-level `x-` entries.
        working_dir: Absolute project directory.
        config_files: Absolute paths, in order.
        env_files: Absolute paths given with --env-file.
        environment: The project environment (process, then env files).
        profiles: Active profiles.
        locations: Where each element of the document was written.
        document: The canonical document itself; `service_config_hash` reads it.
    """

    name: str
    services: Mapping[str, Service]
    disabled_services: Mapping[str, Service]
    networks: Mapping[str, Network]
    volumes: Mapping[str, Volume]
    configs: Mapping[str, FileObject]
    secrets: Mapping[str, FileObject]
    models: Mapping[str, Model]
    extensions: Mapping[str, Any]
    working_dir: str
    config_files: tuple[str, ...]
    env_files: tuple[str, ...]
    environment: Mapping[str, str]
    profiles: tuple[str, ...]
    locations: Mapping[str, Location]
    document: Document

    @classmethod
    def from_canonical(
        cls,
        document: Document,
        *,
        disabled: Mapping[str, Document] | None = None,
        locations: Mapping[str, Location | tuple[str, int, int]] | None = None,
        working_dir: str = "/",
        config_files: tuple[str, ...] = (),
        env_files: tuple[str, ...] = (),
        environment: Mapping[str, str] | None = None,
        profiles: tuple[str, ...] = (),
    ) -> Project:
        """Build a project from a canonical document (`LoadedProject.document`).

        Args:
            document: The canonical document.
            disabled: Canonical services that are not active, by key.
            locations: YAML path to place; plain triples, as they come over a socket, are accepted.
            working_dir: Absolute project directory.
            config_files: Absolute paths of the Compose files.
            env_files: Absolute paths given with --env-file.
            environment: The project environment.
            profiles: Active profiles.

        Raises:
            TypeError: The document is not canonical.
        """
        return cls(
            name=document["name"],
            services=_named(Service, document.get("services")),
            disabled_services=_named(Service, disabled),
            networks=_named(Network, document.get("networks")),
            volumes=_named(Volume, document.get("volumes")),
            configs=_named(FileObject, document.get("configs")),
            secrets=_named(FileObject, document.get("secrets")),
            models=_named(Model, document.get("models")),
            extensions={key: value for key, value in document.items() if key.startswith("x-")},
            working_dir=working_dir,
            config_files=config_files,
            env_files=env_files,
            environment=environment or {},
            profiles=profiles,
            locations={path: Location(*place) for path, place in (locations or {}).items()},
            document=document,
        )

    def locate(self, path: str) -> Location | None:
        """The place of *path* in a file, or of the nearest element above it that has one."""
        return nearest(self.locations, path)

    def project_label_values(self) -> Mapping[str, str]:
        """The `com.docker.compose.project*` labels of its containers."""
        labels = {
            "com.docker.compose.project": self.name,
            "com.docker.compose.project.working_dir": self.working_dir,
            "com.docker.compose.project.config_files": ",".join(self.config_files),
        }
        if self.env_files:
            labels["com.docker.compose.project.environment_file"] = ",".join(self.env_files)
        return labels


def _named(kind: Any, documents: Mapping[str, Any] | None) -> dict[str, Any]:
    """Values of *kind* for each entry; the key is its name unless the entry says otherwise."""
    return {key: build(kind, {"name": key, **(entry or {})}) for key, entry in (documents or {}).items()}


__all__ = [
    "BindOptions",
    "BlkioConfig",
    "Build",
    "CredentialSpec",
    "Dependency",
    "Deploy",
    "DeployRestartPolicy",
    "Develop",
    "DeviceMapping",
    "DeviceRequest",
    "DiscreteResource",
    "Document",
    "EnvFile",
    "Environment",
    "FileObject",
    "FileReference",
    "GenericResource",
    "Healthcheck",
    "Hook",
    "ImageOptions",
    "Ipam",
    "IpamPool",
    "Labels",
    "Logging",
    "Model",
    "Mount",
    "Network",
    "Placement",
    "PlacementPreference",
    "Port",
    "Project",
    "Provider",
    "Resource",
    "Resources",
    "Service",
    "ServiceModel",
    "ServiceNetwork",
    "ThrottleDevice",
    "TmpfsOptions",
    "Ulimit",
    "UpdateConfig",
    "Volume",
    "VolumeOptions",
    "WatchRule",
    "WeightDevice",
]
