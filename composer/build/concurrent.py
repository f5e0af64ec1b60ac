"""Carries a build out on an event loop: stages at the same time, blocking work in threads."""

from __future__ import annotations

import os
from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import anyio
import anyio.to_thread

from composer.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AbstractContextManager

    from anyio.abc import TaskGroup

    from composer.build.state import Snapshot

_T = TypeVar("_T")


class Concurrent:
    """A `Schedule` for one build."""

    def __init__(self) -> None:
        self._runs = anyio.CapacityLimiter(max(2, len(os.sched_getaffinity(0))))
        self._results: dict[int, Snapshot] = {}
        self._done: dict[int, anyio.Event] = {}
        self._tasks: TaskGroup
        self._work: Callable[[int], Awaitable[Snapshot]]

    def works(self) -> None:
        """See `Schedule`: everything may be done."""

    async def thread(self, function: Callable[[], _T]) -> _T:
        """See `Schedule`."""
        return await anyio.to_thread.run_sync(function)

    def lock(self) -> anyio.Lock:
        """See `Schedule`."""
        return anyio.Lock()

    @asynccontextmanager
    async def running(self, lock: Callable[[], AbstractContextManager[object]]) -> AsyncIterator[None]:
        """See `Schedule`; waiting for another process can be cancelled at any time."""
        async with self._runs:
            pause = 0.02
            while True:
                with ExitStack() as stack:
                    try:
                        stack.enter_context(lock())
                    except ConflictError:
                        pass
                    else:
                        yield
                        return
                await anyio.sleep(pause)
                pause = min(pause * 1.5, 0.5)

    async def stages(
        self, needed: Sequence[int], work: Callable[[int], Awaitable[Snapshot]]
    ) -> dict[int, Snapshot]:
        """See `Schedule`."""
        self._work = work
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            for index in needed:
                self._start(index)
        return self._results

    async def stage(self, index: int) -> Snapshot:
        """See `Schedule`."""
        self._start(index)
        await self._done[index].wait()
        return self._results[index]

    def _start(self, index: int) -> None:
        if index not in self._done:
            self._done[index] = anyio.Event()
            self._tasks.start_soon(self._build_stage, index)

    async def _build_stage(self, index: int) -> None:
        self._results[index] = await self._work(index)
        self._done[index].set()
