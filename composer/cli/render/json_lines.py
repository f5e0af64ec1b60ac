"""Progress as one JSON object per line, with docker compose's keys."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TextIO

from composer.cli.render.base import SUBJECTS, BaseRenderer, subject

if TYPE_CHECKING:
    from composer.events import Event

STATUS = {"working": "Working", "done": "Done", "warning": "Warning", "error": "Error", "info": "Done"}


class JsonRenderer(BaseRenderer):
    """Writes every event as `{"id": "Container p-web-1", "status": "Working", "text": "Creating"}`.

    Args:
        stream: Where lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def handle(self, event: Event) -> None:
        """Write one object; keys without a value are left out."""
        status = "Warning" if event.kind == "warning" else STATUS[event.status]
        record: dict[str, Any] = {"id": subject(event)}
        if event.parent:
            # The parent of a layer is an image, the parent of a step a build.
            kind = "build" if event.kind in ("step", "log") else "image"
            record["parent_id"] = f"{SUBJECTS[kind]}{event.parent}"
        record["status"] = status
        record["text"] = event.action or event.text
        if event.action and event.text:
            record["details"] = event.text
        if event.reason:
            record["reason"] = event.reason
        if event.current:
            record["current"] = event.current
        if event.total:
            record["total"] = event.total
            record["percent"] = min(100, event.current * 100 // event.total)
        self._stream.write(json.dumps(record, ensure_ascii=False) + "\n")
        self._stream.flush()
