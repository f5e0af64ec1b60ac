"""Starting a container: what the agent does before and after the shim is forked."""

from __future__ import annotations

import os
import re
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio

from composer.errors import ComposerError, ConflictError, EngineError, UnsupportedError
from composer.namespaces.failures import failure
from composer.namespaces.launch import compile_launch
from composer.namespaces.network.files import hosts_file, resolv_conf
from composer.namespaces.store import state_from
from composer.values import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from composer.engine import ContainerConfig, ContainerState
    from composer.namespaces.engine import NamespaceEngine
    from composer.namespaces.network.setups import EndpointSetup
    from composer.state.paths import Paths

_UNDO = 10.0
_FDS = 200  # a message carries 253
_SIZE = re.compile(r"(\d+)([kmg]?)b?\Z", re.IGNORECASE)
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_LOG_OPTIONS = ("max-size", "max-file")


def check(config: ContainerConfig, paths: Paths, cgroup_root: str) -> dict[str, Any] | None:
    """Compile, so that a wrong option is refused before anything exists.

    Returns:
        The launch document for the first start, or None when it depends on what is there by then.

    Raises:
        EngineError: An option is wrong.
        UnsupportedError: An option that this engine does not have.
    """
    volumes = {mount.source: "" for mount in config.mounts if mount.type == "volume"}
    others = [mode.partition(":")[2] for mode in _modes(config) if mode.startswith("container:")]
    launch = compile_launch(
        config, paths, volumes=volumes, pids=dict.fromkeys(others, 1), cgroup_root=cgroup_root
    )
    log_part(config)
    return None if config.mounts or others else launch


def _modes(config: ContainerConfig) -> tuple[str, ...]:
    return (config.network_mode, config.pid_mode, config.ipc_mode)


def log_part(config: ContainerConfig) -> dict[str, Any]:
    """The launch document's `log`.

    Raises:
        UnsupportedError: Another driver than json-file or none.
        EngineError: A wrong option.
    """
    driver = config.log.driver or "json-file"
    if driver not in ("json-file", "local", "none"):
        raise UnsupportedError(
            f"logging driver {driver!r} is not supported", hint="use json-file, local or none"
        )
    unknown = [key for key in config.log.options if key not in (*_LOG_OPTIONS, "compress", "mode", "tag")]
    if unknown:
        raise EngineError(
            f"unknown logging option {unknown[0]!r}", hint="known are max-size and max-file", about="log"
        )
    size = config.log.options.get("max-size", "")
    match = _SIZE.match(size) if size and size != "-1" else None
    if size and size != "-1" and not match:
        raise EngineError(f"logging option max-size {size!r} is not a size such as 10m", about="log")
    count = config.log.options.get("max-file", "1")
    if not count.isdigit() or int(count) < 1:
        raise EngineError(f"logging option max-file {count!r} is not a number of files", about="log")
    return {
        "driver": driver,
        "max_size": int(match[1]) * _UNITS[match[2].lower()] if match else 0,
        "max_files": int(count),
    }


async def start(
    engine: NamespaceEngine, config: ContainerConfig, *, restart_count: int = 0
) -> ContainerState:
    """Start a container that does not run; see `Engine.start`."""
    network = engine.network_manager
    engine.clean_up(config)
    setups = network.reserve(config, starting=True)
    bound = network.bind(config)
    try:
        launch = _document(engine, config, setups)
        launch["network"]["held"] = bound.to_dict()
        launch["state"] = _first_state(config, setups, bound.ports, restart_count)
        launch["log"] = log_part(config)
        launch["respawn"] = [*engine.respawn, config.project] if engine.respawn else []
        write_files(engine, config, setups)
        engine.store.prepare_run(config.id)
        network.publish(config.id, bound.ports, setups, config.name)
        try:
            return await _fork(engine, config, launch, bound.fds())
        except BaseException:
            network.unpublish(config.id)
            raise
    finally:
        bound.close()


