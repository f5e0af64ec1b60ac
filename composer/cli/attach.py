"""Being attached to a container: its output here, our input there, from its first byte to its exit code.

Output that was written before we came is read from the log, up to the place that the shim names when it
takes us in; from there on it comes over the shim's socket. Nothing is lost and nothing comes twice.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from composer.app import shim
from composer.cli.logfile import LOG
from composer.cli.snapshot import read_container
from composer.cli.terminal import DetachFilter, RawTerminal, window_size, write_all
from composer.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from composer.namespaces.client import ShimClient
    from composer.state.paths import Paths

GONE = 137
INTERRUPTED = 130
FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
"""Signals that go on to the container."""
ENDING = (signal.SIGINT, signal.SIGTERM)
PATIENCE = 3
"""So many signals that mean an end, and we leave a container that does not listen."""


class Attachment:
    """One attachment to a running container.

    Args:
        paths: Where state lives.
        container_id: Which container.
        terminal: It has one.
        stdin: Send our input.
        history: Show also what it wrote before.
        detach: The keys that end the attachment, for terminals.
        forward: Pass signals on (`--sig-proxy`).
    """

    def __init__(
        self,
        paths: Paths,
        container_id: str,
        *,
        terminal: bool,
        stdin: bool,
        history: bool,
        detach: bytes = b"",
        forward: bool = True,
    ) -> None:
        self._paths = paths
        self._id = container_id
        self._terminal = terminal
        self._stdin = stdin
        self._history = history
        self._filter = DetachFilter(detach if terminal else b"")
        self._forward = forward
        self._code: int | None = None
        self._pending: list[int] = []
        self._ignored = 0
        self.detached = False

    def run(self) -> int:
        """Stay until it ends (its exit code) or the detach keys are pressed (0)."""
        wake, awake = os.pipe()
        os.set_blocking(awake, False)

        def noted(signum: int, _frame: object) -> None:
            self._pending.append(signum)
            os.write(awake, b"s")

        # From the very beginning: a signal must not end us once the container has said a word.
        saved = {signum: signal.signal(signum, noted) for signum in self._signals()}
        try:
            return self._attach(wake)
        finally:
            for signum, handler in saved.items():
                signal.signal(signum, handler)
            os.close(wake)
            os.close(awake)

    def _signals(self) -> tuple[signal.Signals, ...]:
        resized = (signal.SIGWINCH,) if self._terminal else ()
        return (*resized, *FORWARDED) if self._forward else resized

    def _attach(self, wake: int) -> int:
        try:
            client = shim(self._paths, self._id)
        except NotFoundError:
            return self._came_late()
        with client:
            try:
                answer = client.request("attach", stdin=self._stdin)
            except NotFoundError:
                return self._came_late()
            if self._history:
                self._print_log(answer.get("log", 0))
                for stream, text in answer.get("partial", {}).items():
                    self._write(stream, text.encode())
            if self._terminal and self._stdin and os.isatty(0):
                with RawTerminal():
                    return self._relay(client, wake)
            return self._relay(client, wake)

    def _came_late(self) -> int:
        """It ended before we were attached: everything is in its log."""
        if self._history:
            self._print_log(None)
        return self._ended()

    def _relay(self, client: ShimClient, wake: int) -> int:
        if self._terminal:
            self._resize(client)
        sources = [client.fileno(), wake, *([0] if self._stdin else [])]
        while self._code is None and not self.detached and self._ignored < PATIENCE:
            ready, _, _ = select.select(sources, [], [])
            if wake in ready:
                os.read(wake, 64)
                while self._pending:
                    self._signal(client, self._pending.pop(0))
            if 0 in ready and self._stdin and not self._input(client):
                sources.remove(0)
            if client.fileno() in ready and not self._receive(client):
                break
        if self.detached:
            return 0
        if self._ignored >= PATIENCE:
            write_all(2, f"it ignored {PATIENCE} signals, leaving it\n".encode())
            return INTERRUPTED
        return self._ended() if self._code is None else self._code

    def _input(self, client: ShimClient) -> bool:
        data = os.read(0, 1 << 14)
        if not data:
            client.send_input(b"")
            return False
        data, self.detached = self._filter.feed(data)
        if data:
            client.send_input(data)
        return True

    def _receive(self, client: ShimClient) -> bool:
        try:
            message = client.receive()
        except ConflictError:
            return True  # a signal came after its end
        if message is None:
            return False
        if message.stream:
            self._write("stderr" if message.stream == 2 else "stdout", message.data)
        elif message.values.get("event") == "die" and message.values["state"]["status"] != "restarting":
            self._code = int(message.values["state"]["exit_code"])
        return True

    def _signal(self, client: ShimClient, signum: int) -> None:
        if signum == signal.SIGWINCH:
            self._resize(client)
        else:
            self._ignored += signum in ENDING
            self._send(client, {"op": "signal", "signal": signum})

    @staticmethod
    def _send(client: ShimClient, request: dict[str, Any]) -> None:
        """Send; the container may be gone already, and its end is the next thing we hear."""
        with suppress(NotFoundError):
            client.send(request)

    def _resize(self, client: ShimClient) -> None:
        rows, columns = window_size()
        if rows:
            self._send(client, {"op": "resize", "rows": rows, "columns": columns})

    def _ended(self) -> int:
        """The exit code that its files know."""
        container = read_container(self._paths, self._id)
        return container.exit_code if container is not None and not container.alive else GONE

    def _print_log(self, end: int | None) -> None:
        """What it wrote, as it wrote it, up to the byte *end* of its log."""
        import json

        try:
            with open(self._paths.container(self._id) / LOG, "rb") as file:
                data = file.read() if end is None else file.read(end)
        except FileNotFoundError:
            return
        for raw in data.splitlines():
            record = json.loads(raw)
            self._write(record["stream"], record["log"].encode())

    @staticmethod
    def _write(stream: str, data: bytes) -> None:
        write_all(2 if stream == "stderr" else 1, data)
