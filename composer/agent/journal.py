"""What the agent writes down: its own log, and the events of the project's containers; both bounded.

structlog is imported when the agent has been quiet for a moment after its first request: nobody waits for
it then. An agent that leaves earlier writes the same lines without it.
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

    def flush(self) -> None:
        """Nothing is buffered."""


class Journal:
    """The agent's records, in the project's directory.

    Args:
        directory: `Paths.project(name)`.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._log = BoundedFile(directory / "agent.log")
        self._events = BoundedFile(directory / "events.jsonl")
        self._early: list[tuple[str, dict[str, Any]]] = []
        self._logger: Any = None

    def note(self, text: str, **fields: Any) -> None:
        """Write a line to the log, at the latest when `open` is called or the agent leaves."""
        if self._logger is None:
            self._early.append((text, {"timestamp": _now(), **fields}))
        else:
            self._logger.info(text, timestamp=_now(), **fields)

    def open(self) -> None:
        """Import structlog and write down what was noted so far."""
        if self._logger is not None:
            return
        import structlog

        self._logger = structlog.wrap_logger(
            structlog.WriteLogger(self._log),  # type: ignore[arg-type]
            processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
            wrapper_class=structlog.BoundLogger,
            pid=os.getpid(),
        )
        early, self._early = self._early, []
        for text, fields in early:
            self._logger.info(text, **fields)

    def close(self) -> None:
        """Write down what was noted and not written yet."""
        for text, fields in self._early:
            line = {"pid": os.getpid(), **fields, "event": text, "level": "info"}
            self._log.write(json.dumps(line, default=str) + "\n")
        self._early.clear()

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