async def _fork(
    engine: NamespaceEngine, config: ContainerConfig, launch: dict[str, Any], held: Sequence[int]
) -> ContainerState:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        engine.zygote.fork("shim", launch, [theirs.fileno(), *held[:_FDS]])
    finally:
        theirs.close()
    link = engine.add_link(config.id, ours)
    try:
        message, fds = await link.started()
    except anyio.get_cancelled_exc_class():
        # Nobody waits for it any more: it shall not run half made.
        with anyio.CancelScope(shield=True), anyio.move_on_after(_UNDO):
            await link.started()
            with suppress(ComposerError):
                await link.request("stop", timeout=0)
        raise
    for fd in fds:
        os.close(fd)
    if report := message.get("failed"):
        with anyio.CancelScope(shield=True):
            await link.ended()
        engine.store.write_stopped(config.id, status="created", error=report["message"])
        raise failure(report, f"container {config.name}")
    if message.get("lost"):
        raise EngineError(
            f"container {config.name}: its shim ended before it was started",
            hint="see shim.error in its run directory",
        )
    for start in range(_FDS, len(held), _FDS):
        async for _ in link.conversation("hold", {}, held[start : start + _FDS]):
            break
    return state_from(message["started"], config)


def _document(
    engine: NamespaceEngine, config: ContainerConfig, setups: Sequence[EndpointSetup]
) -> dict[str, Any]:
    known, launch = engine.compiled.pop(config.id, (None, None))
    if launch is None or known != config:
        volumes = {
            mount.source: engine.volume_manager.activate(mount.source)
            for mount in config.mounts
            if mount.type == "volume"
        }
        launch = compile_launch(
            config,
            engine.paths,
            volumes=volumes,
            pids=_joined(engine, config),
            cgroup_root=engine.cgroup_root,
        )
    launch["network"]["setups"] = [setup.to_dict() for setup in setups]
    launch["network"]["dns"] = bool(setups)
    return launch


def _joined(engine: NamespaceEngine, config: ContainerConfig) -> dict[str, int]:
    """Pids of the containers whose namespaces are joined."""
    found = {}
    for mode in _modes(config):
        kind, _, other = mode.partition(":")
        if kind != "container":
            continue
        state = engine.store.state(other)
        if not state.pid:
            raise ConflictError(
                f"container {config.name} joins a namespace of {state.name}, which is not running",
                hint=f"start {state.name} first",
            )
        found[other] = state.pid
    return found


def _first_state(
    config: ContainerConfig, setups: Sequence[EndpointSetup], ports: Any, restart_count: int
) -> dict[str, Any]:
    return {
        "id": config.id,
        "name": config.name,
        "status": "created",
        "pid": 0,
        "started_at": 0.0,
        "finished_at": 0.0,
        "exit_code": 0,
        "oom_killed": False,
        "error": "",
        "health": "none",
        "failing_streak": 0,
        "health_log": "",
        "restart_count": restart_count,
        "stopped_by_user": False,
        "endpoints": [to_json(setup.endpoint()) for setup in setups],
        "ports": [to_json(port) for port in ports],
    }


def write_files(engine: NamespaceEngine, config: ContainerConfig, setups: Sequence[EndpointSetup]) -> None:
    """hosts, hostname and resolv.conf of the container, written in place: they may be mounted somewhere."""
    if config.network_mode.startswith("container:"):
        return
    directory = engine.paths.container(config.id)
    hostname = config.hostname or config.id[:12]
    if config.uts_mode == "host" or (config.network_mode == "host" and not config.hostname):
        hostname = os.uname().nodename
    texts = {
        "hostname": f"{hostname}\n",
        "hosts": hosts_file(config, setups, engine.network_manager.host_gateway(setups)),
        "resolv.conf": resolv_conf(config),
    }
    for name, text in texts.items():
        fd = os.open(directory / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        with os.fdopen(fd, "wb") as file:
            file.write(text.encode())
