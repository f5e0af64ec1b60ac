"""A container's configuration compiled to the launch document: everything a shim needs, nothing to decide.

The agent compiles, once a start; the shim and the child only carry out. The document holds absolute host
paths, numbers and masks instead of names; it crosses to the zygote by marshal, which needs no scanner there.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from composer.engine import CAPABILITIES
from composer.errors import EngineError, UnsupportedError
from composer.namespaces import capabilities, security
from composer.namespaces.kernel import constants as c
from composer.namespaces.launch_mounts import compile_mounts
from composer.namespaces.sandbox import devices
from composer.namespaces.seccomp import compile_program
from composer.namespaces.signals import signal_number
from composer.values import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from composer.engine import ContainerConfig, Device, Process
    from composer.state.paths import Paths

RLIMITS = (
    "cpu fsize data stack core rss nproc nofile memlock as locks sigpending msgqueue nice rtprio rttime"
).split()
_DEFAULT_LIMITS = (("nofile", 1024, 524288), ("nproc", -1, -1), ("core", -1, -1))
_IPC_SYSCTLS = (
    "kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni "
    "kernel.shm_rmid_forced"
).split()


_MOST_PROCESSORS = 1 << 16
"""More than any kernel is built for; keeps a list like `0-999999999` short."""


class Security:
    """`security_opt` taken apart."""

    def __init__(self, options: Sequence[str], *, privileged: bool) -> None:
        self.seccomp = "unconfined" if privileged else ""
        self.no_new_privileges = False
        self.masked = [] if privileged else security.masked_paths()
        self.read_only = [] if privileged else list(security.READ_ONLY)
        for option in options:
            key, _, value = (
                option.replace(":", "=", 1).partition("=") if "=" not in option else option.partition("=")
            )
            if key == "seccomp":
                self.seccomp = value
            elif key == "no-new-privileges":
                self.no_new_privileges = value in ("", "true")
            elif key == "systempaths" and value == "unconfined":
                self.masked = []
                self.read_only = []
            elif key == "apparmor":
                _check_apparmor(value)
            elif key == "label":
                continue  # SELinux: nothing to label where it is not enabled, as with Docker
            else:
                raise EngineError(f"unknown security_opt {option!r}", about="security_opt")


def _check_apparmor(profile: str) -> None:
    if profile in ("", "unconfined"):
        return
    if not os.path.isdir("/sys/kernel/security/apparmor"):
        raise UnsupportedError(
            f"AppArmor profile {profile!r} cannot be applied: this kernel runs without AppArmor",
            hint="remove the apparmor option, or use apparmor=unconfined",
            about="security_opt",
        )
    raise UnsupportedError(f"AppArmor profiles such as {profile!r} are not supported", about="security_opt")


def compile_launch(
    config: ContainerConfig,
    paths: Paths,
    *,
    volumes: Mapping[str, str],
    pids: Mapping[str, int],
    cgroup_root: str = "",
) -> dict[str, Any]:
    """The launch document of *config*, without its network and log parts, which the engine adds.

    Args:
        config: What to start.
        paths: Where this installation lives.
        volumes: Directory of each named volume that is mounted.
        pids: Present pid of each container whose namespaces are joined.
        cgroup_root: Control group that containers are made in; empty: our own.

    Raises:
        EngineError: An option is wrong.
        UnsupportedError: An option that this engine or machine does not have.
    """
    if config.userns_mode not in ("", "host"):
        raise UnsupportedError(
            f"userns_mode {config.userns_mode!r} is not supported",
            hint="remove userns_mode, or set it to host",
            about="userns_mode",
        )
    options = Security(config.security_opt, privileged=config.privileged)
    directory = paths.container(config.id)
    run = paths.container_run(config.id)
    clone, joins, pid_namespace = _namespaces(config, pids)
    try:
        stop_signal = signal_number(config.stop_signal)
    except EngineError as error:
        error.about = "stop_signal"
        raise
    own_network = not config.network_mode.startswith(("host", "container:"))
    hostname = "" if config.uts_mode == "host" else config.hostname or config.id[:12]
    if len(hostname) > 64:
        raise EngineError(f"host name {hostname!r} is longer than 64 characters", about="hostname")
    mounts, own_dev = compile_mounts(config, paths, volumes=volumes, pids=pids)
    return {
        "id": config.id,
        "name": config.name,
        "directory": str(directory),
        "run": str(run),
        "mountpoint": str(paths.run / "rootfs"),
        "layers": list(config.layers) or [str(paths.root / "empty")],
        "upper": str(directory / "upper"),
        "work": str(directory / "work"),
        "read_only": config.read_only,
        "clone": clone,
        "unshare": 0 if config.cgroup_mode == "host" else c.CLONE_NEWCGROUP,
        "join": c.CLONE_NEWNS | c.CLONE_NEWUTS | c.CLONE_NEWIPC | c.CLONE_NEWCGROUP | c.CLONE_NEWNET,
        "joins": joins,
        "pid_namespace": pid_namespace,
        "network": {"own": own_network, "namespace": _network_namespace(config, pids)},
        "mounts": mounts,
        "own_dev": own_dev,
        "devices": compile_devices(config),
        "masked": options.masked,
        "readonly": options.read_only,
        "sysctls": _sysctls(config, own_network=own_network),
        "hostname": hostname,
        "domainname": config.domainname,
        "process": compile_process(config.process, options, privileged=config.privileged),
        "last_capability": capabilities.last(),
        "init": config.init and pid_namespace == "",
        "cgroup": {
            "path": cgroup_path(config, paths, cgroup_root),
            "resources": _resources(config),
        },
        "stop_signal": stop_signal,
        "stop_timeout": config.stop_timeout,
        "restart": {"name": config.restart.name, "max_retries": config.restart.max_retries},
        "healthcheck": to_json(config.healthcheck) if config.healthcheck else None,
        "auto_remove": config.auto_remove,
    }


def cgroup_path(config: ContainerConfig, paths: Paths, root: str = "") -> str:
    """The container's cgroup, relative to the top of every hierarchy."""
    own = root.strip("/") or f"composer{paths.suffix}/{config.project or 'none'}"
    parent = config.cgroup_parent.strip("/") or own
    if ".." in parent.split("/"):
        raise EngineError(f"cgroup_parent {config.cgroup_parent!r} must not contain '..'")
    return f"/{parent}/{config.id}"


