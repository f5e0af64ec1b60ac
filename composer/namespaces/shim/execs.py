"""`exec`: a command in the running container for a client, with the client's own descriptors.

Without a terminal the client's three descriptors go straight to the command: no byte passes through the
shim. With one, the terminal is made inside the container and its master handed to the client.
"""

from __future__ import annotations

import os

from composer.namespaces.kernel import syscalls as sys_
from composer.namespaces.kernel.errors import LaunchError, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from composer.namespaces.shim.clients import Client
    from composer.namespaces.shim.main import Shim

_CODES = {"not-found": 127, "cannot-invoke": 126}


class Exec:
    """One command; tells its client `started` and `exit`, or `error`."""

    def __init__(self, shim: Shim, client: Client, request: dict[str, Any], fds: list[int]) -> None:
        self._shim = shim
        self._client = client
        self._identifier = request.get("id")
        self.number = shim.next_number()
        launch = shim.container.launch
        process = {**launch["process"], **request["process"]}
        if not process["args"]:
            raise LaunchError("no command specified")
        if "env" in request["process"]:
            process["env"] = [*launch["process"]["env"], *request["process"]["env"]]
        process["terminal"] = bool(request["process"].get("terminal"))
        process["oom_score_adj"] = launch["process"]["oom_score_adj"]
        if request.get("privileged"):
            process["capabilities"] = (1 << (launch["last_capability"] + 1)) - 1
        if not process["terminal"] and len(fds) != 3:
            for fd in fds:
                os.close(fd)
            raise LaunchError("exec needs three descriptors")
        if process["terminal"]:
            for fd in fds:
                os.close(fd)
            fds = []
        self._running = shim.container.clone_exec(process, fds)
        self._channel = self._running.channel.fileno()
        shim.loop.watch(self._channel, self._spoken)

    def _spoken(self, _events: int) -> None:
        try:
            if self._running.receive():
                return
        except LaunchError as error:
            self._shim.loop.forget(self._channel)
            report = describe(error)
            self._client.send(
                {"error": report, "exit": _CODES.get(error.kind, 126)}, identifier=self._identifier
            )
            self._client.forget_exec(self.number)
            return
        self._shim.loop.forget(self._channel)
        self._client.send(
            {"started": self._running.pid, "exec": self.number},
            identifier=self._identifier,
            fd=self._running.master,
        )
        if self._running.master >= 0:
            os.close(self._running.master)
            self._running.master = -1
        self._shim.loop.watch(self._running.pidfd, lambda _: self._ended())

    def _ended(self) -> None:
        self._shim.loop.forget(self._running.pidfd)
        code = self._running.exit_code()
        self._client.send({"exit": code, "exec": self.number}, identifier=self._identifier)
        self._client.forget_exec(self.number)

    def signal(self, number: int) -> None:
        """Send a signal to the command."""
        if self._running.pidfd >= 0:
            sys_.pidfd_send_signal(self._running.pidfd, number)
