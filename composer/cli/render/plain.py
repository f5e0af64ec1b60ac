"""Progress as plain lines, one per change, in docker compose's words: for pipes, logs and CI."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from composer.cli.render.base import BaseRenderer, subject

if TYPE_CHECKING:
    from composer.events import Event


class PlainRenderer(BaseRenderer):
    """Writes ` Container p-web-1  Started` lines.

    Numbers that only advance (bytes of a layer) are left out: a log that grows by one line per percent is
    read by nobody.

    Args:
        stream: Where lines go.
        verbose: Add the reason of each operation.
    """

    def __init__(self, stream: TextIO, *, verbose: bool = False) -> None:
        self._stream = stream
        self._verbose = verbose
        self._last: dict[str, str] = {}

    def handle(self, event: Event) -> None:
        """Write a line, unless the event says nothing new."""
        if event.kind == "log":
            prefix = f"{event.name} | " if event.name else ""
            self._write(f"{prefix}{event.text}")
            return
        if event.kind == "warning":
            self._write(f"warning: {event.text or event.action}")
            return
        name = subject(event)
        if event.kind == "layer" and event.status in ("working", "info"):
            return
        words = " ".join(word for word in (event.action, event.text) if word)
        if self._verbose and event.reason:
            words = f"{words} ({event.reason})"
        if not words or self._last.get(name) == words:
            return
        self._last[name] = words
        self._write(f" {name} {words}")

    def _write(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()
