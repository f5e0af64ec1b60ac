"""The user's terminal: raw mode, its size, keys that detach, and bytes going both ways."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import tty
from typing import TYPE_CHECKING

from composer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any, Self

DETACH_KEYS = "ctrl-p,ctrl-q"
_CONTROL = {"@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, "_": 31}


class RawTerminal:
    """Puts a terminal into raw mode and back; does nothing to what is no terminal.

    Args:
        fd: The terminal.
    """

    def __init__(self, fd: int = 0) -> None:
        self._fd = fd
        self._saved: list[Any] | None = None

    def __enter__(self) -> Self:
        if os.isatty(self._fd):
            self._saved = termios.tcgetattr(self._fd)
            tty.setraw(self._fd, termios.TCSADRAIN)
        return self

    def __exit__(self, *_: object) -> None:
        if self._saved is not None:
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self._saved)


def window_size(fd: int = 1) -> tuple[int, int]:
    """Rows and columns of the terminal *fd*, (0, 0) when it is none."""
    try:
        size = os.get_terminal_size(fd)
    except OSError:
        return 0, 0
    return size.lines, size.columns


def set_window_size(fd: int, rows: int, columns: int) -> None:
    """Tell the terminal *fd* its size; what runs in it gets SIGWINCH."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def parse_keys(text: str) -> bytes:
    """The bytes of `ctrl-p,ctrl-q` or `a,b`.

    Raises:
        UsageError: A key is unknown.
    """
    result = bytearray()
    for key in text.split(",") if text else []:
        name = key.strip()
        letter = name.removeprefix("ctrl-")
        if len(name) == 1:
            result += name.encode()
        elif name.startswith("ctrl-") and len(letter) == 1 and (letter.isascii() and letter.isalpha()):
            result.append(ord(letter.lower()) - 96)
        elif name.startswith("ctrl-") and letter in _CONTROL:
            result.append(_CONTROL[letter])
        else:
            raise UsageError(f"{key!r} in the detach keys is no key", hint="write a letter or ctrl-LETTER")
    return bytes(result)


class DetachFilter:
    """Looks for the detach keys in what is typed; holds back what may become them.

    Args:
        keys: The sequence; empty never detaches.
    """

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    def feed(self, data: bytes) -> tuple[bytes, bool]:
        """What to pass on, and whether the keys were pressed."""
        if not self._keys:
            return data, False
        data = self._held + data
        self._held = b""
        found = data.find(self._keys)
        if found >= 0:
            return data[:found], True
        for length in range(min(len(self._keys) - 1, len(data)), 0, -1):
            if self._keys.startswith(data[-length:]):
                self._held = data[-length:]
                return data[:-length], False
        return data, False


class Relay:
    """Carries bytes between the user's standard streams and a terminal's master or a socket.

    Args:
        master: Where input goes and output comes from.
        on_resize: Called with rows and columns, at once and whenever the window changes.
        detach: The keys that end the relay.
        stdin: The user's input, -1 for none.
        stdout: Where output goes.
    """

    def __init__(
        self,
        master: int,
        *,
        on_resize: Callable[[int, int], None] | None = None,
        detach: bytes = b"",
        stdin: int = 0,
        stdout: int = 1,
    ) -> None:
        self._master = master
        self._on_resize = on_resize
        self._filter = DetachFilter(detach)
        self._stdin = stdin
        self._stdout = stdout
        self._wake = -1
        self.detached = False

    def run(self, control: int = -1, on_control: Callable[[], bool] | None = None) -> None:
        """Relay until the other side ends, the detach keys are pressed, or *on_control* returns False.

        Args:
            control: A further descriptor to wait for.
            on_control: Called when it is readable.
        """
        read, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        previous = signal.signal(signal.SIGWINCH, self._resized) if self._on_resize else None
        try:
            self._resize()
            self._loop(read, control, on_control)
        finally:
            if previous is not None:
                signal.signal(signal.SIGWINCH, previous)
            os.close(read)
            os.close(self._wake)

    def _resized(self, _number: int, _frame: FrameType | None) -> None:
        os.write(self._wake, b"r")

    def _resize(self) -> None:
        rows, columns = window_size(self._stdout)
        if self._on_resize and rows:
            self._on_resize(rows, columns)

    def _loop(self, wake: int, control: int, on_control: Callable[[], bool] | None) -> None:
        sources = [fd for fd in (self._master, wake, self._stdin, control) if fd >= 0]
        while True:
            ready, _, _ = select.select(sources, [], [])
            if wake in ready:
                os.read(wake, 64)
                self._resize()
            if self._master in ready and not self._output():
                return
            if self._stdin in ready and not self._input(sources):
                return
            if control in ready and on_control is not None and not on_control():
                # What was written before the end is still on its way.
                while select.select([self._master], [], [], 0)[0] and self._output():
                    pass
                return

    def _output(self) -> bool:
        try:
            data = os.read(self._master, 1 << 16)
        except OSError:
            # EIO: the last process with the terminal open has ended.
            return False
        if data:
            write_all(self._stdout, data)
        return bool(data)

    def _input(self, sources: list[int]) -> bool:
        data = os.read(self._stdin, 1 << 12)
        if not data:
            sources.remove(self._stdin)
            # Ctrl-D is how a terminal hears of the end of its input.
            data = b"\x04"
        data, self.detached = self._filter.feed(data)
        try:
            write_all(self._master, data)
        except OSError:
            return False
        return not self.detached


def write_all(fd: int, data: bytes) -> None:
    """Write the whole of *data*, waiting where the descriptor does not block."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            select.select([], [fd], [])
