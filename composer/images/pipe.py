"""Runs a producer of chunks in a thread of its own, a few chunks ahead of whoever reads them.

Hashing, inflating, reading and writing release the interpreter lock, so the two really run side by side.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_AHEAD = 8


class Pipe:
    """Iterate to get the chunks of *source*, which runs in a thread; use as a context manager.

    Leaving the context early stops the thread at its next chunk. What *source* raises, the reader raises.
    """

    def __init__(self, source: Iterable[bytes], *, ahead: int = _AHEAD) -> None:
        self._source = source
        self._ready: deque[bytes] = deque()
        self._ahead = ahead
        self._condition = threading.Condition()
        self._finished = False
        self._stopped = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="composer-pipe", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._condition:
            self._stopped = True
            self._condition.notify_all()
        self._thread.join()

    def __iter__(self) -> Iterator[bytes]:
        while True:
            with self._condition:
                while not self._ready and not self._finished:
                    self._condition.wait()
                if not self._ready:
                    break
                chunk = self._ready.popleft()
                self._condition.notify()
            yield chunk
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for chunk in self._source:
                with self._condition:
                    while len(self._ready) >= self._ahead and not self._stopped:
                        self._condition.wait()
                    if self._stopped:
                        return
                    self._ready.append(chunk)
                    self._condition.notify()
        except BaseException as error:  # noqa: BLE001 - handed to the reader
            self._error = error
        finally:
            with self._condition:
                self._finished = True
                self._condition.notify_all()