def _namespaces(config: ContainerConfig, pids: Mapping[str, int]) -> tuple[int, list[list[Any]], str]:
    clone = c.CLONE_NEWNS
    joins: list[list[Any]] = []
    pid_namespace = ""
    if config.uts_mode != "host":
        clone |= c.CLONE_NEWUTS
    if config.ipc_mode.startswith("container:"):
        joins.append([f"/proc/{pids[config.ipc_mode.partition(':')[2]]}/ns/ipc", c.CLONE_NEWIPC])
    elif config.ipc_mode != "host":
        clone |= c.CLONE_NEWIPC
    if config.pid_mode == "host":
        pid_namespace = "host"
    elif config.pid_mode.startswith("container:"):
        pid_namespace = f"/proc/{pids[config.pid_mode.partition(':')[2]]}/ns/pid"
    else:
        clone |= c.CLONE_NEWPID
    return clone, joins, pid_namespace


def _network_namespace(config: ContainerConfig, pids: Mapping[str, int]) -> str:
    if config.network_mode.startswith("container:"):
        return f"/proc/{pids[config.network_mode.partition(':')[2]]}/ns/net"
    return ""


def compile_process(process: Process, options: Security, *, privileged: bool) -> dict[str, Any]:
    """The process part: masks and numbers for names, the filter as base64.

    Raises:
        EngineError: No command, an unknown capability or limit, an environment variable without a name.
    """
    if not process.args or not process.args[0]:
        raise EngineError("no command specified", hint="give the service a command or an entrypoint")
    for line in process.env:
        if "\0" in line or line.startswith("="):
            name = line.partition("=")[0]
            raise EngineError(f"environment variable {name!r} is not valid", about="process.env")
    if not process.cwd.startswith("/"):
        raise EngineError(
            f"working directory {process.cwd!r} is not an absolute path",
            hint="begin it with /",
            about="process.cwd",
        )
    everything = privileged or process.privileged
    names = ["ALL"] if everything else list(process.capabilities)
    program = compile_program(options.seccomp, CAPABILITIES if everything else names)
    return {
        "args": list(process.args),
        "env": list(process.env),
        "cwd": process.cwd,
        "user": process.user,
        "groups": list(process.groups),
        "terminal": process.terminal,
        "stdin_open": process.stdin_open,
        "capabilities": capabilities.mask(names),
        "no_new_privileges": process.no_new_privileges or options.no_new_privileges,
        "rlimits": _rlimits(process),
        "oom_score_adj": process.oom_score_adj,
        "program": program or b"",
    }


def _rlimits(process: Process) -> list[list[Any]]:
    found: dict[int, list[Any]] = {}
    for name, soft, hard in _DEFAULT_LIMITS:
        number = RLIMITS.index(name)
        found[number] = [number, soft, hard, ""]
    for limit in process.rlimits:
        if limit.name not in RLIMITS:
            raise EngineError(
                f"unknown ulimit {limit.name!r}",
                hint=f"known are {', '.join(RLIMITS)}",
                about="process.rlimits",
            )
        if limit.hard >= 0 and (limit.soft > limit.hard or limit.soft < 0):
            raise EngineError(
                f"ulimit {limit.name}: soft {limit.soft} is above hard {limit.hard}", about="process.rlimits"
            )
        number = RLIMITS.index(limit.name)
        found[number] = [number, limit.soft, limit.hard, limit.name]
    return list(found.values())


