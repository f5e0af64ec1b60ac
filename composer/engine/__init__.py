"""What a controller asks of a container engine: one Protocol and its value types.

The words are those of the OCI runtime specification (process, mounts, namespaces, resources) where it has
one. An engine knows nothing about Compose files nor images: it is handed layer directories and values.
All times are seconds, all sizes bytes, all ids 64 hex digits.
"""

from __future__ import annotations

from composer.engine.config import (
    CAPABILITIES,
    DEFAULT_CAPABILITIES,
    Attachment,
    ContainerConfig,
    Device,
    Healthcheck,
    Labels,
    LogConfig,
    Mount,
    MountType,
    PortMapping,
    Process,
    Resources,
    RestartName,
    RestartPolicy,
    Rlimit,
    ThrottleDevice,
)
from composer.engine.protocol import Engine, Step
from composer.engine.state import (
    ContainerState,
    ContainerStatus,
    Endpoint,
    EngineEvent,
    HealthStatus,
    IpamPool,
    NetworkConfig,
    NetworkState,
    PublishedPort,
    Stats,
    VolumeConfig,
    VolumeState,
)

__all__ = [
    "CAPABILITIES",
    "DEFAULT_CAPABILITIES",
    "Attachment",
    "ContainerConfig",
    "ContainerState",
    "ContainerStatus",
    "Device",
    "Endpoint",
    "Engine",
    "EngineEvent",
    "HealthStatus",
    "Healthcheck",
    "IpamPool",
    "Labels",
    "LogConfig",
    "Mount",
    "MountType",
    "NetworkConfig",
    "NetworkState",
    "PortMapping",
    "Process",
    "PublishedPort",
    "Resources",
    "RestartName",
    "RestartPolicy",
    "Rlimit",
    "Stats",
    "Step",
    "ThrottleDevice",
    "VolumeConfig",
    "VolumeState",
]
