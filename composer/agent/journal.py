"""What the agent writes down: its own log, and the events of the project's containers; both bounded.

One JSON object a line. structlog would write the same lines, but an agent lives as long as its project, and
5 MiB is much for one `json.dumps` (docs/decisions/0012).
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from composer.engine import EngineEvent

LIMIT = 1 << 20
"""A file of so many bytes is renamed to `<name>.1`, and a new one begun."""


class BoundedFile:
    """A file of lines that never grows beyond twice `LIMIT`, old half included; never raises."""

    def __init__(self, path: Path, limit: int = LIMIT) -> None:
        self._path = path
        self._limit = limit

    def write(self, text: str) -> None:
        """Append *text*; a full disk loses the line, not the containers."""
        data = text.encode("utf-8", "backslashreplace")
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(fd).st_size + len(data) > self._limit:
                    os.rename(self._path, f"{self._path}.1")
                    os.close(fd)
                    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
                    fd = os.open(self._path, flags, 0o600)
                os.write(fd, data)
            finally:
                os.close(fd)
        except OSError:
            return


class Journal:
    """The agent's records, in the project's directory.

    Args:
        directory: `Paths.project(name)`.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._log = BoundedFile(directory / "agent.log")
        self._events = BoundedFile(directory / "events.jsonl")

    def note(self, text: str, **fields: Any) -> None:
        """Write a line to the log."""
        line = {"timestamp": _now(), "pid": os.getpid(), **fields, "event": text, "level": "info"}
        self._log.write(json.dumps(line, default=str) + "\n")

    def record(self, event: EngineEvent) -> None:
        """Append what happened to a container."""
        state = event.state
        line = {
            "time": event.time,
            "action": event.action,
            "id": event.container,
            "name": state.name,
            "service": state.config.service,
            "image": state.config.image,
            "status": state.status,
            "exit_code": state.exit_code,
            "health": state.health,
        }
        self._events.write(json.dumps(line, separators=(",", ":")) + "\n")


def _now() -> str:
    now = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
