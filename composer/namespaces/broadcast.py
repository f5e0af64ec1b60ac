"""Events of the engine to everybody who listens, each with a buffer of its own."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import anyio

from composer.engine import EngineEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream

    Wanted: TypeAlias = Callable[[EngineEvent], bool]

_BUFFER = 10_000


class Broadcast:
    """Delivers events in order; a listener that does not read loses events rather than memory."""

    def __init__(self) -> None:
        self._listeners: list[tuple[Wanted, MemoryObjectSendStream[EngineEvent]]] = []

    @asynccontextmanager
    async def listen(self, wanted: Wanted) -> AsyncIterator[MemoryObjectReceiveStream[EngineEvent]]:
        """Receive the events that *wanted* takes, from now on."""
        send, receive = anyio.create_memory_object_stream[EngineEvent](_BUFFER)
        entry = (wanted, send)
        self._listeners.append(entry)
        try:
            yield receive
        finally:
            self._listeners.remove(entry)
            send.close()
            receive.close()

    def publish(self, event: EngineEvent) -> None:
        """Tell everybody who wants it."""
        for wanted, stream in list(self._listeners):
            if wanted(event):
                try:
                    stream.send_nowait(event)
                except anyio.WouldBlock:
                    continue
