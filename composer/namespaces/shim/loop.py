"""A poll(2) loop with timers; all a shim needs, in one small module."""

from __future__ import annotations

import heapq
import os
import select
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ = select.POLLIN
WRITE = select.POLLOUT
HANGUP = select.POLLHUP | select.POLLERR | select.POLLNVAL


class Timer:
    """A call that is due at `when` (monotonic seconds); `cancel` takes it back."""

    __slots__ = ("call", "when")

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when = when
        self.call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Never make the call."""
        self.call = None

    def __lt__(self, other: Timer) -> bool:
        return self.when < other.when


class Loop:
    """Calls back when descriptors are ready and when timers are due, one at a time."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._timers: list[Timer] = []
        self._running = False

    def watch(self, fd: int, callback: Callable[[int], None], events: int = READ) -> None:
        """Call *callback* with the ready events of *fd* until `forget`."""
        self._poll.register(fd, events)
        self._callbacks[fd] = callback

    def change(self, fd: int, events: int) -> None:
        """Wait for other events of a watched descriptor."""
        if fd in self._callbacks:
            self._poll.modify(fd, events)

    def forget(self, fd: int, *, close: bool = False) -> None:
        """Watch *fd* no longer, and close it if asked to."""
        if self._callbacks.pop(fd, None) is not None:
            self._poll.unregister(fd)
        if close:
            os.close(fd)

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Make *call* after *seconds*."""
        timer = Timer(time.monotonic() + seconds, call)
        heapq.heappush(self._timers, timer)
        return timer

    def stop(self) -> None:
        """Leave `run` after the present callback."""
        self._running = False

    def run(self) -> None:
        """Serve until `stop`."""
        self._running = True
        while self._running:
            self.step()

    def step(self, longest: float | None = None) -> None:
        """Wait once, at most *longest* seconds, and call back whatever is due."""
        timeout = self._timeout()
        if longest is not None and (timeout is None or timeout > longest * 1000):
            timeout = longest * 1000
        for fd, events in self._poll.poll(timeout):
            callback = self._callbacks.get(fd)
            if callback is not None:
                callback(events)
        now = time.monotonic()
        while self._timers and self._timers[0].when <= now:
            timer = heapq.heappop(self._timers)
            if timer.call is not None:
                timer.call()

    def _timeout(self) -> float | None:
        while self._timers and self._timers[0].call is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return max(0.0, (self._timers[0].when - time.monotonic()) * 1000)