def _sysctls(config: ContainerConfig, *, own_network: bool) -> list[list[str]]:
    found: dict[str, str] = {}
    if own_network:
        found["net/ipv4/ip_unprivileged_port_start"] = "0"
        found["net/ipv4/ping_group_range"] = "0 2147483647"
    for name, value in config.sysctls.items():
        dotted = name if "." in name.partition("/")[0] else name.replace("/", ".")
        allowed = (
            (dotted.startswith("net.") and own_network)
            or ((dotted in _IPC_SYSCTLS or dotted.startswith("fs.mqueue.")) and config.ipc_mode != "host")
            or (dotted in ("kernel.domainname", "kernel.hostname") and config.uts_mode != "host")
        )
        if not allowed or ".." in name:
            raise EngineError(
                f"sysctl {name} is not allowed: it does not belong to a namespace of the container",
                hint="net.* needs an own network; kernel.msg*, kernel.sem, kernel.shm*, fs.mqueue.* own ipc",
                about="sysctls",
            )
        found[name if "/" in name else name.replace(".", "/")] = value
    return [[path, value] for path, value in found.items()]


def compile_devices(config: ContainerConfig) -> list[dict[str, Any]]:
    """Device nodes to make: those that were asked for, or with `privileged` every one of the host.

    Raises:
        EngineError: A device does not exist on the host.
    """
    found: dict[str, dict[str, Any]] = {}
    if config.privileged:
        for source in _host_devices():
            found[source] = _device(source, source)
    for device in config.devices:
        for source, target in _expand(device):
            found[target] = _device(source, target)
    return list(found.values())


def _expand(device: Device) -> list[tuple[str, str]]:
    """One device, or every device below a directory."""
    if not os.path.exists(device.source):
        raise EngineError(f"device {device.source} does not exist on this machine", about="devices")
    if not os.path.isdir(device.source):
        return [(device.source, device.target)]
    pairs = []
    for folder, _, names in os.walk(device.source):
        for name in sorted(names):
            source = os.path.join(folder, name)
            if stat.S_IFMT(os.stat(source).st_mode) in (stat.S_IFCHR, stat.S_IFBLK):
                pairs.append((source, device.target + source[len(device.source) :]))
    return pairs


def _host_devices() -> list[str]:
    skipped = {"pts", "shm", "mqueue", "console", "ptmx", "fd", ".lxc", ".lxd-mounts"}
    skipped |= {name for name, _, _ in devices.NODES}
    found = []
    for folder, folders, names in os.walk("/dev"):
        if folder == "/dev":
            folders[:] = [name for name in folders if name not in skipped]
            names[:] = [name for name in names if name not in skipped]
        for name in names:
            path = os.path.join(folder, name)
            try:
                mode = os.lstat(path).st_mode
            except OSError:
                continue
            if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                found.append(path)
    return found


def _device(source: str, target: str) -> dict[str, Any]:
    info = os.stat(source)
    if not (stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode)):
        raise EngineError(f"{source} is not a device node")
    return {
        "target": target,
        "type": "b" if stat.S_ISBLK(info.st_mode) else "c",
        "major": os.major(info.st_rdev),
        "minor": os.minor(info.st_rdev),
        "mode": stat.S_IMODE(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
    }


def _resources(config: ContainerConfig) -> dict[str, Any]:
    """`Resources` as JSON, with `devices`: rules for the nodes that the container was given.

    Raises:
        EngineError: `cpuset_cpus` names processors that this machine does not have.
    """
    _check_processors(config.resources.cpuset_cpus)
    found: dict[str, Any] = to_json(config.resources)
    found.pop("device_rules", None)
    if config.privileged:
        found["devices"] = ["a *:* rwm"]
        return found
    rules = list(config.resources.device_rules)
    for device in config.devices:
        for source, target in _expand(device):
            node = _device(source, target)
            rules.append(f"{node['type']} {node['major']}:{node['minor']} {device.permissions}")
    found["devices"] = rules
    return found


def _check_processors(wanted: str) -> None:
    """Compare a list such as `0-2,5` with what is on line; the kernel would only say ERANGE or EINVAL."""
    if not wanted:
        return
    with open("/sys/devices/system/cpu/online", encoding="ascii") as file:
        online = file.read().strip()
    try:
        unknown = _processors(wanted) - _processors(online)
    except ValueError:
        raise EngineError(
            f"{wanted!r} is not a list of processors", hint="write it like 0-2,5", about="cpuset"
        ) from None
    if unknown:
        raise EngineError(
            f"processor {min(unknown)} of {wanted!r} is not on this machine",
            hint=f"it has {online}",
            about="cpuset",
        )


def _processors(text: str) -> set[int]:
    found: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        found.update(range(int(first), min(int(last or first), _MOST_PROCESSORS) + 1))
    return found
