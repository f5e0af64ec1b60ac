"""How each operation of a plan is carried out on an engine, and which events it reports."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from composer.controller import plan as ops
from composer.controller.connections import attachment
from composer.controller.containers import (
    Identity,
    container_config,
    network_config,
    volume_config,
)
from composer.controller.hooks import run_exec_hooks, run_pre_start
from composer.controller.observe import ACTIVE
from composer.controller.world import new_id
from composer.errors import ComposerError, ConflictError, NotFoundError
from composer.events import Event

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

    from composer.controller.plan import Operation
    from composer.controller.world import World
    from composer.events import Kind, Report, Status
    from composer.spec.model import Project, Service


class Operations:
    """Carries out single operations.

    Args:
        world: What there is.
        report: Takes the events.
    """

    def __init__(self, world: World, report: Report) -> None:
        self._world = world
        self._engine = world.engine
        self._report = report
        self._unnamed: dict[str, ops.CreateContainer] = {}
        """Containers that were made under a temporary name and are not renamed yet, by id."""

    async def perform(self, operation: Operation) -> None:
        """Carry out *operation*.

        Raises:
            ComposerError: It failed.
        """
        match operation:
            case ops.PullImage():
                await self._pull(operation)
            case ops.BuildImage():
                await self._build(operation)
            case ops.RemoveImage():
                await self._unless_in_use(operation, self._world.images.remove(operation.name))
            case ops.CreateNetwork():
                await self._create_network(operation)
            case ops.RemoveNetwork():
                await self._unless_in_use(operation, self._engine.remove_network(operation.id))
            case ops.CreateVolume():
                with self._progress(operation, "Creating", "Created"):
                    await self._engine.create_volume(volume_config(self._project, operation.volume))
            case ops.RemoveVolume():
                await self._unless_in_use(operation, self._engine.remove_volume(operation.name))
            case ops.CreateContainer():
                await self._create(operation)
            case ops.StartContainer():
                await self._start(operation)
            case ops.StopContainer():
                await self._stop(operation)
            case ops.RemoveContainer():
                await self._remove(operation)
            case ops.RenameContainer():
                await self._rename(operation)
            case ops.KillContainer():
                with self._progress(operation, "Killing", "Killed"):
                    await self._engine.kill(operation.container, operation.signal)
            case ops.PauseContainer():
                with self._progress(operation, "Pausing", "Paused"):
                    await self._engine.pause(operation.container)
            case ops.UnpauseContainer():
                with self._progress(operation, "Unpausing", "Unpaused"):
                    await self._engine.unpause(operation.container)
            case ops.ConnectNetwork():
                await self._connect(operation)
            case ops.DisconnectNetwork():
                await _tolerate_missing(self._engine.disconnect(operation.container, operation.id))
            case ops.RunHook():
                await run_pre_start(self._world, operation, self._report)
            case _:
                raise AssertionError(f"unknown operation {operation}")

    async def settle(self) -> None:
        """After a failure: no container keeps its temporary name; an old one that is left stays."""
        for container_id, operation in list(self._unnamed.items()):
            try:
                old = {item.id for item in await self._engine.containers(self._world.observed.project)}
                if operation.replaces in old:
                    await self._engine.remove(container_id, force=True)
                else:
                    await self._engine.rename(container_id, operation.name)
            except ComposerError:
                continue  # the next command finds and finishes it
            finally:
                self._unnamed.pop(container_id, None)

    # Events

    @property
    def _project(self) -> Project:
        if self._world.project is None:
            raise AssertionError("this operation needs a project")
        return self._world.project

    def _event(self, operation: Operation, action: str, status: Status, text: str = "") -> None:
        kind: Kind = operation.kind  # type: ignore[assignment]
        self._report(
            Event(
                kind,
                operation.name,
                action,
                status,
                service=operation.service,
                reason=operation.reason,
                text=text,
            )
        )

    @contextmanager
    def _progress(self, operation: Operation, doing: str, done: str) -> Iterator[None]:
        """Report *doing*, and *done* unless the block raises; an empty *done* is reported elsewhere."""
        self._event(operation, doing, "working")
        yield
        if done:
            self._event(operation, done, "done")

    # Images

    async def _pull(self, operation: ops.PullImage) -> None:
        service = self._project.services[operation.service]
        self._event(operation, "Pulling", "working")
        try:
            await self._world.images.pull(operation.name, platform=service.platform, report=self._report)
        except ComposerError as error:
            if not operation.optional:
                if operation.name not in error.message:
                    error.message = f"cannot pull {operation.name}: {error.message}"
                error.hint = error.hint or "build it, or bring it with `composer image load`"
                raise
            self._event(operation, "Skipped", "warning", f"it will be built, because {error.message}")
            return
        self._event(operation, "Pulled", "done")

    async def _build(self, operation: ops.BuildImage) -> None:
        pulled_first = any(key.startswith("pull ") for key in operation.after)
        if pulled_first and await self._world.images.find(operation.name) is not None:
            return
        self._event(operation, "Building", "working")
        service = self._project.services[operation.service]
        await self._world.images.build(self._project, service, report=self._report)
        self._event(operation, "Built", "done")

    # Networks and volumes

    async def _create_network(self, operation: ops.CreateNetwork) -> None:
        with self._progress(operation, "Creating", "Created"):
            config = network_config(self._project, operation.network, operation.id or new_id())
            state = await self._engine.create_network(config)
            self._world.networks[operation.network] = state.config.id

    async def _unless_in_use(self, operation: Operation, removal: Awaitable[None]) -> None:
        self._event(operation, "Removing", "working")
        try:
            await removal
        except ConflictError as error:
            users = error.message.partition(" is in use ")[2]
            self._event(operation, "Resource is still in use", "warning", users or error.hint)
        except NotFoundError:
            self._event(operation, "Removed", "done")
        else:
            self._event(operation, "Removed", "done")

    async def _connect(self, operation: ops.ConnectNetwork) -> None:
        service = self._project.services[operation.service]
        joined = attachment(
            self._world.surroundings(), service, operation.network, service.networks[operation.network]
        )
        await _tolerate_missing(self._engine.connect(operation.container, joined))

    # Containers

    async def _create(self, operation: ops.CreateContainer) -> None:
        world = self._world
        recreating = bool(operation.replaces)
        with self._progress(
            operation, "Recreate" if recreating else "Creating", "" if recreating else "Created"
        ):
            replaced = next(
                (item for item in world.observed.containers if item.id == operation.replaces), None
            )
            identity = Identity(
                id=new_id(),
                name=operation.temporary_name or operation.name,
                number=operation.number,
                replaces=replaced,
                inherit_volumes=operation.inherit_volumes,
                final_name=operation.name if operation.temporary_name else "",
            )
            service = self._project.services[operation.service]
            config, anonymous = container_config(world.surroundings(), service, identity, new_volume=new_id)
            for volume in anonymous:
                await self._engine.create_volume(volume)
            if operation.temporary_name:
                self._unnamed[config.id] = operation
            state = await self._engine.create(config)
            world.note_made(operation, state)
        if recreating and not operation.temporary_name:
            self._event(operation, "Recreated", "done")

    async def _rename(self, operation: ops.RenameContainer) -> None:
        container = self._world.resolve(operation.container)
        await self._engine.rename(container, operation.name)
        self._unnamed.pop(container, None)
        self._event(operation, "Recreated", "done")

    async def _start(self, operation: ops.StartContainer) -> None:
        container = self._world.resolve(operation.container)
        self._event(operation, "Starting", "working")
        state = await self._engine.start(container)
        self._world.watcher.put(state)
        service = self._service(operation)
        if service is not None and service.post_start:
            await run_exec_hooks(self._engine, state, service, "post_start", service.post_start)
        self._event(operation, "Started", "done")

    async def _stop(self, operation: ops.StopContainer) -> None:
        quiet = self._world.is_replaced(operation.container)
        state = self._world.state(operation.container)
        if state is not None and state.status not in ACTIVE:
            return
        if not quiet:
            self._event(operation, "Stopping", "working")
        service = self._service(operation)
        running = state is not None and state.status == "running"
        if state is not None and running and operation.hooks and service is not None and service.pre_stop:
            await run_exec_hooks(self._engine, state, service, "pre_stop", service.pre_stop)
        try:
            stopped = await self._engine.stop(operation.container, timeout=operation.timeout)
            self._world.watcher.put(stopped)
        except NotFoundError:
            self._world.watcher.drop(operation.container)
        if not quiet:
            self._event(operation, "Stopped", "done")

    async def _remove(self, operation: ops.RemoveContainer) -> None:
        quiet = self._world.is_replaced(operation.container)
        if not quiet:
            self._event(operation, "Removing", "working")
        await _tolerate_missing(
            self._engine.remove(operation.container, force=operation.force, volumes=operation.volumes)
        )
        self._world.watcher.drop(operation.container)
        if not quiet:
            self._event(operation, "Removed", "done")

    def _service(self, operation: Operation) -> Service | None:
        project = self._world.project
        return project.services.get(operation.service) if project is not None else None


async def _tolerate_missing(action: Awaitable[None]) -> None:
    """Somebody else was faster; that is what was wanted."""
    try:
        await action
    except NotFoundError:
        return
