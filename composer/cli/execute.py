"""Carrying out an exec: with the user's own descriptors, or with a terminal between."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from composer.app import shim
from composer.errors import NotFoundError

if TYPE_CHECKING:
    from composer.namespaces.client import Message, ShimClient
    from composer.state.paths import Paths

GONE = 137
"""Exit code when the container ended under the command: it was killed."""


class Execution:
    """One command in a running container.

    Args:
        paths: Where state lives.
        container_id: Which container.
        process: Fields of `engine.Process` that differ from the container's own.
        environment: Further `KEY=VALUE` strings.
        privileged: With all capabilities.
    """

    def __init__(
        self,
        paths: Paths,
        container_id: str,
        process: dict[str, Any],
        environment: list[str],
        *,
        privileged: bool = False,
    ) -> None:
        self._paths = paths
        self._id = container_id
        self._process = process
        self._environment = environment
        self._privileged = privileged

    def detached(self) -> int:
        """Start it and leave it.

        Raises:
            EngineError: It cannot be started (or one of its kinds).
        """
        nothing = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        with shim(self._paths, self._id) as client:
            self._start(client, (nothing, nothing, nothing))
        os.close(nothing)
        return 0

    def run(self, *, terminal: bool) -> int:
        """Run it and return its exit code; *terminal* counts only when standard input and output are one.

        Raises:
            EngineError: It cannot be started (or one of its kinds).
        """
        with shim(self._paths, self._id) as client:
            if terminal and os.isatty(0) and os.isatty(1):
                return self._run_with_terminal(client)
            return self._run_directly(client)

    def _start(self, client: ShimClient, fds: tuple[int, ...], *, terminal: bool = False) -> Message:
        process = {**self._process, "terminal": terminal}
        if self._environment:
            process["env"] = self._environment
        client.send({"op": "exec", "process": process, "privileged": self._privileged}, fds)
        message = client.receive()
        if message is None:
            raise NotFoundError("the container has ended")
        return message

    def _run_directly(self, client: ShimClient) -> int:
        """Its descriptors are ours: the shim carries no byte."""
        number = self._start(client, (0, 1, 2)).values["exec"]

        def forward(signum: int, _frame: object) -> None:
            with suppress(NotFoundError):
                client.send({"op": "exec_signal", "exec": number, "signal": signum})

        signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        saved = {signum: signal.signal(signum, forward) for signum in signals}
        try:
            return _exit_code(client)
        finally:
            for signum, handler in saved.items():
                signal.signal(signum, handler)

    def _run_with_terminal(self, client: ShimClient) -> int:
        from composer.cli.terminal import RawTerminal, Relay, set_window_size

        self._environment = [f"TERM={os.environ.get('TERM', 'xterm')}", *self._environment]
        started = self._start(client, (), terminal=True)
        master = started.fds[0]
        code = [GONE]

        def on_control() -> bool:
            message = client.receive()
            if message is not None and "exit" not in message.values:
                return True
            if message is not None:
                code[0] = int(message.values["exit"])
            return False

        with RawTerminal():
            relay = Relay(master, on_resize=lambda rows, columns: set_window_size(master, rows, columns))
            relay.run(client.fileno(), on_control)
            os.close(master)
            # The terminal may close before the shim has told how the command ended.
            while code[0] == GONE and on_control():
                pass
        return code[0]


def _exit_code(client: ShimClient) -> int:
    """Wait for the end."""
    while True:
        message = client.receive()
        if message is None:
            return GONE
        if "exit" in message.values:
            return int(message.values["exit"])
