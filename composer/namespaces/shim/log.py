"""The json-file log: one JSON object a line with `log`, `stream` and `time`, rotated by size.

The format is Docker's. A line longer than 16 KiB is split, and only its last part ends with a newline.
"""

from __future__ import annotations

import os
import time
from json import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PART = 16 * 1024


class LogFile:
    """Takes raw output of the two streams and appends it to a file.

    A disk that is full loses output, never the container.

    Args:
        path: The file.
        max_size: Rotate above this many bytes; 0 never.
        max_files: How many files are kept, the current one included.
        discard: Driver `none`: take everything, keep nothing.
    """

    def __init__(self, path: str, max_size: int = 0, max_files: int = 1, *, discard: bool = False) -> None:
        self._path = path
        self._max_size = max_size
        self._max_files = max(1, max_files)
        self._discard = discard
        self._partial: dict[str, bytes] = {}
        self._fd = -1
        self._size = 0
        if not discard:
            self._open()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self._path, flags, 0o640)
        self._size = os.fstat(self._fd).st_size

    def write(self, stream: str, data: bytes) -> None:
        """Append what was read from *stream*; an unfinished line waits for its rest."""
        if self._discard:
            return
        data = self._partial.pop(stream, b"") + data
        head = f'","stream":"{stream}","time":"{_now()}"}}\n'
        lines: list[str] = []
        *whole, rest = data.split(b"\n")
        for line in whole:
            _split(line, lines, head)
        while len(rest) >= PART:
            lines.append(_entry(rest[:PART], "", head))
            rest = rest[PART:]
        if rest:
            self._partial[stream] = rest
        if lines:
            self._append("".join(lines).encode())

    def finish(self, stream: str) -> None:
        """The stream ended: write what is left of its last line."""
        rest = self._partial.pop(stream, b"")
        if rest and not self._discard:
            self._append(_entry(rest, "", f'","stream":"{stream}","time":"{_now()}"}}\n').encode())

    def position(self) -> dict[str, Any]:
        """Bytes written so far, and the unfinished lines: where somebody who attaches takes over."""
        partial = {stream: rest.decode("utf-8", "replace") for stream, rest in self._partial.items()}
        return {"log": self._size, "partial": partial}

    def close(self) -> None:
        """Write unfinished lines and close the file."""
        for stream in list(self._partial):
            self.finish(stream)
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _append(self, data: bytes) -> None:
        try:
            if self._max_size and self._size and self._size + len(data) > self._max_size:
                self._rotate()
            self._size += os.write(self._fd, data)
        except OSError:
            return

    def _rotate(self) -> None:
        if self._max_files == 1:
            os.ftruncate(self._fd, 0)
            self._size = 0
            return
        for number in range(self._max_files - 1, 0, -1):
            source = f"{self._path}.{number - 1}" if number > 1 else self._path
            try:
                os.rename(source, f"{self._path}.{number}")
            except FileNotFoundError:
                continue
        os.close(self._fd)
        self._open()


def _split(line: bytes, lines: list[str], head: str) -> None:
    while len(line) > PART:
        lines.append(_entry(line[:PART], "", head))
        line = line[PART:]
    lines.append(_entry(line, "\\n", head))


_PLAIN = bytes(range(0x20, 0x7F)).replace(b'"', b"").replace(b"\\", b"")


def _entry(text: bytes, end: str, head: str) -> str:
    if not text.translate(None, _PLAIN):  # only characters that JSON takes as they are
        return '{"log":"' + text.decode("ascii") + end + head
    quoted = dumps(text.decode("utf-8", "replace"), ensure_ascii=False)
    return '{"log":' + quoted[:-1] + end + head


def _now() -> str:
    """RFC 3339 with nanoseconds, UTC."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    parts = time.gmtime(seconds)
    return (
        f"{parts[0]:04}-{parts[1]:02}-{parts[2]:02}T{parts[3]:02}:{parts[4]:02}:{parts[5]:02}"
        f".{nanoseconds:09}Z"
    )


def from_config(path: str, log: dict[str, Any]) -> LogFile:
    """The log of a launch document's `log` part (`driver`, `max_size`, `max_files`)."""
    return LogFile(path, log["max_size"], log["max_files"], discard=log["driver"] == "none")
