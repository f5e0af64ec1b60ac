"""The latest state of a project's containers, and waiting for it to change: no polling anywhere."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable
    from typing import Self

    from composer.engine import ContainerState, Engine, EngineEvent

T = TypeVar("T")


class Watcher:
    """Follows an engine's events.

    Args:
        engine: The engine.
        project: The project whose containers are followed.
        listener: Called with each event.
        on_change: Called after each change of `states`, before anybody who waits is woken.
    """

    def __init__(
        self,
        engine: Engine,
        project: str,
        listener: Callable[[EngineEvent], None] | None = None,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self._engine = engine
        self._project = project
        self.listener = listener
        self.on_change = on_change
        self._changed = anyio.Event()
        self.states: dict[str, ContainerState] = {}

    @asynccontextmanager
    async def following(self) -> AsyncIterator[Self]:
        """Follow events until the block is left; the first states are read after the subscription began."""
        async with self._engine.events(self._project) as events:
            self.refresh(await self._engine.containers(self._project))
            try:
                async with anyio.create_task_group() as group:
                    group.start_soon(self._follow, events)
                    yield self
                    group.cancel_scope.cancel()
            except BaseExceptionGroup as group_error:
                # One failure is the caller's own: give it back as it was raised.
                if len(group_error.exceptions) == 1:
                    raise group_error.exceptions[0] from None
                raise

    async def _follow(self, events: AsyncIterator[EngineEvent]) -> None:
        async for event in events:
            if event.action == "destroy":
                self.states.pop(event.container, None)
            elif not self._is_older(event.state):
                self.states[event.container] = event.state
            if self.listener is not None:
                self.listener(event)
            self._wake()

    def refresh(self, states: Iterable[ContainerState]) -> None:
        """Take over a whole snapshot."""
        self.states = {state.id: state for state in states}
        self._wake()

    def put(self, state: ContainerState) -> None:
        """Take over what an engine's method returned, unless events of the same run came in meanwhile."""
        known = self.states.get(state.id)
        if known is None or _moment(state) > _moment(known):
            self.states[state.id] = state
            self._wake()

    def drop(self, container_id: str) -> None:
        """Forget a container that was removed."""
        self.states.pop(container_id, None)
        self._wake()

    async def until(self, check: Callable[[], T | None]) -> T:
        """Wait until *check* returns something else than None; it is called after each change."""
        while True:
            changed = self._changed
            if (result := check()) is not None:
                return result
            await changed.wait()

    def _is_older(self, state: ContainerState) -> bool:
        """Whether an event is about an earlier run than what is known already."""
        known = self.states.get(state.id)
        return known is not None and _moment(state) < _moment(known)

    def _wake(self) -> None:
        if self.on_change is not None:
            self.on_change()
        self._changed.set()
        self._changed = anyio.Event()


def _moment(state: ContainerState) -> tuple[float, float]:
    """Grows with each start and each end of a container."""
    return (state.started_at, state.finished_at)
