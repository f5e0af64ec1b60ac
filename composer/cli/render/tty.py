"""Progress on a terminal: a table that is painted over itself, one line per object."""

from __future__ import annotations

import shutil
import threading
import time
from typing import TYPE_CHECKING, TextIO

from composer.cli.render.base import BaseRenderer, subject
from composer.cli.render.units import human_bytes

if TYPE_CHECKING:
    from composer.events import Event

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
ACTION_WIDTH = 30
"""Columns that names leave for what happens to them."""
INTERVAL = 0.1
"""Seconds between repaints while something is going on."""

_MARKS = {
    "done": ("✔", "32"),
    "info": ("✔", "32"),
    "warning": ("!", "33"),
    "error": ("✘", "31"),
}


class _Row:
    """One object's line."""

    __slots__ = ("action", "children", "current", "ended", "name", "started", "status", "text", "total")

    def __init__(self, name: str, now: float) -> None:
        self.name = name
        self.action = ""
        self.text = ""
        self.status = "working"
        self.current = 0
        self.total = 0
        self.started = now
        self.ended = 0.0
        self.children: dict[str, tuple[int, int]] = {}

    def progress(self) -> tuple[int, int]:
        """Bytes done and wanted, its own and its parts' together."""
        current = self.current + sum(done for done, _ in self.children.values())
        return current, self.total + sum(total for _, total in self.children.values())


class TtyRenderer(BaseRenderer):
    """Repaints a table ten times a second and after the last event.

    A thread paints, since a spinner must turn while the main thread waits for events.

    Args:
        stream: The terminal.
        title: What is being done, such as `up`.
        colour: Whether escape sequences for colour are wanted.
        size: Columns and lines of the terminal; None asks it.
    """

    def __init__(
        self, stream: TextIO, *, title: str = "", colour: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        self._stream = stream
        self._title = title
        self._colour = colour
        self._size = size
        self._rows: dict[str, _Row] = {}
        self._above: list[str] = []
        self._below: list[str] = []
        self._painted = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def handle(self, event: Event) -> None:
        """Take the event into the table; lines of output and warnings go above it."""
        with self._lock:
            if self._stop.is_set():
                return
            if event.kind in ("log", "warning"):
                text = event.text or event.action
                mark = self._paint("warning:", "33") + " " if event.kind == "warning" else ""
                self._above.append(f"{mark}{text}")
            else:
                self._take(event)
            if self._thread is None:
                self._stream.write("\x1b[?25l")
                self._thread = threading.Thread(target=self._repaint, daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Paint the last state, without cutting it to the screen's height, and show the cursor."""
        if self._thread is None or self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        with self._lock:
            self._draw(whole=True)
            self._stream.write("".join(f"{line}\n" for line in self._below))
            self._stream.write("\x1b[?25h")
            self._stream.flush()

    def _take(self, event: Event) -> None:
        now = time.monotonic()
        if event.kind == "layer" and event.parent:
            row = self._row(f"Image {event.parent}", now)
            row.children[event.name] = (event.current, event.total)
            return
        row = self._row(subject(event), now)
        row.action = event.action or row.action
        # The table has a clock of its own, and one line per object; what surrounds an error comes below it.
        timed = event.kind in ("step", "build") and event.status == "done"
        row.text = "" if timed else event.text.partition("\n")[0]
        if event.status == "error" and event.kind in ("step", "build"):
            self._below += event.text.splitlines()[1:]
        row.status = event.status
        row.current, row.total = event.current, event.total
        row.ended = 0.0 if event.status == "working" else now

    def _row(self, name: str, now: float) -> _Row:
        row = self._rows.get(name)
        if row is None:
            row = self._rows[name] = _Row(name, now)
        return row

    def _repaint(self) -> None:
        while not self._stop.wait(INTERVAL):
            with self._lock:
                self._draw(whole=False)

    def _draw(self, *, whole: bool) -> None:
        columns, height = self._size or shutil.get_terminal_size()
        lines = self.lines(columns, time.monotonic())
        if not whole and len(lines) > height - 1:
            # What is finished scrolls away first; the end shows everything again.
            head, rest = lines[0], lines[1:]
            open_rows = [line for line, row in zip(rest, self._rows.values(), strict=False) if not row.ended]
            lines = [head, *(open_rows or rest)[: height - 2]]
        out = [f"\x1b[{self._painted}A" if self._painted else "", "\r\x1b[0J"]
        out += [f"{line}\n" for line in self._above]
        out += [f"{line}\n" for line in lines]
        self._above.clear()
        self._painted = len(lines)
        self._stream.write("".join(out))
        self._stream.flush()

    def lines(self, columns: int, now: float) -> list[str]:
        """The table as it is now, cut to *columns*; `now` is on time.monotonic's clock."""
        rows = list(self._rows.values())
        if not rows:
            return []
        done = sum(1 for row in rows if row.ended)
        result = [f"[+] {self._title} {done}/{len(rows)}".replace("  ", " ")]
        width = min(max(len(row.name) for row in rows), max(columns - ACTION_WIDTH, 10))
        for row in rows:
            mark, code = _MARKS.get(row.status, (SPINNER[int(now * 10) % len(SPINNER)], "36"))
            seconds = f"{(row.ended or now) - row.started:.1f}s"
            current, total = row.progress()
            detail = row.text
            if total and not row.ended:
                detail = f"{human_bytes(current)} / {human_bytes(total)}"
            action = f"{row.action} {detail}".rstrip()
            name = row.name if len(row.name) <= width else f"{row.name[: width - 1]}…"
            left = f" {mark} {name:<{width}}  {action}"
            space = columns - len(seconds) - 1
            left = left[: max(space - 1, 0)]
            painted = left.replace(f" {mark} ", f" {self._paint(mark, code)} ", 1)
            result.append(f"{painted}{' ' * max(space - len(left), 1)}{self._paint(seconds, '34')}")
        return result

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self._colour else text
