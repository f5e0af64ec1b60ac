"""How a build waits: the one thing that differs between carrying it out and looking it up in the cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from composer.build.state import Snapshot

_T = TypeVar("_T")


class Schedule(Protocol):
    """What a build asks for when it has to wait. `Concurrent` and `Replay` are the two there are."""

    def works(self) -> None:
        """Called before anything is made, run or fetched.

        Raises:
            NotCachedError: This schedule only looks up what is there.
        """
        ...

    async def thread(self, function: Callable[[], _T]) -> _T:
        """Call something that blocks."""
        ...

    def lock(self) -> AbstractAsyncContextManager[object]:
        """A lock between the stages of this build."""
        ...

    def running(
        self, lock: Callable[[], AbstractContextManager[object]]
    ) -> AbstractAsyncContextManager[None]:
        """Inside, one RUN step may run: not too many at once, and none that holds the same *lock*.

        Args:
            lock: Takes the lock, or raises a `ConflictError` while somebody else has it.
        """
        ...

    async def stages(
        self, needed: Sequence[int], work: Callable[[int], Awaitable[Snapshot]]
    ) -> dict[int, Snapshot]:
        """Build the *needed* stages with *work*, and return the results of all that were built."""
        ...

    async def stage(self, index: int) -> Snapshot:
        """The result of one stage, for another one; it is started when nobody has. Only inside `stages`."""
        ...
