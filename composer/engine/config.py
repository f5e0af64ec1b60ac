"""What a container is made from, in the words of the OCI runtime specification."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Literal, TypeAlias

from composer.frozen import frozen

Labels: TypeAlias = Mapping[str, str]

RestartName: TypeAlias = Literal["no", "always", "on-failure", "unless-stopped"]
CAPABILITIES = tuple(
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE".split()
)
"""All of them, without CAP_, in the order of their numbers; see capabilities(7)."""
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
        path: As in `Mount`.
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
    path: str = ""


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
