"""A shim's entry: takes over the container of a launch document, serves until it is over.

Its first message on the control connection says whether the container started.
"""

from __future__ import annotations

import fcntl
import json
import marshal
import os
import select
import signal
import socket
import time
from contextlib import suppress

from composer.namespaces.kernel import syscalls as sys_
from composer.namespaces.kernel import title
from composer.namespaces.kernel.errors import LaunchError, describe
from composer.namespaces.shim.clients import MAX_CLIENTS, Client
from composer.namespaces.shim.container import Container
from composer.namespaces.shim.loop import Loop
from composer.namespaces.shim.state import start_time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

_RESPAWN_PAUSE = 0.3
_RESPAWN_RETRY = 5.0
_GOODBYE = 1.0
_DYING = 0.03  # seconds a killed agent takes until its connection ends
_CLAIM = 5.0  # seconds


class Shim:
    """The process: its loop, its container, its clients.

    Args:
        launch: The launch document.
        control: The connection of whoever asked for the start.
        held: Sockets that keep published ports reserved.
    """

    def __init__(self, launch: dict[str, Any], control: socket.socket, held: list[int]) -> None:
        self.loop = Loop()
        self.held = held
        self._launch = launch
        self._control = control
        self._clients: list[Client] = []
        self._number = 0
        self._dismissed = False
        self._respawn_due = False
        self._wakeup = -1
        self._listener: socket.socket | None = None
        self._lock = -1
        self.container = Container(self.loop, launch, self._tell)

    def run(self) -> None:
        """Start the container and serve; returns when it is over, or could not be started."""
        try:
            self._claim()
        except LaunchError as error:
            self._control.send(json.dumps({"failed": describe(error)}).encode())
            return
        if self._abandoned():
            return
        self._listen()
        try:
            self.container.start_first()
        except Exception as error:  # noqa: BLE001 - told to whoever asked, whatever it is
            self._control.send(json.dumps({"failed": describe(error)}).encode())
            os.unlink(f"{self._launch['run']}/shim.sock")
            return
        first = Client(self, self._control)
        first.subscribed = first.agent = True
        self._clients.append(first)
        self._listen_for_shutdown()
        first.send({"started": self.container.state.values, "warnings": self.container.warnings})
        self.loop.run()
        for fd in self.held:
            os.close(fd)  # the ports are free before anybody sees this process end
        for client in self._clients:
            client.finish(_GOODBYE)
        # Whoever is to remove it has gone: another one comes for that.
        owed = self._launch["auto_remove"] and not self.container.leaving
        if owed and self._launch["respawn"]:
            agents = [client for client in self._clients if client.agent]
            if all(client.hangs_up(_DYING) for client in agents):
                self._call_agent()

    def _claim(self) -> None:
        """Be the only shim of this container: a killed agent's request may come beside its successor's.

        Raises:
            LaunchError: Another shim has it.
        """
        self._lock = os.open(f"{self._launch['run']}/shim.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _CLAIM
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise LaunchError(
                        f"container {self._launch['name']} is being started by another command",
                        kind="conflict",
                        hint="run the command again",
                    ) from None
                time.sleep(0.02)  # flock has no wait with a limit
            else:
                return

    def _abandoned(self) -> bool:
        """Whether whoever asked for the start is gone: its successor decides what is started."""
        poll = select.poll()
        poll.register(self._control, 0)
        return bool(poll.poll(0))  # POLLHUP needs no asking

    def _listen(self) -> None:
        """Bind by a relative name: socket paths have at most 107 bytes."""
        os.chdir(self._launch["run"])
        with suppress(FileNotFoundError):
            os.unlink("shim.sock")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind("shim.sock")
        os.chdir("/")
        self._listener.listen(64)
        self._listener.setblocking(False)
        self.loop.watch(self._listener.fileno(), self._accept)

    def _listen_for_shutdown(self) -> None:
        """SIGTERM comes from systemd, to everybody in the project's scope, when the machine goes down."""
        self._wakeup, told = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(told)
        signal.signal(signal.SIGTERM, lambda *_: None)  # the loop acts, between two callbacks
        self.loop.watch(self._wakeup, self._shut_down)

    def _shut_down(self, _events: int) -> None:
        with suppress(BlockingIOError):
            os.read(self._wakeup, 64)
        self._dismissed = True
        self.container.shut_down()

    def _accept(self, _events: int) -> None:
        if self._listener is None:
            return
        try:
            sock, _ = self._listener.accept()
        except OSError:
            return
        if len(self._clients) >= MAX_CLIENTS:
            sock.close()
            return
        self._clients.append(Client(self, sock))

    def _tell(self, action: str) -> None:
        for client in list(self._clients):
            client.event(action, self.container.state.values)

    def next_number(self) -> int:
        """A number for one more exec."""
        self._number += 1
        return self._number

    def dismiss(self) -> None:
        """The agent leaves on purpose: do not call another one."""
        self._dismissed = True

    def hire(self) -> None:
        """An agent has come: should it be killed, another one is called."""
        self._dismissed = False

    def lost(self, client: Client) -> None:
        """A connection ended. Without an agent names are not answered: call one, unless it left."""
        self._clients.remove(client)
        if client.agent and not self._dismissed and self._launch["respawn"] and not self._respawn_due:
            self._respawn_due = True
            pause = _RESPAWN_PAUSE * (1 + os.getpid() % 16 / 16)  # spreads shims in time
            self.loop.call_later(pause, self._respawn)

    def _respawn(self) -> None:
        """Start the agent anew, unless one has come meanwhile; and look again later."""
        self._respawn_due = False
        if self.container.over or any(client.agent for client in self._clients):
            return
        self._respawn_due = True
        self.loop.call_later(_RESPAWN_RETRY, self._respawn)
        self._call_agent()

    def _call_agent(self) -> None:
        """Start an agent, with no descriptor of ours."""
        if middle := os.fork():
            os.waitpid(middle, 0)
            return
        try:
            os.setsid()
            if os.fork():
                os._exit(0)
            sys_.close_range(3)
            argv = self._launch["respawn"]
            os.execve(argv[0], argv, os.environ)  # noqa: S606 - never a shell
        finally:
            os._exit(127)


def main(document: bytes, control: socket.socket, held: list[int]) -> NoReturn:
    """Run the shim of a launch document; never returns."""
    code = 1
    run = "/nonexistent"
    try:
        launch = marshal.loads(document)  # noqa: S302 - from our own agent
        title.change(b"composer-shim", f"composer-shim {launch['name']}".encode())
        run = launch["run"]
        launch["state"]["shim"] = {
            "pid": os.getpid(),
            "start": start_time(os.getpid()),
            "init": [0, 0],
            "cgroup": launch["cgroup"]["path"],
        }
        Shim(launch, control, held).run()
        code = 0
    except BaseException as error:  # noqa: BLE001 - the only ways out are the control connection and the log
        with suppress(OSError):
            control.send(json.dumps({"failed": describe(error)}).encode())
        _record(run, error)
    finally:
        os._exit(code)


def _record(run: str, error: BaseException) -> None:
    """Leave a trace in the run directory: a fault of the shim is ours to explain."""
    import traceback

    try:
        with open(f"{run}/shim.error", "w", encoding="utf-8") as file:
            traceback.print_exception(error, file=file)
    except OSError:
        return
