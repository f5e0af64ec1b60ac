"""Standard streams of a container: read, logged, and passed on to whoever is attached."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import struct
import time

from composer.namespaces.kernel import constants as c
from composer.namespaces.shim.loop import HANGUP, READ, WRITE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from composer.namespaces.shim.log import LogFile
    from composer.namespaces.shim.loop import Loop

CHUNK = 65536
_INPUT_LIMIT = 1 << 20

NAMES = {1: "stdout", 2: "stderr"}


class Streams:
    """The shim's ends of a container's pipes, or the master of its terminal.

    `listeners` are called with (stream number, data) for each piece of output.
    """

    def __init__(self, loop: Loop, log: LogFile) -> None:
        self._loop = loop
        self._log = log
        self._readers: dict[int, int] = {}
        self._writer = -1
        self._master = -1
        self._pending = b""
        self._close_input = False
        self._size: tuple[int, int] | None = None
        self.listeners: list[Callable[[int, bytes], None]] = []

    def make_pipes(self, *, stdin: bool) -> list[int]:
        """Make the pipes; returns the container's ends of 0, 1, 2."""
        ends = []
        if stdin:
            reader, self._writer = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self._writer, False)
            ends.append(reader)
        else:
            ends.append(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        for number in (1, 2):
            reader, writer = os.pipe2(os.O_CLOEXEC)
            ends.append(writer)
            self._follow(reader, number)
        return ends

    def take_master(self, master: int) -> None:
        """Serve a terminal instead."""
        self._master = master
        if self._size:
            self.resize(*self._size)
        self._follow(master, 1)

    def _follow(self, fd: int, number: int) -> None:
        os.set_blocking(fd, False)
        self._readers[fd] = number
        self._loop.watch(fd, lambda events: self._ready(fd, events))

    def _ready(self, fd: int, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & (READ | HANGUP) and fd in self._readers:
            self._read(fd)

    def _read(self, fd: int) -> bool:
        """Take one piece; False at the end of the stream."""
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno != errno.EIO:  # how a terminal says that its last user is gone
                raise
            data = b""
        number = self._readers[fd]
        if not data:
            self._loop.forget(fd, close=True)
            del self._readers[fd]
            if fd == self._master:
                self._master = -1
            self._log.finish(NAMES[number])
            return False
        self._log.write(NAMES[number], data)
        for listener in list(self.listeners):
            listener(number, data)
        return True

    def drain(self, seconds: float) -> None:
        """Read to the end, at most *seconds*: somebody else may hold the other end; then close."""
        deadline = time.monotonic() + seconds
        while self._readers and (left := deadline - time.monotonic()) > 0:
            poll = select.poll()
            for fd in self._readers:
                poll.register(fd, READ)
            ready = poll.poll(left * 1000)
            for fd, _ in ready:
                self._read(fd)
        self.close()

    def close(self) -> None:
        """Close every end."""
        for fd, number in list(self._readers.items()):
            self._loop.forget(fd, close=True)
            self._log.finish(NAMES[number])
        self._readers.clear()
        self._master = -1
        if self._writer >= 0:
            self._loop.forget(self._writer)
            os.close(self._writer)
            self._writer = -1
        self._pending = b""
        self._close_input = False

    def position(self) -> dict[str, Any]:
        """How much of the output is in the log, see `LogFile.position`."""
        return self._log.position()

    def send_input(self, data: bytes) -> bool:
        """Give *data* to the container's standard input; False when it has none, or does not read it."""
        fd = self._master if self._master >= 0 else self._writer
        if fd < 0 or len(self._pending) + len(data) > _INPUT_LIMIT:
            return False
        self._pending += data
        self._flush()
        return True

    def end_input(self) -> None:
        """Close the container's standard input after what is pending; a terminal gets its EOF character."""
        if self._master >= 0:
            self.send_input(b"\x04")
        else:
            self._close_input = True
            self._flush()

    def _flush(self) -> None:
        terminal = self._master >= 0
        fd = self._master if terminal else self._writer
        if fd < 0:
            return
        while self._pending:
            try:
                sent = os.write(fd, self._pending)
            except BlockingIOError:
                break
            except OSError:
                self._pending = b""
                break
            self._pending = self._pending[sent:]
        if terminal:
            self._loop.change(fd, READ | WRITE if self._pending else READ)
            return
        self._loop.forget(fd)
        if self._pending:
            self._loop.watch(fd, lambda _: self._flush(), WRITE)
        elif self._close_input:
            os.close(fd)
            self._writer = -1

    def resize(self, rows: int, columns: int) -> None:
        """Set the terminal's size; the kernel sends SIGWINCH. Remembered for the next start."""
        self._size = (rows, columns)
        if self._master >= 0:
            fcntl.ioctl(self._master, c.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
