"""The parts of a service: what stands below one attribute of a Compose file, as frozen values.

See `composer.spec.model` for units and for how they are built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any, TypeAlias

from composer.frozen import frozen
from composer.spec.decode import Bytes, Mode, Seconds  # noqa: TC001 - decode reads the annotations

Labels: TypeAlias = Mapping[str, str]
Environment: TypeAlias = Mapping[str, str | None]
"""A None value: the key is not passed (it was inherited from an environment that lacks it)."""


@frozen
class Ulimit:
    """One resource limit; a file's single number sets both."""

    soft: int
    hard: int


@frozen
class FileReference:
    """How a service or a build uses a config or a secret.

    Attributes:
        source: Key of the top-level config or secret.
        target: Path in the container; a relative one starts from `/` for a config and from `/run/secrets`
            for a secret, an empty target of a config means `/<source>`. In a build, the id.
        uid: Owner, or empty.
        gid: Group, or empty.
        mode: Permission bits, or None for the default 0444.
    """

    source: str = ""
    target: str = ""
    uid: str = ""
    gid: str = ""
    mode: Mode | None = None


@frozen
class Build:
    """How the image is made. `context` is an absolute directory or a URL."""

    context: str = "."
    dockerfile: str = ""
    dockerfile_inline: str = ""
    entitlements: tuple[str, ...] = ()
    args: Environment = field(default_factory=dict)
    provenance: str = ""
    sbom: str = ""
    ssh: tuple[str, ...] = ()
    labels: Labels = field(default_factory=dict)
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    no_cache: bool = False
    no_cache_filter: tuple[str, ...] = ()
    additional_contexts: Mapping[str, str] = field(default_factory=dict)
    pull: bool = False
    extra_hosts: tuple[str, ...] = ()
    isolation: str = ""
    network: str = ""
    target: str = ""
    secrets: tuple[FileReference, ...] = ()
    shm_size: Bytes | None = None
    tags: tuple[str, ...] = ()
    ulimits: Mapping[str, Ulimit] = field(default_factory=dict)
    platforms: tuple[str, ...] = ()
    privileged: bool = False
    extensions: Mapping[str, Any] = field(default_factory=dict)


@frozen
class WeightDevice:
    """Block I/O weight (10-1000) of one device."""

    path: str = ""
    weight: int = 0


@frozen
class ThrottleDevice:
    """Block I/O limit of one device: bytes or operations per second."""

    path: str = ""
    rate: Bytes = 0


@frozen
class BlkioConfig:
    """Block I/O limits."""

    weight: int = 0
    weight_device: tuple[WeightDevice, ...] = ()
    device_read_bps: tuple[ThrottleDevice, ...] = ()
    device_read_iops: tuple[ThrottleDevice, ...] = ()
    device_write_bps: tuple[ThrottleDevice, ...] = ()
    device_write_iops: tuple[ThrottleDevice, ...] = ()


@frozen
class CredentialSpec:
    """Windows only; refused before anything starts."""

    config: str = ""
    file: str = ""
    registry: str = ""


@frozen
class Dependency:
    """One edge of `depends_on`.

    `condition` is service_started, service_healthy or service_completed_successfully.
    """

    condition: str = "service_started"
    restart: bool = False
    required: bool = True


@frozen
class DeviceRequest:
    """A request for accelerators (`gpus`, `deploy.resources.reservations.devices`); count -1 is all."""

    capabilities: tuple[str, ...] = ()
    driver: str = ""
    count: int = 0
    device_ids: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


@frozen
class DiscreteResource:
    """A counted resource of a cluster node; ignored on one machine."""

    kind: str = ""
    value: int = 0


@frozen
class GenericResource:
    """See `DiscreteResource`."""

    discrete_resource_spec: DiscreteResource = field(default_factory=DiscreteResource)


@frozen
class Resource:
    """`limits` or `reservations`; None means: not given."""

    cpus: float | None = None
    memory: Bytes | None = None
    pids: int | None = None
    devices: tuple[DeviceRequest, ...] = ()
    generic_resources: tuple[GenericResource, ...] = ()


@frozen
class Resources:
    """Limits override the service-level fields of the same meaning."""

    limits: Resource | None = None
    reservations: Resource | None = None


@frozen
class DeployRestartPolicy:
    """Wins over `Service.restart`. `condition` is none, on-failure or any (the default)."""

    condition: str = ""
    delay: Seconds | None = None
    max_attempts: int | None = None
    window: Seconds | None = None


@frozen
class UpdateConfig:
    """Rolling update of a cluster; `order` is start-first or stop-first."""

    parallelism: int | None = None
    delay: Seconds | None = None
    failure_action: str = ""
    monitor: Seconds | None = None
    max_failure_ratio: float = 0.0
    order: str = ""


