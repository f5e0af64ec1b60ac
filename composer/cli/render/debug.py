"""Progress as structured log lines, with every field of every event: `--debug`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from composer.cli.render.base import BaseRenderer
from composer.values import to_json

if TYPE_CHECKING:
    from composer.events import Event


class DebugRenderer(BaseRenderer):
    """Hands each event to structlog's console renderer.

    Args:
        stream: Where lines go.
        colour: Colour them.
    """

    def __init__(self, stream: TextIO, *, colour: bool = False) -> None:
        import structlog

        self._logger = structlog.wrap_logger(
            structlog.PrintLogger(stream),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso"),
                structlog.dev.ConsoleRenderer(colors=colour),
            ],
            wrapper_class=structlog.BoundLogger,
        )

    def handle(self, event: Event) -> None:
        """Write the event."""
        fields = to_json(event)
        text = fields.pop("action", "") or fields.get("text", "")
        fields.pop("time", None)
        level = event.status if event.status in ("warning", "error") else "debug"
        getattr(self._logger, level)(text, **fields)
