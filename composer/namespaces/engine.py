"""`NamespaceEngine`: what `composer.engine.Engine` asks for, done with zygote, shims, networks and volumes.

Everything that lasts is on disk or in a shim; this object can vanish at any moment, and the next one finds
all containers again. Work that takes less than some milliseconds is done on the event loop.
"""

from __future__ import annotations

import os
import resource
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio

from composer.engine import ContainerState, EngineEvent
from composer.errors import ComposerError, ConflictError, EngineError, NotFoundError
from composer.namespaces import joining, links, starting
from composer.namespaces.auto_removal import AutoRemoval
from composer.namespaces.broadcast import Broadcast
from composer.namespaces.cgroups import open_cgroup
from composer.namespaces.executing import execute
from composer.namespaces.launch import cgroup_path
from composer.namespaces.network.manager import NetworkManager
from composer.namespaces.shim.state import ACTIVE
from composer.namespaces.signals import signal_number
from composer.namespaces.stats import read_stats
from composer.namespaces.steps import NamespaceStep
from composer.namespaces.store import ContainerStore, state_from
from composer.namespaces.supervision import Supervisor
from composer.namespaces.volumes import VolumeManager
from composer.namespaces.zygote_client import Zygote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from anyio.abc import TaskGroup

    from composer.engine import (
        Attachment,
        ContainerConfig,
        NetworkConfig,
        NetworkState,
        Process,
        Stats,
        VolumeConfig,
        VolumeState,
    )
    from composer.namespaces.links import ShimLink
    from composer.state.paths import Paths

_KILL_WAIT = 10.0
_LOOK_AGAIN = 0.5