@frozen
class PlacementPreference:
    """Spread over the values of a node label."""

    spread: str = ""


@frozen
class Placement:
    """Where a cluster may put containers."""

    constraints: tuple[str, ...] = ()
    preferences: tuple[PlacementPreference, ...] = ()
    max_replicas_per_node: int = 0


@frozen
class Deploy:
    """The deployment section; replicas, resources and restart_policy mean something on one machine."""

    mode: str = ""
    replicas: int | None = None
    labels: Labels = field(default_factory=dict)
    update_config: UpdateConfig | None = None
    rollback_config: UpdateConfig | None = None
    resources: Resources = field(default_factory=Resources)
    restart_policy: DeployRestartPolicy | None = None
    placement: Placement = field(default_factory=Placement)
    endpoint_mode: str = ""


@frozen
class Hook:
    """A command run in (post_start, pre_stop) or before (pre_start, with `image`) a container."""

    command: tuple[str, ...] = ()
    user: str = ""
    privileged: bool = False
    working_dir: str = ""
    environment: Environment = field(default_factory=dict)
    image: str = ""
    per_replica: bool = False


@frozen
class WatchRule:
    """What `composer watch` does when something under `path` (absolute) changes.

    `action` is sync, rebuild, restart, sync+restart or sync+exec.
    """

    path: str = ""
    action: str = ""
    target: str = ""
    exec: Hook = field(default_factory=Hook)
    include: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    initial_sync: bool = False


@frozen
class Develop:
    """Rules for `composer watch`."""

    watch: tuple[WatchRule, ...] = ()


@frozen
class DeviceMapping:
    """A host device given to the container; `permissions` is a subset of `rwm`."""

    source: str = ""
    target: str = ""
    permissions: str = ""


@frozen
class EnvFile:
    """An env file that was folded into `environment`; kept with --no-env-resolution only."""

    path: str = ""
    required: bool = True
    format: str = ""


@frozen
class Healthcheck:
    """A probe. Unset fields (None, empty `test`) fall back to the image's, then to the engine's."""

    test: tuple[str, ...] = ()
    timeout: Seconds | None = None
    interval: Seconds | None = None
    retries: int | None = None
    start_period: Seconds | None = None
    start_interval: Seconds | None = None
    disable: bool = False


@frozen
class Logging:
    """Log driver and its options."""

    driver: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


@frozen
class ServiceModel:
    """How a service uses a model; empty variables have their default names."""

    endpoint_var: str = ""
    model_var: str = ""


@frozen
class ServiceNetwork:
    """How a service joins a network. Highest `priority` is the main one, highest `gw_priority` routes."""

    aliases: tuple[str, ...] = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    link_local_ips: tuple[str, ...] = ()
    mac_address: str = ""
    driver_opts: Mapping[str, str] = field(default_factory=dict)
    priority: int = 0
    gw_priority: int = 0
    interface_name: str = ""


@frozen
class Port:
    """A published port. `published` is text: empty (any free port), `8080`, or a range `8000-8010`."""

    target: int = 0
    published: str = ""
    host_ip: str = ""
    protocol: str = "tcp"
    mode: str = ""
    name: str = ""
    app_protocol: str = ""


@frozen
class Provider:
    """An external program that stands for the service; refused before anything starts."""

    type: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


@frozen
class BindOptions:
    """Options of a bind mount; no options mean the same as all defaults.

    `recursive` is empty, enabled, disabled, writable or readonly.
    """

    selinux: str = ""
    propagation: str = ""
    create_host_path: bool = True
    recursive: str = ""


@frozen
class VolumeOptions:
    """Options of a volume mount."""

    labels: Labels = field(default_factory=dict)
    nocopy: bool = False
    subpath: str = ""


@frozen
class TmpfsOptions:
    """Options of a tmpfs mount; a size of 0 is unlimited, `mode` are permission bits."""

    size: Bytes = 0
    mode: int | None = None


@frozen
class ImageOptions:
    """Options of an image mount."""

    subpath: str = ""


@frozen
class Mount:
    """An entry of `volumes`.

    `type` is bind (source is an absolute host path), volume (source is a key of the top-level volumes, empty
    for an anonymous one), tmpfs, image, npipe or cluster.
    """

    type: str = ""
    target: str = ""
    source: str = ""
    read_only: bool = False
    consistency: str = ""
    bind: BindOptions | None = None
    volume: VolumeOptions | None = None
    tmpfs: TmpfsOptions | None = None
    image: ImageOptions | None = None
