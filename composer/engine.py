"""What a controller asks of a container engine: one Protocol and its value types.

The words are those of the OCI runtime specification (process, mounts, namespaces, resources) where it has
one. An engine knows nothing about Compose files nor images: it is handed layer directories and values.
All times are seconds, all sizes bytes, all ids 64 hex digits.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from composer.frozen import frozen

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

Labels: TypeAlias = Mapping[str, str]

ContainerStatus: TypeAlias = Literal[
    "created", "running", "paused", "restarting", "stopping", "exited", "dead"
]
HealthStatus: TypeAlias = Literal["none", "starting", "healthy", "unhealthy"]
RestartName: TypeAlias = Literal["no", "always", "on-failure", "unless-stopped"]
DEFAULT_CAPABILITIES = (
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SYS_CHROOT",
    "MKNOD",
    "AUDIT_WRITE",
    "SETFCAP",
)
"""What a container gets that does not ask for more or less (a80425fb), see capabilities(7)."""

MountType: TypeAlias = Literal["bind", "volume", "tmpfs", "image", "content"]


@frozen
class Rlimit:
    """One resource limit, see setrlimit(2). `name` is lower case without RLIMIT_, such as `nofile`."""

    name: str
    soft: int
    hard: int


@frozen
class Process:
    """What runs in a container, for its init as for an exec.

    Attributes:
        args: The whole argument vector; `args[0]` is looked up on the container's PATH.
        env: `KEY=VALUE` strings; HOME, HOSTNAME, PATH and TERM are filled in when missing.
        cwd: Absolute working directory; created when missing (init only).
        user: `name|uid[:group|gid]`, resolved in the container's own passwd and group; empty means root.
        groups: Supplementary groups (`group_add`), names or numbers.
        terminal: Give it a pseudo terminal.
        stdin_open: Keep standard input open when nobody is attached.
        capabilities: Names without CAP_ that make the bounding, permitted and effective set.
        privileged: An exec with all capabilities (the container's own flag is `ContainerConfig.privileged`).
        no_new_privileges: See prctl(2) PR_SET_NO_NEW_PRIVS.
        rlimits: Limits; what is not listed gets the engine's default.
        oom_score_adj: See proc_pid_oom_score_adj(5); None leaves it.
    """

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    cwd: str = "/"
    user: str = ""
    groups: tuple[str, ...] = ()
    terminal: bool = False
    stdin_open: bool = False
    capabilities: tuple[str, ...] = ()
    privileged: bool = False
    no_new_privileges: bool = False
    rlimits: tuple[Rlimit, ...] = ()
    oom_score_adj: int | None = None


@frozen
class Mount:
    """One mount below the container's root.

    Attributes:
        type: `bind` (source is a host path), `volume` (source is a volume name), `tmpfs`,
            `image` (layers is another image's tree, read-only), `content` (a file holding `content`).
        target: Absolute path in the container.
        source: See `type`.
        read_only: Recursively read-only where the kernel can.
        propagation: `rprivate`, `private`, `rshared`, `shared`, `rslave`, `slave`.
        recursive: Bind submounts too.
        create_source: Create a missing bind source as a directory.
        no_copy: Do not fill an empty volume from the image.
        subpath: Directory inside the volume or image that is mounted.
        options: tmpfs options such as `size=64m`, `mode=1777`, `uid=5`, `noexec`.
        content: Bytes of a `content` file, base64.
        uid: Owner of a `content` file.
        gid: Group of a `content` file.
        mode: Permission bits of a `content` file.
        layers: Layer directories of an `image` mount, lowest first.
        path: YAML path of the entry, so that a failure can point at the line.
    """

    type: MountType
    target: str
    source: str = ""
    read_only: bool = False
    propagation: str = "rprivate"
    recursive: bool = True
    create_source: bool = False
    no_copy: bool = False
    subpath: str = ""
    options: tuple[str, ...] = ()
    content: str = ""
    uid: int = 0
    gid: int = 0
    mode: int = 0o444
    layers: tuple[str, ...] = ()
    path: str = ""


@frozen
class Device:
    """A host device node given to a container; `permissions` is a subset of `rwm`."""

    source: str
    target: str
    permissions: str = "rwm"


@frozen
class ThrottleDevice:
    """A limit for one block device (a path such as /dev/sda); rate is bytes or operations per second."""

    device: str
    rate: int


@frozen
class Resources:
    """Limits for the container's cgroup. None or 0 means: not limited.

    Attributes:
        memory: Bytes.
        memory_swap: Memory plus swap in bytes, -1 unlimited, None: twice `memory`.
        memory_reservation: Bytes that reclaim spares.
        memory_swappiness: 0-100, cgroup v1 only.
        oom_kill_disable: cgroup v1 only.
        cpus: Number of CPUs' worth of time, such as 1.5.
        cpu_quota: Microseconds per `cpu_period`; excludes `cpus`.
        cpu_period: Microseconds.
        cpu_shares: Docker's 2-262144.
        cpuset_cpus: List format of cpuset(7).
        cpuset_mems: List format of cpuset(7).
        cpu_rt_runtime: Microseconds, cgroup v1 only.
        cpu_rt_period: Microseconds, cgroup v1 only.
        pids: Number of tasks, -1 unlimited.
        blkio_weight: 10-1000.
        blkio_weight_devices: Weight for single devices.
        read_bps: Bytes per second.
        write_bps: Bytes per second.
        read_iops: Operations per second.
        write_iops: Operations per second.
        device_rules: cgroup v1 device rules (`c 1:3 rwm`) beside the default ones.
    """

    memory: int | None = None
    memory_swap: int | None = None
    memory_reservation: int | None = None
    memory_swappiness: int | None = None
    oom_kill_disable: bool = False
    cpus: float | None = None
    cpu_quota: int | None = None
    cpu_period: int | None = None
    cpu_shares: int | None = None
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    cpu_rt_runtime: int | None = None
    cpu_rt_period: int | None = None
    pids: int | None = None
    blkio_weight: int | None = None
    blkio_weight_devices: tuple[ThrottleDevice, ...] = ()
    read_bps: tuple[ThrottleDevice, ...] = ()
    write_bps: tuple[ThrottleDevice, ...] = ()
    read_iops: tuple[ThrottleDevice, ...] = ()
    write_iops: tuple[ThrottleDevice, ...] = ()
    device_rules: tuple[str, ...] = ()


@frozen
class PortMapping:
    """A published port. `host_port` 0 takes a free one, a `host_port_end` the first free one of a range.

    An empty `host_ip` means all addresses, IPv4 and IPv6.
    """

    container_port: int
    host_port: int = 0
    host_port_end: int = 0
    host_ip: str = ""
    protocol: str = "tcp"
    path: str = ""


@frozen
class Attachment:
    """How a container joins one network.

    Attributes:
        network: Network id.
        aliases: Names it answers to on this network, besides its container name and short id.
        ipv4_address: Wanted address, or empty.
        ipv6_address: Wanted address, or empty.
        mac_address: Wanted MAC, or empty.
        priority: Highest is connected first (eth0).
        gw_priority: Highest holds the default route.
        interface_name: Wanted name inside, or empty for eth0, eth1, ...
        link_local_ips: Further link-local addresses.
        driver_opts: Options for the endpoint.
        links: `name -> container name` that only this container resolves (`links:`).
    """

    network: str
    aliases: tuple[str, ...] = ()
    ipv4_address: str = ""
    ipv6_address: str = ""
    mac_address: str = ""
    priority: int = 0
    gw_priority: int = 0
    interface_name: str = ""
    link_local_ips: tuple[str, ...] = ()
    driver_opts: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


@frozen
class Healthcheck:
    """A probe, run in the container. `test` starts with CMD or CMD-SHELL."""

    test: tuple[str, ...]
    interval: float = 30.0
    timeout: float = 30.0
    retries: int = 3
    start_period: float = 0.0
    start_interval: float = 5.0


@frozen
class RestartPolicy:
    """When a container that ended is started again. `max_retries` 0 means without limit."""

    name: RestartName = "no"
    max_retries: int = 0


@frozen
class LogConfig:
    """`driver` is json-file or none; options are max-size and max-file."""

    driver: str = "json-file"
    options: Mapping[str, str] = field(default_factory=dict)


@frozen
class ContainerConfig:
    """Everything an engine needs to make a container.

    Attributes:
        id: 64 hex digits, chosen by the caller.
        name: Unique name on this machine.
        project: Compose project, also the cgroup's parent directory.
        service: Compose service.
        labels: Metadata, found again in `ContainerState`.
        image: Image name, for display only.
        image_id: Image digest, for display and comparison only.
        layers: Absolute directories of the image's layers, lowest first; may be empty.
        process: What becomes pid 1.
        hostname: UTS host name; empty: first 12 digits of the id.
        domainname: UTS domain name.
        read_only: The root file system is read-only.
        privileged: All capabilities, all devices, nothing masked, no seccomp.
        init: Run a small pid 1 that reaps and forwards signals.
        mounts: In the order in which they are made; parents first.
        devices: Host device nodes.
        sysctls: Namespaced sysctls, dotted names.
        resources: cgroup limits.
        cgroup_parent: Parent path instead of the engine's own.
        shm_size: Bytes of /dev/shm.
        stop_signal: Name or number.
        stop_timeout: Seconds between `stop_signal` and SIGKILL.
        restart: What happens when it ends.
        healthcheck: The probe, or None.
        log: Where output goes.
        network_mode: `bridge` (attachments), `none`, `host`, or `container:<id>`.
        attachments: Networks, in order of connection.
        ports: Published ports.
        extra_hosts: `name=address` lines for /etc/hosts; `host-gateway` is resolved by the engine.
        dns: Upstream servers; empty: the host's.
        dns_search: Search list; empty: the host's.
        dns_options: resolv.conf options.
        pid_mode: empty (private), `host` or `container:<id>`.
        ipc_mode: empty (private), `host`, `none`, `shareable` or `container:<id>`.
        uts_mode: empty (private) or `host`.
        cgroup_mode: empty or `private`, or `host`.
        userns_mode: empty or `host` (no user namespace), or `auto`.
        security_opt: seccomp=..., apparmor=..., label=..., systempaths=unconfined, no-new-privileges.
        auto_remove: Remove it when it ends.
        created: Seconds since the epoch.
    """

    id: str
    name: str
    process: Process
    project: str = ""
    service: str = ""
    labels: Labels = field(default_factory=dict)
    image: str = ""
    image_id: str = ""
    layers: tuple[str, ...] = ()
    hostname: str = ""
    domainname: str = ""
    read_only: bool = False
    privileged: bool = False
    init: bool = False
    mounts: tuple[Mount, ...] = ()
    devices: tuple[Device, ...] = ()
    sysctls: Mapping[str, str] = field(default_factory=dict)
    resources: Resources = field(default_factory=Resources)
    cgroup_parent: str = ""
    shm_size: int = 64 * 1024 * 1024
    stop_signal: str = "SIGTERM"
    stop_timeout: float = 10.0
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    healthcheck: Healthcheck | None = None
    log: LogConfig = field(default_factory=LogConfig)
    network_mode: str = "bridge"
    attachments: tuple[Attachment, ...] = ()
    ports: tuple[PortMapping, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()
    dns_search: tuple[str, ...] = ()
    dns_options: tuple[str, ...] = ()
    pid_mode: str = ""
    ipc_mode: str = ""
    uts_mode: str = ""
    cgroup_mode: str = ""
    userns_mode: str = ""
    security_opt: tuple[str, ...] = ()
    auto_remove: bool = False
    created: float = 0.0


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


class Engine(Protocol):
    """A container engine. All methods raise `EngineError` or one of its kinds, in one sentence.

    Every method is safe to cancel: what was half made is removed, or is found and removed by the next
    `containers()` and `remove()`.
    """

    async def containers(self, project: str | None = None) -> Sequence[ContainerState]:
        """All containers (of *project*), as they are now; one read of disk and kernel."""
        ...

    async def create(self, config: ContainerConfig) -> ContainerState:
        """Make the container, without starting it: directory, addresses, generated files.

        Raises:
            ConflictError: The name is taken.
        """
        ...

    async def check_ports(self, configs: Sequence[ContainerConfig]) -> None:
        """Ask whether all fixed host ports of *configs* are free, before anything of a plan starts.

        Only `id`, `name` and `ports` of a configuration count; what a container of that id holds is free.

        Raises:
            ConflictError: One is taken; the message says by whom.
        """
        ...

    async def start(self, container_id: str) -> ContainerState:
        """Start it; returns when its command has been executed (or an image's command is missing: raises).

        Raises:
            CommandNotFoundError: See `composer.errors`.
            CannotInvokeError: See `composer.errors`.
            ConflictError: A published port or an address is in use.
        """
        ...

    async def stop(self, container_id: str, *, timeout: float | None = None) -> ContainerState:  # noqa: ASYNC109
        """Send its stop signal, wait *timeout* (default its own), kill what is left; record it as wanted."""
        ...

    async def kill(self, container_id: str, signal: str = "SIGKILL") -> None:
        """Send a signal to pid 1."""
        ...

    async def pause(self, container_id: str) -> None:
        """Freeze every process."""
        ...

    async def unpause(self, container_id: str) -> None:
        """Thaw."""
        ...

    async def rename(self, container_id: str, name: str) -> None:
        """Give it another name; its DNS name follows."""
        ...

    async def remove(self, container_id: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it with its writable layer; `force` kills it first, `volumes` takes anonymous ones too."""
        ...

    async def wait(self, container_id: str) -> ContainerState:
        """Wait until it has ended and will not be restarted by its policy."""
        ...

    async def execute(
        self,
        container_id: str,
        process: Process,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> tuple[int, bytes]:
        """Run a command in it without a terminal; returns exit code and combined output (hooks, probes)."""
        ...

    async def connect(self, container_id: str, attachment: Attachment) -> None:
        """Join a further network while running."""
        ...

    async def disconnect(self, container_id: str, network: str) -> None:
        """Leave a network."""
        ...

    async def stats(self, container_id: str) -> Stats:
        """Read its counters once."""
        ...

    async def networks(self, project: str | None = None) -> Sequence[NetworkState]:
        """All networks (of *project*)."""
        ...

    async def create_network(self, config: NetworkConfig) -> NetworkState:
        """Make it; addresses that collide with another network or a host route are refused or avoided.

        Raises:
            ConflictError: The name is taken or a wanted subnet overlaps.
        """
        ...

    async def remove_network(self, network_id: str) -> None:
        """Remove it.

        Raises:
            ConflictError: A container is still on it.
        """
        ...

    async def volumes(self, project: str | None = None) -> Sequence[VolumeState]:
        """All volumes (of *project*)."""
        ...

    async def create_volume(self, config: VolumeConfig) -> VolumeState:
        """Make it, or return it when it exists with the same driver and options."""
        ...

    async def remove_volume(self, name: str) -> None:
        """Remove it with all it holds.

        Raises:
            ConflictError: A container uses it.
        """
        ...

    def events(self, project: str) -> AbstractAsyncContextManager[AsyncIterator[EngineEvent]]:
        """What happens to the project's containers from now on, also to those started by others."""
        ...

    def step(self, config: ContainerConfig) -> AbstractAsyncContextManager[Step]:
        """A container for one build step: no name, no restart, its changes are kept in a directory."""
        ...


class Step(Protocol):
    """A build step's container: run once; then its changes are a layer."""

    @property
    def upper(self) -> str:
        """Directory with what the step changed, in overlayfs form (whiteouts, opaque xattrs)."""
        ...

    async def run(self, output: int) -> int:
        """Run the process with stdout and stderr on the descriptor *output*; returns the exit code."""
        ...
