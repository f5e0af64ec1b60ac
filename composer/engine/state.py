"""What there is: containers, networks and volumes as an engine reports them, and what these are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal, TypeAlias

from composer.engine.config import ContainerConfig, Labels
from composer.frozen import frozen

ContainerStatus: TypeAlias = Literal[
    "created", "running", "paused", "restarting", "stopping", "exited", "dead"
]
HealthStatus: TypeAlias = Literal["none", "starting", "healthy", "unhealthy"]


@frozen
class Endpoint:
    """A container's place on one network, as it is."""

    network: str
    network_name: str
    interface: str
    mac_address: str
    ipv4_address: str = ""
    ipv6_address: str = ""
    gateway: str = ""
    aliases: tuple[str, ...] = ()


@frozen
class PublishedPort:
    """A published port as it is: `host_port` is the real one."""

    container_port: int
    host_port: int
    host_ip: str
    protocol: str


@frozen
class ContainerState:
    """A container as it is, read from disk and kernel.

    Attributes:
        id: The container.
        name: Its present name.
        status: What it is doing.
        config: What it was made from.
        pid: Host pid of its init, 0 when there is none.
        started_at: Last start, seconds since the epoch, 0 when never.
        finished_at: Last end, seconds since the epoch, 0 when never.
        exit_code: Of the last run; 128+n for signal n.
        oom_killed: The kernel's OOM killer ended something in it since the last start.
        error: Why it could not be started, one sentence.
        health: Last verdict of the probe.
        failing_streak: Failed probes in a row.
        health_log: Output of the last probe.
        restart_count: Restarts by policy since the last explicit start.
        stopped_by_user: An explicit stop is in force.
        endpoints: Networks it is on.
        ports: Published ports.
    """

    id: str
    name: str
    status: ContainerStatus
    config: ContainerConfig
    pid: int = 0
    started_at: float = 0.0
    finished_at: float = 0.0
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    health: HealthStatus = "none"
    failing_streak: int = 0
    health_log: str = ""
    restart_count: int = 0
    stopped_by_user: bool = False
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[PublishedPort, ...] = ()


@frozen
class IpamPool:
    """One address pool of a network; CIDR strings, empty means: chosen by the engine."""

    subnet: str = ""
    gateway: str = ""
    ip_range: str = ""
    aux_addresses: Mapping[str, str] = field(default_factory=dict)


@frozen
class NetworkConfig:
    """A user-defined network. Drivers: bridge, macvlan, ipvlan; `id` is chosen by the caller."""

    id: str
    name: str
    project: str = ""
    driver: str = "bridge"
    labels: Labels = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    internal: bool = False
    attachable: bool = False
    enable_ipv4: bool = True
    enable_ipv6: bool = False
    pools: tuple[IpamPool, ...] = ()
    created: float = 0.0


@frozen
class NetworkState:
    """A network as it is: its pools are filled in; `containers` are the ids that hold an address."""

    config: NetworkConfig
    pools: tuple[IpamPool, ...]
    bridge: str
    containers: tuple[str, ...] = ()


@frozen
class VolumeConfig:
    """A volume. Driver local; options type, o and device are those of mount(8)."""

    name: str
    project: str = ""
    driver: str = "local"
    labels: Labels = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    anonymous: bool = False
    created: float = 0.0


@frozen
class VolumeState:
    """A volume as it is; `mountpoint` is its directory on the host."""

    config: VolumeConfig
    mountpoint: str


@frozen
class EngineEvent:
    """Something an engine noticed: `start`, `die`, `oom`, `restart`, `health_status`, `stop`, `pause`, ..."""

    container: str
    action: str
    state: ContainerState
    time: float


@frozen
class Stats:
    """Counters of one running container at one moment; see cgroups(7).

    Times in nanoseconds, sizes in bytes. `pressure` maps `cpu.some.avg10` and the like to percent.
    """

    container: str
    time: float
    cpu_total: int
    system_cpu_total: int
    online_cpus: int
    memory: int
    memory_limit: int
    pids: int
    pids_limit: int
    block_read: int
    block_write: int
    network_received: int
    network_sent: int
    throttled_periods: int = 0
    throttled_time: int = 0
    pressure: Mapping[str, float] = field(default_factory=dict)
