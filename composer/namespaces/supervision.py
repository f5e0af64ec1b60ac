"""When a shim itself is killed: its container ended with it, and the restart policy is still owed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio

from composer.errors import ComposerError, NotFoundError
from composer.namespaces import starting
from composer.namespaces.shim.state import FIRST_DELAY, LONGEST_DELAY
from composer.namespaces.store import KILLED, SHIM_KILLED

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from composer.engine import ContainerState
    from composer.namespaces.engine import NamespaceEngine


class Supervisor:
    """Restarts containers whose shim was killed.

    Args:
        engine: Starts them.
        tasks: Where the waiting happens.
    """

    def __init__(self, engine: NamespaceEngine, tasks: TaskGroup) -> None:
        self._engine = engine
        self._tasks = tasks
        self._owed: dict[str, anyio.CancelScope] = {}

    def will_restart(self, container_id: str) -> bool:
        """Whether a start of this container is owed."""
        return container_id in self._owed

    def forget(self, container_id: str) -> None:
        """Somebody decides otherwise: no restart."""
        scope = self._owed.pop(container_id, None)
        if scope is not None:
            scope.cancel()

    def adopt(self, state: ContainerState) -> None:
        """Look at a container that was found without a shim: one that was killed gets its due."""
        run = self._engine.paths.container_run(state.id) / "state.json"
        if state.status == "exited" and state.error == SHIM_KILLED and run.exists():
            self.shim_lost(state.id)

    def shim_lost(self, container_id: str) -> None:
        """The shim of a container is gone without a word: record the end, and restart by policy."""
        try:
            state = self._engine.store.state(container_id)
            self._engine.store.write_stopped(
                container_id,
                status="exited",
                pid=0,
                exit_code=KILLED,
                error=SHIM_KILLED,
                health="none",
                finished_at=time.time(),
            )
            self._engine.clean_up(state.config)
        except NotFoundError:
            return
        self._engine.network_manager.unpublish(container_id)
        state = self._engine.store.state(container_id)
        policy = state.config.restart
        wanted = not state.stopped_by_user and (
            policy.name in ("always", "unless-stopped")
            or (
                policy.name == "on-failure"
                and (not policy.max_retries or state.restart_count < policy.max_retries)
            )
        )
        if wanted and container_id not in self._owed:
            scope = anyio.CancelScope()
            self._owed[container_id] = scope
            self._tasks.start_soon(self._restart, state, scope)
        elif not wanted:
            self._engine.auto_removal.ended(state)
        self._engine.publish_event("die", state)

    async def _restart(self, state: ContainerState, scope: anyio.CancelScope) -> None:
        delay = FIRST_DELAY
        count = state.restart_count
        with scope:
            while True:
                await anyio.sleep(delay)
                delay = min(delay * 2, LONGEST_DELAY)
                count += 1
                try:
                    started = await starting.start(self._engine, state.config, restart_count=count)
                except NotFoundError:
                    break
                except ComposerError as error:
                    self._engine.store.write_stopped(state.id, error=error.message)
                    continue
                self._engine.publish_event("restart", started)
                break
        self._owed.pop(state.id, None)
