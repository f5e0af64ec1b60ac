"""What a build tells while it runs: typed events, one pair for each step, one for each line of output."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from composer.events import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from composer.events import Report, Status

_KEPT_LINES = 20


def excerpt(lines: Sequence[str], file: str, line: int, around: int = 2) -> str:
    """Lines around *line* (from 1), the line itself marked with `>>>`."""
    first = max(1, line - around)
    shown = [f"{file}:{line}"]
    for number in range(first, min(len(lines), line + around) + 1):
        mark = ">>>" if number == line else "   "
        shown.append(f"{number:4} | {mark} {lines[number - 1]}")
    return "\n".join(shown)


class Progress:
    """The events of one build.

    Args:
        report: Where they go.
        title: The build's name.
        service: The Compose service it is for.
    """

    def __init__(self, report: Report, title: str, service: str = "") -> None:
        self._report = report
        self._thread = threading.get_ident()
        self.title = title
        self.service = service

    def report(self, event: Event) -> None:
        """Hand an event on; what a worker thread tells is told on the event loop's thread."""
        if threading.get_ident() == self._thread:
            self._report(event)
        else:
            from anyio import from_thread

            from_thread.run_sync(self._report, event)

    def build_started(self) -> None:
        """The build begins."""
        self.report(Event("build", self.title, "Building", "working", service=self.service))

    def build_failed(self, text: str) -> None:
        """The Dockerfile cannot be read; *text* is what surrounds the line."""
        self.report(Event("build", self.title, "Error", "error", service=self.service, text=text))

    def build_done(self, image: str, seconds: float) -> None:
        """The build is complete."""
        self.report(
            Event(
                "build",
                self.title,
                "Built",
                "done",
                service=self.service,
                text=f"{seconds:.1f}s",
                id=image,
                attributes={"duration": f"{seconds:.3f}"},
            )
        )

    def warning(self, text: str) -> None:
        """A finding that does not stop the build."""
        self.report(
            Event("warning", self.title, "", "warning", service=self.service, text=text, parent=self.title)
        )

    def step(self, name: str) -> StepProgress:
        """A step; nothing is told before it starts or is found in the cache."""
        return StepProgress(self, name)


class StepProgress:
    """One step's events; its end says CACHED, DONE or ERROR, and how long it took."""

    def __init__(self, progress: Progress, name: str) -> None:
        self._progress = progress
        self.name = name
        self._started = time.monotonic()
        self._output: list[str] = []

    def start(self) -> StepProgress:
        """It begins to do something."""
        self._send("Running", "working")
        return self

    def done(self) -> None:
        """It is complete."""
        self._send("DONE", "done", f"{time.monotonic() - self._started:.1f}s")

    def cached(self) -> None:
        """The cache had it."""
        self._send("CACHED", "done")

    def failed(self, text: str) -> None:
        """It failed; *text* is the Dockerfile around its line."""
        self._send("ERROR", "error", text)

    def output(self, line: str) -> None:
        """One line that its process wrote."""
        self._output.append(line)
        del self._output[:-_KEPT_LINES]
        progress = self._progress
        progress.report(
            Event(
                "log",
                self.name.partition("]")[0] + "]",
                "",
                "info",
                service=progress.service,
                text=line,
                parent=progress.title,
                attributes={"stream": "stdout", "since": f"{time.monotonic() - self._started:.3f}"},
            )
        )

    @property
    def tail(self) -> list[str]:
        """The last lines of output."""
        return self._output

    def _send(self, action: str, status: Status, text: str = "") -> None:
        progress = self._progress
        progress.report(
            Event(
                "step",
                self.name,
                action,
                status,
                service=progress.service,
                text=text,
                parent=progress.title,
                attributes={"duration": f"{time.monotonic() - self._started:.3f}"},
            )
        )
