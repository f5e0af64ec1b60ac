"""Containers that are removed when they end (`run --rm`): by whoever sees the end, and by nobody too early.

An engine that is opened later removes what ended while there was none: the shim calls an agent for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from composer.errors import ComposerError, NotFoundError
from composer.namespaces.shim.state import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import TaskGroup

    from composer.engine import ContainerState
    from composer.namespaces.engine import NamespaceEngine

_PAUSES = (0.2, 1.0, 5.0)  # seconds between attempts


class AutoRemoval:
    """Removes what has ended and asked for it.

    Args:
        engine: Removes them.
        tasks: Where the removals run.

    Attributes:
        on_done: Called when a removal is over; whoever closes the engine waits until nothing is `busy`.
    """

    def __init__(self, engine: NamespaceEngine, tasks: TaskGroup) -> None:
        self._engine = engine
        self._tasks = tasks
        self.on_done: Callable[[], None] | None = None
        self._kept: set[str] = set()
        self._going: set[str] = set()

    @property
    def busy(self) -> bool:
        """Whether something is being removed."""
        return bool(self._going)

    def keep(self, container_id: str) -> None:
        """Somebody still reads its output, and removes it or lets it go."""
        self._kept.add(container_id)

    def let_go(self, container_id: str) -> None:
        """Nobody reads it any more: remove it when it ends, or now when it does not run."""
        self._kept.discard(container_id)
        try:
            state = self._engine.store.state(container_id)
        except NotFoundError:
            return
        if state.status not in ACTIVE:
            self._remove(state)

    def ended(self, state: ContainerState) -> None:
        """A container has ended, or was found so."""
        if state.status not in (*ACTIVE, "created"):
            self._remove(state)

    def _remove(self, state: ContainerState) -> None:
        if state.config.auto_remove and state.id not in self._kept and state.id not in self._going:
            self._going.add(state.id)
            self._tasks.start_soon(self._until_gone, state)

    async def _until_gone(self, state: ContainerState) -> None:
        try:
            for pause in _PAUSES:
                try:
                    await self._engine.remove(state.id, volumes=True)
                except NotFoundError:
                    return
                except ComposerError:
                    await anyio.sleep(pause)
                else:
                    return
        finally:
            self._going.discard(state.id)
            if self.on_done is not None:
                self.on_done()
