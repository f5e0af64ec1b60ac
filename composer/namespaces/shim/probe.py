"""Health probes: a command in the container, at once after the start, then after growing pauses.

Design.md section 6: while the first success is awaited the pause is short; what fails before the first
`interval` has passed, or inside `start_period`, does not count. After the first success `interval` rules.
"""

from __future__ import annotations

import os
import time

from composer.namespaces.kernel.errors import LaunchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from composer.namespaces.shim import runner
    from composer.namespaces.shim.container import Container
    from composer.namespaces.shim.loop import Loop, Timer

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5
GROWTH = 1.5
OUTPUT = 4096


class Prober:
    """Runs the probes of one container, one at a time, while it runs.

    Args:
        loop: The shim's loop.
        container: What is probed; told each verdict by `health_changed`.
        check: JSON form of `engine.Healthcheck`.
    """

    def __init__(self, loop: Loop, container: Container, check: dict[str, Any]) -> None:
        self._loop = loop
        self._container = container
        self._interval = check.get("interval", 30.0)
        self._timeout = check.get("timeout", 30.0)
        self._retries = max(1, check.get("retries", 3))
        self._start_period = check.get("start_period", 0.0)
        self._start_interval = check.get("start_interval", 5.0)
        test = check["test"]
        self._args = ["/bin/sh", "-c", *test[1:]] if test[0] == "CMD-SHELL" else list(test[1:])
        self._timer: Timer | None = None
        self._deadline: Timer | None = None
        self._running: runner.Running | None = None
        self._reader = -1
        self._output = b""
        self._pause = FIRST_PAUSE
        self._grace_ends = 0.0
        self._last_counted = 0.0
        self._streak = 0
        self._starting = True
        self._timed_out = False

    def start(self) -> None:
        """The container has just started: probe now."""
        self.stop()
        now = time.monotonic()
        self._grace_ends = now + max(self._interval, self._start_period)
        self._last_counted = 0.0
        self._pause = FIRST_PAUSE
        self._streak = 0
        self._starting = True
        self._timer = self._loop.call_later(0.0, self._probe)

    def stop(self) -> None:
        """The container has ended, or is paused: no more probes."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._running is not None:
            self._kill()
            self._collect(report=False)

    def _probe(self) -> None:
        self._timer = None
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(writer, True)
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        self._output = b""
        self._timed_out = False
        process = {**self._container.launch["process"], "args": self._args, "terminal": False}
        try:
            running = self._container.clone_exec(process, [null, writer, os.dup(writer)])
        except OSError as error:
            os.close(reader)
            self._verdict(1, str(error))
            return
        except LaunchError as error:
            os.close(reader)
            self._verdict(1, error.message)
            return
        self._running = running
        self._reader = reader
        self._loop.watch(reader, self._read)
        self._loop.watch(running.channel.fileno(), self._started)
        self._deadline = self._loop.call_later(self._timeout, self._expire)

    def _started(self, _events: int) -> None:
        running = self._running
        if running is None:
            return
        fd = running.channel.fileno()
        try:
            if running.receive():
                return
        except LaunchError as error:
            self._loop.forget(fd)
            self._forget()
            self._verdict(126, error.message)
            return
        self._loop.forget(fd)
        self._loop.watch(running.pidfd, lambda _: self._collect(report=True))

    def _read(self, _events: int) -> None:
        try:
            data = os.read(self._reader, 65536)
        except BlockingIOError:
            return
        if not data:
            self._loop.forget(self._reader)
            return
        self._output = (self._output + data)[:OUTPUT]

    def _expire(self) -> None:
        self._timed_out = True
        self._kill()

    def _kill(self) -> None:
        """Kill the probe's whole session: it was made a leader."""
        if self._running is not None:
            try:
                os.killpg(self._running.pid, 9)
            except (ProcessLookupError, PermissionError):
                try:
                    os.kill(self._running.pid, 9)
                except ProcessLookupError:
                    return

    def _collect(self, *, report: bool) -> None:
        running = self._running
        if running is None:
            return
        self._read(0) if self._reader >= 0 else None
        self._loop.forget(running.pidfd)
        if running.channel.fileno() >= 0:
            self._loop.forget(running.channel.fileno())
            running.channel.close()
        code = running.exit_code()
        output = self._output.decode("utf-8", "replace")
        timed_out = self._timed_out
        self._forget()
        if report and timed_out:
            self._verdict(-1, f"Health check exceeded timeout ({self._timeout:g}s): {output}".rstrip(": "))
        elif report:
            self._verdict(code, output)

    def _forget(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None
        if self._reader >= 0:
            self._loop.forget(self._reader, close=True)
            self._reader = -1
        self._running = None

    def _verdict(self, code: int, output: str) -> None:
        now = time.monotonic()
        if code == 0:
            self._starting = False
            self._streak = 0
            self._container.health_changed("healthy", 0, output)
            self._timer = self._loop.call_later(self._interval, self._probe)
            return
        if not self._starting:
            self._count(output)
            self._timer = self._loop.call_later(self._interval, self._probe)
            return
        if now >= self._grace_ends and now - self._last_counted >= self._interval * 0.99:
            self._last_counted = now
            self._count(output)
        else:
            health = "unhealthy" if self._streak >= self._retries else "starting"
            self._container.health_changed(health, self._streak, output)
        self._timer = self._loop.call_later(self._pause, self._probe)
        self._pause = min(self._pause * GROWTH, LONGEST_PAUSE, self._start_interval, self._interval)

    def _count(self, output: str) -> None:
        self._streak += 1
        if self._streak >= self._retries:
            self._container.health_changed("unhealthy", self._streak, output)
        elif self._starting:
            self._container.health_changed("starting", self._streak, output)
        else:
            self._container.health_changed("healthy", self._streak, output)
