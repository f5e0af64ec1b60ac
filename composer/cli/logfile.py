"""Reading a container's json-file log: history, its last lines, and what is appended."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, NamedTuple

from composer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

LOG = "container.log"
"""The log's name in a container's directory."""

BLOCK = 1 << 16
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Line(NamedTuple):
    """One line of output.

    Attributes:
        time: RFC 3339 in UTC.
        stream: `stdout` or `stderr`.
        text: The line without its end.
    """

    time: str
    stream: str
    text: str


class LogReader:
    """Reads one container's log and remembers where it was.

    Long lines are stored as several records of which only the last ends in a newline; they come out whole.

    Args:
        path: The log file; rotated ones are `path.1`, `path.2`, oldest highest.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._offset = 0
        self._inode = 0
        self._rest = b""
        self._partial: dict[str, str] = {}

    def history(self) -> Iterator[Line]:
        """Every line so far, oldest first; `fresh` continues after it."""
        for path in reversed(self._rotated()):
            try:
                with open(path, "rb") as file:
                    for raw in file:
                        yield from self._line(raw)
            except FileNotFoundError:
                continue
        yield from self.fresh()

    def tail(self, count: int) -> list[Line]:
        """The last *count* lines; `fresh` continues after them."""
        lines: list[Line] = []
        self.skip()
        for path in [self._path, *self._rotated()]:
            if len(lines) >= count:
                break
            end = self._offset if path == self._path else None
            reader = LogReader(path)
            lines[:0] = [line for raw in _last_records(path, count, end) for line in reader._line(raw)]
        return lines[-count:] if count > 0 else []

    def skip(self) -> None:
        """Leave out what is there now, up to the end of the last whole record."""
        try:
            file = open(self._path, "rb")  # noqa: SIM115 - closed by the with below
        except FileNotFoundError:
            return
        with file:
            self._inode = os.fstat(file.fileno()).st_ino
            position = file.seek(0, os.SEEK_END)
            while position > 0:
                start = max(position - BLOCK, 0)
                file.seek(start)
                found = file.read(position - start).rfind(b"\n")
                if found >= 0:
                    self._offset = start + found + 1
                    return
                position = start
            self._offset = 0

    def fresh(self) -> Iterator[Line]:
        """Lines added since the last call, also across a rotation."""
        while True:
            try:
                file = open(self._path, "rb")  # noqa: SIM115 - closed below, on every way
            except FileNotFoundError:
                return
            with file:
                found = os.fstat(file.fileno())
                if self._inode and found.st_ino != self._inode:
                    yield from self._finish_rotated()
                if found.st_size < self._offset:
                    self._offset, self._rest = 0, b""
                self._inode = found.st_ino
                file.seek(self._offset)
                data = file.read()
            if not data:
                return
            self._offset += len(data)
            *records, self._rest = (self._rest + data).split(b"\n")
            for raw in records:
                yield from self._line(raw)

    def flush(self) -> Iterator[Line]:
        """A last line that never got its newline."""
        for stream, text in list(self._partial.items()):
            if text:
                yield Line("", stream, text)
        self._partial.clear()

    def _finish_rotated(self) -> Iterator[Line]:
        """The rest of the file that was renamed since the last read."""
        for path in self._rotated():
            try:
                with open(path, "rb") as file:
                    if os.fstat(file.fileno()).st_ino != self._inode:
                        continue
                    file.seek(self._offset)
                    for raw in (self._rest + file.read()).split(b"\n"):
                        yield from self._line(raw)
            except FileNotFoundError:
                continue
        self._offset, self._rest = 0, b""

    def _rotated(self) -> list[str]:
        """Rotated files, newest first."""
        paths = []
        number = 1
        while os.path.exists(path := f"{self._path}.{number}"):
            paths.append(path)
            number += 1
        return paths

    def _line(self, raw: bytes) -> Iterator[Line]:
        if not raw.strip():
            return
        try:
            record = json.loads(raw)
            text, stream, moment = record["log"], record.get("stream", "stdout"), record.get("time", "")
        except (ValueError, KeyError, TypeError):
            # A record cut by a full disk or a crash: its neighbours are still good.
            return
        text = self._partial.pop(stream, "") + text
        if text.endswith("\n"):
            yield Line(moment, stream, text[:-1].removesuffix("\r"))
        else:
            self._partial[stream] = text


def _last_records(path: str, count: int, end: int | None) -> list[bytes]:
    """The records that hold at least the last *count* lines of *path* before *end* (None: its end)."""
    try:
        file = open(path, "rb")  # noqa: SIM115 - closed by the with below
    except FileNotFoundError:
        return []
    with file:
        position = file.seek(0, os.SEEK_END) if end is None else end
        data = b""
        # One more, since the first record in view may be cut or continue a longer line.
        while position > 0 and data.count(b'\\n"') <= count + 1:
            step = min(BLOCK, position)
            position -= step
            file.seek(position)
            data = file.read(step) + data
    records = data.split(b"\n")
    return records if position == 0 else records[1:]


def moment_key(moment: str) -> str:
    """*moment* (RFC 3339, UTC) without what makes equal moments differ, so that text order is time order."""
    moment = moment.rstrip("Z")
    return moment.rstrip("0").rstrip(".") if "." in moment else moment


def parse_moment(text: str, now: float | None = None) -> str:
    """A moment as RFC 3339 text; compare it with log times through `moment_key`.

    Args:
        text: RFC 3339, a date, seconds since the epoch, or a duration before now such as `10m` or `1h30m`.
        now: Seconds since the epoch; default the clock's.

    Raises:
        UsageError: None of these.
    """
    from composer.cli.render.units import rfc3339

    now = time.time() if now is None else now
    try:
        return rfc3339(float(text))
    except ValueError:
        pass
    seconds = duration(text)
    if seconds is not None:
        return rfc3339(now - seconds)
    from datetime import UTC, datetime

    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no moment", hint="use 10m, 2026-11-23T12:00:00Z or seconds") from None
    if moment.tzinfo is None and not text.endswith("Z"):
        return rfc3339(moment.timestamp())
    return rfc3339(moment.astimezone(UTC).timestamp())


def duration(text: str) -> float | None:
    """Seconds of a Go duration, or None."""
    total = 0.0
    rest = text
    while rest:
        length = len(rest) - len(rest.lstrip("0123456789."))
        number, rest = rest[:length], rest[length:]
        unit_length = len(rest) - len(rest.lstrip("nuµmshd"))
        unit, rest = rest[:unit_length], rest[unit_length:]
        if unit not in _SECONDS:
            return None
        try:
            total += float(number) * _SECONDS[unit]
        except ValueError:
            return None
    return total if text else None
