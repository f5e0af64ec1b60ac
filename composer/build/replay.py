"""Looks a whole build up in the cache, without an event loop.

When nothing has changed, nothing has to be waited for: importing an event loop and going to its threads and
back were more than half of an unchanged build. The coroutines of `builder` are run to their end in one go; at
the first thing that has to be made, everything they found is dropped and the build begins anew, see `build`.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, TypeVar

from composer.errors import ComposerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from composer.build.digests import FileDigests
    from composer.build.request import BuildRequest
    from composer.build.state import Snapshot
    from composer.engine import ContainerConfig, NetworkConfig, NetworkState, Step
    from composer.events import Event, Report
    from composer.images.store import Image, Store

_T = TypeVar("_T")


class NotCachedError(Exception):
    """Something has to be made, run or fetched."""


class Replay:
    """A `Schedule` that does everything at once, in the order in which it is asked for."""

    def __init__(self) -> None:
        self._results: dict[int, Snapshot] = {}
        self._begun: set[int] = set()
        self._work: Callable[[int], Awaitable[Snapshot]]

    def works(self) -> None:
        """See `Schedule`."""
        raise NotCachedError

    async def thread(self, function: Callable[[], _T]) -> _T:
        """See `Schedule`."""
        return function()

    def lock(self) -> AbstractAsyncContextManager[object]:
        """See `Schedule`: nothing happens at the same time."""
        return nullcontext()

    def running(
        self, lock: Callable[[], AbstractContextManager[object]]
    ) -> AbstractAsyncContextManager[None]:
        """See `Schedule`."""
        del lock
        raise NotCachedError

    async def stages(
        self, needed: Sequence[int], work: Callable[[int], Awaitable[Snapshot]]
    ) -> dict[int, Snapshot]:
        """See `Schedule`."""
        self._work = work
        for index in needed:
            await self.stage(index)
        return self._results

    async def stage(self, index: int) -> Snapshot:
        """See `Schedule`."""
        if index not in self._results:
            if index in self._begun:
                raise NotCachedError  # it reads from itself, which the build that follows says
            self._begun.add(index)
            self._results[index] = await self._work(index)
        return self._results[index]


class _NoEngine:
    """A `StepEngine` for who runs nothing: every step asks `Replay.works` first."""

    def step(self, config: ContainerConfig) -> AbstractAsyncContextManager[Step]:
        raise NotCachedError(config)

    async def networks(self, project: str | None = None) -> Sequence[NetworkState]:
        raise NotCachedError(project)

    async def create_network(self, config: NetworkConfig) -> NetworkState:
        raise NotCachedError(config)

    async def remove_network(self, network_id: str) -> None:
        raise NotCachedError(network_id)


def replay(
    request: BuildRequest, *, store: Store, report: Report, digests: dict[str, FileDigests]
) -> Image | None:
    """The image of *request*, when every step is in the cache; else None, and nothing was told or changed.

    Errors give None as well: the build that follows meets them again. Blocks.

    Args:
        request: What to build.
        store: The store.
        report: Is told of every step, at the end.
        digests: Gets what was read, for the build that follows.
    """
    from composer.build.builder import Build
    from composer.build.remote import is_remote

    if request.no_cache or request.pull or request.cache_from or request.cache_to:
        return None
    if request.context == "-" or request.dockerfile == "-" or is_remote(request.context):
        return None
    told: list[Event] = []
    with store.using(), store.scratch() as scratch:
        try:
            job = Build(request, _NoEngine(), store, told.append, Replay(), None, str(scratch), digests)
            image = _run(job.run())
        except (NotCachedError, ComposerError):
            return None
    for event in told:
        report(event)
    return image


def _run(coroutine: Coroutine[object, object, _T]) -> _T:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: _T = done.value
        return result
    coroutine.close()
    raise NotCachedError
