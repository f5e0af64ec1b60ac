"""Build steps: a container that runs once and leaves its changes in a directory."""

from __future__ import annotations

import json
import os
import shutil
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import anyio

from composer.errors import EngineError
from composer.namespaces.failures import failure
from composer.namespaces.launch import compile_launch
from composer.namespaces.shim.messages import socket_receive
from composer.namespaces.shim.state import start_time
from composer.namespaces.starting import write_files

if TYPE_CHECKING:
    from composer.engine import ContainerConfig
    from composer.namespaces.engine import NamespaceEngine


_MARK = "step"
"""Names the process that carries a step out: what is left of a step whose process is gone may be removed."""

_swept: WeakSet[NamespaceEngine] = WeakSet()


class NamespaceStep:
    """See `composer.engine.Step`.

    Args:
        engine: Whose zygote forks it.
        config: What runs.
    """

    def __init__(self, engine: NamespaceEngine, config: ContainerConfig) -> None:
        self._engine = engine
        self._config = config
        self._directory = engine.paths.container(config.id)
        self._run = engine.paths.container_run(config.id)
        self._launch: dict[str, Any] = {}

    @property
    def upper(self) -> str:
        """Directory with the changes; valid until the step's context is left."""
        return str(self._directory / "upper")

    def prepare(self) -> None:
        """Make directories and the launch document.

        Raises:
            EngineError: The configuration is wrong.
        """
        engine, config = self._engine, self._config
        sweep(engine)
        engine.store.make_directories(config)
        owner = f"{os.getpid()} {start_time(os.getpid())}"
        (self._directory / _MARK).write_text(owner, encoding="ascii")
        setups = engine.network_manager.reserve(config, starting=True)
        volumes = {
            mount.source: engine.volume_manager.activate(mount.source)
            for mount in config.mounts
            if mount.type == "volume"
        }
        launch = compile_launch(
            config, engine.paths, volumes=volumes, pids={}, cgroup_root=engine.cgroup_root
        )
        launch["network"]["setups"] = [setup.to_dict() for setup in setups]
        launch["network"]["dns"] = False
        launch["volatile"] = True
        # Nobody answers names of containers in a build: it asks the host's servers itself.
        write_files(engine, replace(config, attachments=()), setups)
        self._launch = launch

    async def run(self, output: int) -> int:
        """See `Step.run`.

        Raises:
            EngineError: The command could not be started.
        """
        self._engine.store.prepare_run(self._config.id)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._engine.zygote.fork("step", self._launch, [theirs.fileno(), output])
        finally:
            theirs.close()
        ours.setblocking(False)
        try:
            return await self._follow(ours)
        except BaseException:
            # Closing the connection tells the step to kill everything; wait until it has.
            with anyio.CancelScope(shield=True):
                ours.shutdown(socket.SHUT_WR)
                with anyio.move_on_after(10):
                    await self._end(ours)
            raise
        finally:
            ours.close()

    async def _follow(self, control: socket.socket) -> int:
        await anyio.wait_readable(control)
        data, _, _, _ = socket_receive(control)
        if not data:
            raise EngineError("the build step's process was killed")
        message = json.loads(data)
        if report := message.get("failed"):
            raise failure(report)
        return int(message["exit"])

    @staticmethod
    async def _end(control: socket.socket) -> None:
        while True:
            await anyio.wait_readable(control)
            try:
                if not control.recv(65536):
                    return
            except OSError:
                return

    async def clean(self) -> None:
        """Remove everything, the changes included."""
        if not self._launch:
            await anyio.to_thread.run_sync(self._remove)
            return
        # The changes go first: with a full disk nothing could be written about the rest.
        await anyio.to_thread.run_sync(lambda: shutil.rmtree(self.upper, ignore_errors=True))
        self._engine.network_manager.release(self._config.id)
        self._engine.remove_parents(self._launch["cgroup"]["path"])
        await anyio.to_thread.run_sync(self._remove)

    def _remove(self) -> None:
        shutil.rmtree(self._run, ignore_errors=True)
        shutil.rmtree(self._directory, ignore_errors=True)


def sweep(engine: NamespaceEngine) -> None:
    """Remove the steps of builds that were killed, with their addresses; once for each engine."""
    if engine in _swept:
        return
    _swept.add(engine)
    directory = engine.paths.container("x").parent
    for mark in directory.glob(f"*/{_MARK}"):
        try:
            pid, started = mark.read_text(encoding="ascii").split()
        except (OSError, ValueError):
            continue
        if start_time(int(pid)) != int(started):
            container_id = mark.parent.name
            engine.network_manager.release(container_id)
            shutil.rmtree(engine.paths.container_run(container_id), ignore_errors=True)
            shutil.rmtree(mark.parent, ignore_errors=True)
