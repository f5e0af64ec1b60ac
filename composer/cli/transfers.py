"""Progress of pulls and pushes: warnings become lines on standard error, the rest goes to the renderer."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from composer.cli.context import Context
    from composer.cli.render.base import Renderer
    from composer.events import Event, Report


def reporting(context: Context, renderer: Renderer) -> Report:
    """A report for transfers, which call it from several threads; a warning is shown once."""
    lock = threading.Lock()
    shown: set[str] = set()

    def report(event: Event) -> None:
        with lock:
            if event.kind != "warning":
                renderer.handle(event)
            elif event.text not in shown:
                shown.add(event.text)
                context.warn(event.text)

    return report
