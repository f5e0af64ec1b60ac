"""An engine that keeps everything in memory: the executor's tests run on it.

It is held to the same contract as the real one (`tests/support/engine_contract.py`, which runs on both), and can
be told to fail or to end containers.
"""

from __future__ import annotations

import itertools
import time
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace

import anyio

from composer.engine import ContainerState, Endpoint, EngineEvent, NetworkState, VolumeState
from composer.errors import ConflictError, NotFoundError
from composer.namespaces.broadcast import Broadcast

ACTIVE = ("running", "paused", "restarting", "stopping")


class MemoryEngine:
    def __init__(self):
        self.states = {}
        self.nets = {}
        self.vols = {}
        self.calls = []
        self.failures = {}
        """By (method, container or object name): the error it raises."""
        self.on_start = {}
        """By container name: async function(engine, id) run in the background after the start."""
        self.slow = 0.0
        self.at_once = self.most_at_once = 0
        self.exec_results = {}
        self.taken_ports = set()
        self._broadcast = Broadcast()
        self._tasks = None
        self._clock = itertools.count(1)

    @asynccontextmanager
    async def running(self):
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            yield self
            tasks.cancel_scope.cancel()

    async def _call(self, method, name):
        self.calls.append(f"{method} {name}")
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await anyio.sleep(self.slow)
        finally:
            self.at_once -= 1
        if (error := self.failures.get((method, name))) is not None:
            raise error

    def _get(self, container_id):
        if container_id not in self.states:
            raise NotFoundError(f"no such container: {container_id[:12]}")
        return self.states[container_id]

    def set(self, container_id, action="change", **changes):
        self.states[container_id] = state = replace(self._get(container_id), **changes)
        self._publish(action, state)
        return state

    def _publish(self, action, state):
        self._broadcast.publish(EngineEvent(state.id, action, state, time.time()))

    def named(self, name):
        return next(state for state in self.states.values() if state.name == name)

    def die(self, name, code=0):
        now = float(next(self._clock))
        return self.set(self.named(name).id, "die", status="exited", exit_code=code, finished_at=now, pid=0)

    def health(self, name, verdict, log=""):
        return self.set(self.named(name).id, "health_status", health=verdict, health_log=log)

    # The protocol

    async def containers(self, project=None):
        return [item for item in self.states.values() if project in (None, item.config.project)]

    async def create(self, config):
        await self._call("create", config.name)
        if any(state.name == config.name for state in self.states.values()):
            raise ConflictError(f"the name {config.name} is in use")
        for item in config.attachments:
            if item.network not in self.nets:
                raise NotFoundError(f"no such network: {item.network}")
        state = self.states[config.id] = ContainerState(config.id, config.name, "created", config)
        self._publish("create", state)
        return state

    async def check_ports(self, configs):
        for config in configs:
            for port in config.ports:
                if port.host_port in self.taken_ports:
                    raise ConflictError(f"port {port.host_port} is taken by sshd", path=port.path)

    async def start(self, container_id):
        state = self._get(container_id)
        await self._call("start", state.name)
        if state.status in ACTIVE:
            return state
        health = "starting" if state.config.healthcheck else "none"
        endpoints = tuple(Endpoint(item.network, "", "eth0", "") for item in state.config.attachments)
        state = self.set(
            container_id,
            "start",
            status="running",
            pid=1,
            health=health,
            exit_code=0,
            started_at=float(next(self._clock)),
            endpoints=endpoints,
            stopped_by_user=False,
        )
        if (job := self.on_start.get(state.name)) is not None:
            self._tasks.start_soon(job, self, container_id)
        return state

    async def stop(self, container_id, *, timeout=None):  # noqa: ASYNC109
        state = self._get(container_id)
        await self._call("stop", state.name)
        now = float(next(self._clock))
        if state.status not in ACTIVE:
            return self.set(container_id, "stop", stopped_by_user=True)
        return self.set(
            container_id,
            "stop",
            status="exited",
            exit_code=143,
            finished_at=now,
            pid=0,
            stopped_by_user=True,
            endpoints=(),
        )

    async def kill(self, container_id, signal="SIGKILL"):
        state = self._get(container_id)
        await self._call("kill", state.name)
        if state.status not in ACTIVE:
            raise ConflictError(f"container {state.name} is not running")
        self.die(state.name, 137)

    async def pause(self, container_id):
        self.set(container_id, "pause", status="paused")

    async def unpause(self, container_id):
        self.set(container_id, "unpause", status="running")

    async def rename(self, container_id, name):
        state = self._get(container_id)
        await self._call("rename", name)
        if any(other.name == name and other.id != state.id for other in self.states.values()):
            raise ConflictError(f"the name {name} is in use")
        self.set(container_id, "rename", name=name)

    async def remove(self, container_id, *, force=False, volumes=False):
        state = self._get(container_id)
        await self._call("remove", state.name)
        if state.status in ACTIVE and not force:
            raise ConflictError(f"container {state.name} is {state.status}")
        del self.states[container_id]
        if volumes:
            for mount in state.config.mounts:
                if mount.source in self.vols and self.vols[mount.source].config.anonymous:
                    del self.vols[mount.source]
        self._publish("destroy", state)

    async def wait(self, container_id):
        async with self.events(self._get(container_id).config.project) as events:
            while self._get(container_id).status in ACTIVE:
                await events.receive()
            return self._get(container_id)

    async def execute(self, container_id, process, *, timeout=None):  # noqa: ASYNC109
        state = self._get(container_id)
        if state.status != "running":
            raise ConflictError(f"container {state.name} is not running")
        await self._call("exec", f"{state.name} {' '.join(process.args)}")
        return self.exec_results.get(process.args, (0, b""))

    async def connect(self, container_id, attachment):
        state = self._get(container_id)
        await self._call("connect", state.name)
        config = replace(state.config, attachments=(*state.config.attachments, attachment))
        self.set(container_id, "connect", config=config)

    async def disconnect(self, container_id, network):
        state = self._get(container_id)
        await self._call("disconnect", state.name)
        kept = tuple(item for item in state.config.attachments if item.network != network)
        self.set(container_id, "disconnect", config=replace(state.config, attachments=kept))

    async def networks(self, project=None):
        found = []
        for state in self.nets.values():
            users = tuple(
                item.id
                for item in self.states.values()
                if any(joined.network == state.config.id for joined in item.config.attachments)
            )
            found.append(replace(state, containers=users))
        return [item for item in found if project in (None, item.config.project)]

    async def create_network(self, config):
        await self._call("create_network", config.name)
        if any(item.config.name == config.name for item in self.nets.values()):
            raise ConflictError(f"the network {config.name} exists")
        state = self.nets[config.id] = NetworkState(config, (), "br-x")
        return state

    async def remove_network(self, network_id):
        if network_id not in self.nets:
            raise NotFoundError("no such network")
        await self._call("remove_network", self.nets[network_id].config.name)
        users = next(item for item in await self.networks() if item.config.id == network_id).containers
        if users:
            raise ConflictError("the network is in use")
        del self.nets[network_id]

    async def volumes(self, project=None):
        return [item for item in self.vols.values() if project in (None, item.config.project)]

    async def create_volume(self, config):
        await self._call("create_volume", config.name)
        return self.vols.setdefault(config.name, VolumeState(config, f"/volumes/{config.name}"))

    async def remove_volume(self, name):
        if name not in self.vols:
            raise NotFoundError(f"no such volume: {name}")
        if any(mount.source == name for item in self.states.values() for mount in item.config.mounts):
            raise ConflictError(f"volume {name} is in use")
        await self._call("remove_volume", name)
        del self.vols[name]

    def events(self, project):
        return self._broadcast.listen(lambda event: event.state.config.project == project)


class MemoryImages:
    """Images by name; `pullable` and `buildable` become present when asked for."""

    def __init__(self, **present):
        self.present = present
        self.pullable = {}
        self.built = []
        self.build_error = None
        self.pull_error = None
        self.held = 0

    @asynccontextmanager
    async def using(self):
        with ExitStack() as stack:
            self.held += 1
            stack.callback(self._release)
            yield stack.close

    def _release(self):
        self.held -= 1

    async def find(self, name):
        return self.present.get(name)

    async def pull(self, name, *, platform, report):
        from composer.errors import RegistryError

        if self.pull_error is not None:
            raise self.pull_error
        if name not in self.pullable:
            raise RegistryError(f"{name} is nowhere")
        self.present[name] = self.pullable[name]
        return self.present[name]

    async def build(self, project, service, *, report):
        from tests.unit.controller.conftest import IMAGE

        self.built.append(service.name)
        if self.build_error is not None:
            raise self.build_error
        self.present[service.image or f"{project.name}-{service.name}"] = IMAGE
        return IMAGE

    async def remove(self, name):
        if name not in self.present:
            raise NotFoundError(f"no such image: {name}")
        del self.present[name]