class NamespaceEngine:
    """Containers of one installation. Make it with `open_engine`."""

    def __init__(self, paths: Paths, tasks: TaskGroup, respawn: Sequence[str], cgroup_root: str) -> None:
        self.paths = paths
        self.respawn = tuple(respawn)
        self.cgroup_root = cgroup_root
        self.store = ContainerStore(paths)
        self.zygote = Zygote()
        self.network_manager = NetworkManager(paths)
        self.volume_manager = VolumeManager(paths)
        self._closed = False
        self._tasks = tasks
        self._links: dict[str, ShimLink] = {}
        self.compiled: dict[str, tuple[ContainerConfig, dict[str, Any]]] = {}
        """Launch documents that were compiled when their container was created, for its first start."""
        self._broadcast = Broadcast()
        self._supervisor = Supervisor(self, tasks)
        self.auto_removal = AutoRemoval(self, tasks)

    # -- containers ----------------------------------------------------------------------------------------

    async def containers(self, project: str | None = None) -> Sequence[ContainerState]:
        """See `Engine.containers`."""
        return self.store.states(project)

    async def create(self, config: ContainerConfig) -> ContainerState:
        """See `Engine.create`."""
        if not config.created:
            config = replace(config, created=time.time())
        launch = starting.check(config, self.paths, self.cgroup_root)
        self.store.create(config)
        try:
            self.network_manager.reserve(config)
        except BaseException:
            self.store.remove(config.id, config.name)
            raise
        if launch is not None:
            self.compiled[config.id] = (config, launch)
        state = ContainerState(config.id, config.name, "created", config)
        self.publish_event("create", state)
        return state

    async def check_ports(self, configs: Sequence[ContainerConfig]) -> None:
        """See `Engine.check_ports`."""
        self.network_manager.check_ports(configs)

    async def start(self, container_id: str) -> ContainerState:
        """See `Engine.start`."""
        self._supervisor.forget(container_id)
        state = self.store.state(container_id)
        if state.status in ("running", "paused", "restarting", "stopping"):
            return state
        await self._settled(container_id)
        started = await starting.start(self, state.config)
        self.publish_event("start", started, started.started_at)
        return started

    async def stop(self, container_id: str, *, timeout: float | None = None) -> ContainerState:  # noqa: ASYNC109
        """See `Engine.stop`."""
        self._supervisor.forget(container_id)
        state = self.store.state(container_id)
        if state.status not in ACTIVE:
            self.store.write_stopped(container_id, stopped_by_user=True)
            return self.store.state(container_id)
        link = self.link(container_id)
        self.publish_event("kill", state)  # how a stop begins
        try:
            await link.request("stop", timeout=timeout)
        except EngineError:
            if not link.closed:
                raise
        state = self.store.state(container_id)
        self.publish_event("stop", state)
        return state

    async def kill(self, container_id: str, signal: str = "SIGKILL") -> None:
        """See `Engine.kill`."""
        number = signal_number(signal)
        state = self.store.state(container_id)
        if state.status not in ACTIVE:
            raise ConflictError(f"container {state.name} is not running")
        await self.link(container_id).request("signal", signal=number)
        self.publish_event("kill", self.store.state(container_id))

    async def pause(self, container_id: str) -> None:
        """See `Engine.pause`."""
        await self._running_link(container_id).request("pause")

    async def unpause(self, container_id: str) -> None:
        """See `Engine.unpause`."""
        await self._running_link(container_id).request("unpause")

    async def rename(self, container_id: str, name: str) -> None:
        """See `Engine.rename`."""
        self.store.rename(container_id, name)
        state = self.store.state(container_id)
        if state.status in ACTIVE:
            await self.link(container_id).request("rename", name=name)
        self.publish_event("rename", self.store.state(container_id))

    async def remove(self, container_id: str, *, force: bool = False, volumes: bool = False) -> None:
        """See `Engine.remove`."""
        self._supervisor.forget(container_id)
        state = self.store.state(container_id)
        if state.status in ACTIVE:
            if not force:
                raise ConflictError(
                    f"container {state.name} is {state.status}", hint="stop it first, or force the removal"
                )
            await self.stop(container_id, timeout=0)
        await self._settled(container_id)
        self.compiled.pop(container_id, None)
        group = self.cgroup_of(state.config)
        self.clean_up(state.config)
        self.remove_parents(group)
        released = False
        with suppress(ComposerError):  # a full disk; what fills it may be this container's files
            self.network_manager.release(container_id)
            released = True
        await anyio.to_thread.run_sync(self.store.remove, container_id, state.config.name)
        if not released:
            with suppress(ComposerError):  # leases of containers that are gone are dropped with the next one
                self.network_manager.release(container_id)
        self.publish_event("destroy", state)
        if volumes:
            self._remove_anonymous(state.config)

    def _remove_anonymous(self, config: ContainerConfig) -> None:
        used = {mount.source for other in self.store.ids() for mount in self.store.config(other).mounts}
        for mount in config.mounts:
            if mount.type != "volume" or mount.source in used:
                continue
            try:
                if self.volume_manager.get(mount.source).config.anonymous:
                    self.volume_manager.remove(mount.source)
            except NotFoundError:
                continue

    async def wait(self, container_id: str) -> ContainerState:
        """See `Engine.wait`."""
        async with self._broadcast.listen(lambda event: event.container == container_id) as events:
            while True:
                state = self.store.state(container_id)
                if state.status not in ACTIVE and not self._supervisor.will_restart(container_id):
                    return state
                if state.status in ACTIVE:
                    with suppress(ConflictError):  # it ends right now
                        self.link(container_id)
                # An end between reading the state and subscribing brings no event: look again.
                with anyio.move_on_after(_LOOK_AGAIN):
                    await events.receive()

    async def execute(
        self,
        container_id: str,
        process: Process,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> tuple[int, bytes]:
        """See `Engine.execute`."""
        return await execute(self._running_link(container_id), process, timeout)

    async def stats(self, container_id: str) -> Stats:
        """See `Engine.stats`."""
        state = self.store.state(container_id)
        return read_stats(state, self.cgroup_of(state.config))

    # -- networks ------------------------------------------------------------------------------------------

    async def connect(self, container_id: str, attachment: Attachment) -> None:
        """See `Engine.connect`."""
        await joining.join(self, container_id, attachment)

    async def disconnect(self, container_id: str, network: str) -> None:
        """See `Engine.disconnect`."""
        await joining.leave(self, container_id, network)

    def repair_networks(self) -> None:
        """Networks that a reboot took are made again; ports of what ended unobserved are unpublished."""
        live = []
        for container in self.network_manager.publishers():
            with suppress(NotFoundError):
                if self.store.state(container).status in ACTIVE:
                    live.append(container)
        self.network_manager.reconcile(live)

    async def networks(self, project: str | None = None) -> Sequence[NetworkState]:
        """See `Engine.networks`."""
        return self.network_manager.list(project)

    async def create_network(self, config: NetworkConfig) -> NetworkState:
        """See `Engine.create_network`."""
        return self.network_manager.create(config)

    async def remove_network(self, network_id: str) -> None:
        """See `Engine.remove_network`."""
        self.network_manager.remove(network_id)

    async def dns_sockets(self, container_id: str) -> tuple[int, int] | None:
        """The sockets on which a running container asks for names (UDP, TCP), for a resolver to own."""
        _, dns, ports = await self._held(container_id)
        for fd in ports:
            os.close(fd)
        return (dns[0], dns[1]) if dns else None

    async def port_sockets(self, container_id: str) -> tuple[list[dict[str, Any]], list[int]] | None:
        """The sockets that hold a running container's published ports, and which ports they are."""
        held, dns, ports = await self._held(container_id)
        for fd in dns:
            os.close(fd)
        return (held, ports) if ports else None

    async def _held(self, container_id: str) -> tuple[list[dict[str, Any]], list[int], list[int]]:
        fds: list[int] = []
        first: dict[str, Any] = {}
        async for answer, more in self._running_link(container_id).conversation("held", {}):
            first = first or answer
            fds += more
            if len(fds) >= first["total"]:
                break
        return first["ports"], fds[: first["dns"]], fds[first["dns"] :]

    # -- volumes -------------------------------------------------------------------------------------------

    async def volumes(self, project: str | None = None) -> Sequence[VolumeState]:
        """See `Engine.volumes`."""
        return self.volume_manager.list(project)

    async def create_volume(self, config: VolumeConfig) -> VolumeState:
        """See `Engine.create_volume`."""
        return self.volume_manager.create(config)

    async def remove_volume(self, name: str) -> None:
        """See `Engine.remove_volume`."""
        for container_id in self.store.ids():
            try:
                config = self.store.config(container_id)
            except NotFoundError:
                continue
            if any(mount.type == "volume" and mount.source == name for mount in config.mounts):
                raise ConflictError(f"volume {name} is in use by container {config.name}")
        await anyio.to_thread.run_sync(self.volume_manager.remove, name)

    # -- events --------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def events(self, project: str) -> AsyncIterator[AsyncIterator[EngineEvent]]:
        """See `Engine.events`."""
        async with self._broadcast.listen(lambda event: event.state.config.project == project) as events:
            for state in self.store.states(project):
                if state.status in ACTIVE:
                    self.link(state.id)
                else:
                    self._supervisor.adopt(state)
                    self.auto_removal.ended(state)
            yield events

    def publish_event(self, action: str, state: ContainerState, when: float = 0.0) -> None:
        """Tell everybody who listens."""
        self._broadcast.publish(EngineEvent(state.id, action, state, when or time.time()))

    # -- steps ---------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def step(self, config: ContainerConfig) -> AsyncIterator[NamespaceStep]:
        """See `Engine.step`."""
        step = NamespaceStep(self, config)
        try:
            step.prepare()
            yield step
        finally:
            with anyio.CancelScope(shield=True):
                await step.clean()

    # -- links to shims ------------------------------------------------------------------------------------

    def link(self, container_id: str) -> ShimLink:
        """The connection to a container's shim, made when there is none.

        Raises:
            ConflictError: There is no shim.
        """
        present = self._links.get(container_id)
        if present is not None and not present.closed:
            return present
        sock = links.connect(self.paths.container_run(container_id))
        if sock is None:
            state = self.store.state(container_id)
            raise ConflictError(f"container {state.name} is not running")
        link = self.add_link(container_id, sock)
        sock.send(b'{"op":"subscribe","agent":true}')
        return link

    def add_link(self, container_id: str, sock: Any) -> ShimLink:
        """Serve the connection *sock* until its shim ends."""
        link = links.ShimLink(
            container_id,
            sock,
            lambda action, values, when: self._event(container_id, action, values, when),
            self._link_ended,
        )
        self._links[container_id] = link
        self._tasks.start_soon(link.serve)
        return link

    def _running_link(self, container_id: str) -> ShimLink:
        state = self.store.state(container_id)
        if state.status not in ACTIVE:
            raise ConflictError(f"container {state.name} is not running")
        return self.link(container_id)

    def _event(self, container_id: str, action: str, values: dict[str, Any], when: float) -> None:
        try:
            state = state_from(values, self.store.config(container_id))
        except NotFoundError:
            return
        if action == "die" and state.status == "exited":
            self.network_manager.unpublish(container_id)
            self.auto_removal.ended(state)
        self.publish_event(action, state, when)

    def _link_ended(self, link: ShimLink) -> None:
        if self._links.get(link.container_id) is link:
            del self._links[link.container_id]
        if self._closed:
            return  # it was us who left, not the shim
        if not link.state or link.state.get("shim", {}).get("over"):
            return
        written = self.store.raw_state(link.container_id) or {}
        if written.get("shim", {}).get("over"):  # the last event was lost, not the shim
            self._event(link.container_id, "die", written, time.time())
        else:
            self._supervisor.shim_lost(link.container_id)

    async def _settled(self, container_id: str) -> None:
        """Wait until a shim that is about to end has given everything back."""
        link = self._links.get(container_id)
        if link is None or link.closed:
            sock = links.connect(self.paths.container_run(container_id))
            if sock is None:
                return
            link = self.add_link(container_id, sock)
        with anyio.move_on_after(_KILL_WAIT):
            await link.ended()

    def cgroup_of(self, config: ContainerConfig) -> str:
        """The container's control group: where its shim put it, or where a new one would."""
        values = self.store.raw_state(config.id) or {}
        return values.get("shim", {}).get("cgroup") or cgroup_path(config, self.paths, self.cgroup_root)

    def clean_up(self, config: ContainerConfig) -> None:
        """Remove what a killed shim left in the kernel: processes, cgroup, host ends of links."""
        group = open_cgroup(self.cgroup_of(config))
        if any(os.path.isdir(directory) for directory in group.directories()):
            try:
                group.kill()
                group.remove()
            except OSError as error:
                raise EngineError(f"container {config.name} cannot be cleaned up: {error}") from error

    def remove_parents(self, group: str) -> None:
        """Remove the control groups above the one that is gone, as far up as they are empty."""
        for parent in (os.path.dirname(group), os.path.dirname(os.path.dirname(group))):
            if len(parent) > 1 and not parent.endswith(".slice"):
                for directory in open_cgroup(parent).directories():
                    try:
                        os.rmdir(directory)
                    except OSError:
                        continue  # other containers are in it, or it is not ours

    def say_bye(self) -> None:
        """The engine is closed on purpose: shims shall not call another agent."""
        self._closed = True
        for link in self._links.values():
            link.say_bye()


@asynccontextmanager
async def open_engine(
    paths: Paths, *, respawn: Sequence[str] = (), cgroup_root: str = "", zygote: Zygote | None = None
) -> AsyncIterator[NamespaceEngine]:
    """An engine on *paths*; containers go on when it is closed.

    Args:
        paths: Where this installation lives.
        respawn: Command that starts an agent; a shim that lost its agent runs it with its project's name.
        cgroup_root: Control group that containers are made in, from `cgroups.systemd.enter_scope`; empty:
            `/composer<suffix>/<project>`.
        zygote: One that is running already; it is closed with the engine.

    Raises:
        UnsupportedError: No root privileges.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # ranges of published ports are many sockets
    try:
        async with anyio.create_task_group() as tasks:
            engine = NamespaceEngine(paths, tasks, respawn, cgroup_root)
            if zygote is None:
                engine.zygote.start()
            else:
                engine.zygote = zygote
            engine.repair_networks()
            try:
                yield engine
            finally:
                engine.say_bye()
                tasks.cancel_scope.cancel()
                engine.zygote.close()
                engine.network_manager.close()
    except BaseExceptionGroup as group:
        # One failure is the caller's own: give it back as it was raised.
        if len(group.exceptions) == 1:
            raise group.exceptions[0] from None
        raise
