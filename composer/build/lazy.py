"""An engine that is opened by the first RUN that is not in the cache: an unchanged build needs none."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from anyio.abc import TaskGroup, TaskStatus

    from composer.build.engine import StepEngine
    from composer.engine import ContainerConfig, NetworkConfig, NetworkState, Step


class LazyEngine:
    """A `StepEngine`. Make it with `lazy_engine`."""

    def __init__(
        self, opener: Callable[[], AbstractAsyncContextManager[StepEngine]], tasks: TaskGroup
    ) -> None:
        self._opener = opener
        self._tasks = tasks
        self._lock = anyio.Lock()
        self._engine: StepEngine | None = None
        self.closing = anyio.Event()

    @asynccontextmanager
    async def step(self, config: ContainerConfig) -> AsyncIterator[Step]:
        """See `Engine.step`."""
        engine = await self._opened()
        async with engine.step(config) as step:
            yield step

    async def networks(self, project: str | None = None) -> Sequence[NetworkState]:
        """See `Engine.networks`."""
        return await (await self._opened()).networks(project)

    async def create_network(self, config: NetworkConfig) -> NetworkState:
        """See `Engine.create_network`."""
        return await (await self._opened()).create_network(config)

    async def remove_network(self, network_id: str) -> None:
        """See `Engine.remove_network`."""
        await (await self._opened()).remove_network(network_id)

    async def _opened(self) -> StepEngine:
        async with self._lock:
            if self._engine is None:
                self._engine = await self._tasks.start(self._serve)
            return self._engine

    async def _serve(self, *, task_status: TaskStatus[StepEngine]) -> None:
        """Hold the engine open in one task: what enters a task group has to leave it.

        The outer scope may be cancelled while a step is still cleaning up, which needs the engine.
        """
        with anyio.CancelScope(shield=True):
            async with self._opener() as engine:
                task_status.started(engine)
                await self.closing.wait()


@asynccontextmanager
async def lazy_engine(
    opener: Callable[[], AbstractAsyncContextManager[StepEngine]],
) -> AsyncIterator[LazyEngine]:
    """An engine that *opener* opens when it is first needed."""
    async with anyio.create_task_group() as tasks:
        engine = LazyEngine(opener, tasks)
        try:
            yield engine
        finally:
            engine.closing.set()
