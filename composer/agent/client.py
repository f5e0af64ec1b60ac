"""The blocking client of a project's agent; imports next to nothing, because commands wait for it.

`start_early` lets an agent do its imports while the caller reads YAML; `connect_or_start` finds the running
agent, or gives the early one its project.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from composer.agent.sockets import LOCK, connect
from composer.errors import ComposerError, EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Self

    from composer.events import Event
    from composer.state.paths import Paths

START_SECONDS = 20.0
"""How long an agent may take to start; imports from a cold disk are slow."""
LEAVE_SECONDS = 5.0
ATTEMPTS = 3
"""How often an agent may leave under our hands."""

_early: socket.socket | None = None


def start_early(paths: Paths, project: str = "", *, fork: bool = False) -> None:
    """Start an agent that belongs to no project yet, unless it will probably not be needed.

    Args:
        paths: Where state lives.
        project: The project's name, when it is known already; else one running agent is taken as a sign
            that the project is up.
        fork: Make it of this process, which has one thread and has not done anything yet.
    """
    global _early  # noqa: PLW0603 - one process, one early agent
    if _early is None and os.geteuid() == 0 and not _probably_running(paths, project):
        _early = _fork() if fork else _spawn()


def connect_or_start(paths: Paths, project: str) -> Client:
    """A connection to the project's agent, which is started when there is none.

    Raises:
        EngineError: It cannot be started.
    """
    global _early
    early, _early = _early, None
    directory = paths.project_run(project)
    deadline = time.monotonic() + START_SECONDS
    try:
        while True:
            if (connection := connect(directory)) is not None:
                return Client(connection, paths, project)
            if early is None:
                early = _spawn()
            if _adopt(early, paths, project):
                connection, early = early, None
                return Client(connection, paths, project)
            early.close()
            early = None
            if time.monotonic() > deadline:
                raise EngineError(
                    f"the agent of project {project} cannot be reached",
                    hint=f"look at {paths.project(project)}/agent.log",
                )
            time.sleep(0.02)  # another agent is just starting or leaving
    finally:
        if early is not None:
            early.close()


class Client:
    """One connection to an agent; also a context manager.

    Args:
        connection: The connected socket.
        paths: Where state lives.
        project: The project's name.
    """

    def __init__(self, connection: socket.socket, paths: Paths, project: str) -> None:
        self._connection = connection
        self._paths = paths
        self._project = project
        self._lines = connection.makefile("rb")
        self._leaving = False

    def fileno(self) -> int:
        """For select."""
        return self._connection.fileno()

    def request(self, op: str, **fields: Any) -> Iterator[Event | dict[str, Any]]:
        """Ask for *op*; yields events as they come, and the result, a dict, last.

        Args:
            op: An operation of `composer.agent.requests`.
            fields: What it needs: `options`, `project`.

        Raises:
            ComposerError: Whatever went wrong in the agent, as it was raised there.
        """
        line = self._ask({"op": op, **fields})
        while line:
            message = json.loads(line)
            if "event" in message:
                yield _event(message["event"])
            elif "error" in message:
                raise _error(message["error"])
            else:
                self._leaving = bool(message.get("leaving"))
                yield message["result"]
                return
            line = self._next()
        raise EngineError(
            f"the agent of project {self._project} ended unexpectedly",
            hint=f"run the command again, and look at {self._paths.project(self._project)}/agent.log",
        )

    def _ask(self, message: dict[str, Any]) -> bytes:
        """Send a request and return the first line of the answer.

        An agent that is just leaving may take the connection and go before it reads: then nothing has
        happened, and a new agent is asked.
        """
        for _ in range(ATTEMPTS):
            with suppress(BrokenPipeError, ConnectionResetError):
                self._connection.sendall(json.dumps(message).encode() + b"\n")
                return self._lines.readline()
            again = connect_or_start(self._paths, self._project)
            self._connection, self._lines = again._connection, again._lines  # noqa: SLF001 - our own class
        return b""

    def _next(self) -> bytes:
        try:
            return self._lines.readline()
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        """Disconnect; waits for an agent that has nothing left to look after, until it is gone."""
        self._lines.close()
        self._connection.close()
        if self._leaving:
            self._leaving = False
            _wait_until_gone(self._paths.project_run(self._project) / LOCK)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _probably_running(paths: Paths, project: str) -> bool:
    directory = paths.run / "projects"
    try:
        names = [project] if project else os.listdir(directory)
    except FileNotFoundError:
        return False
    return any((directory / name / "agent.sock").exists() for name in names)


def _spawn() -> socket.socket:
    """A fresh agent with one end of a socket pair as its standard input; ours is returned."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        actions: list[Any] = [
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), 0),
            (os.POSIX_SPAWN_DUP2, null, 1),
            (os.POSIX_SPAWN_DUP2, null, 2),
        ]
        # Without site: what it would find is on the path that is handed over.
        argv = [sys.executable, "-S", "-m", "composer.agent", "--adopt"]
        # What the agent starts must not be stopped by this terminal's signals.
        os.posix_spawn(sys.executable, argv, _environment(), file_actions=actions, setsid=True, setsigmask=())
    except OSError as error:
        ours.close()
        raise EngineError(f"cannot start an agent: {error}") from error
    finally:
        theirs.close()
        os.close(null)
    return ours


def _fork() -> socket.socket:
    """An agent that goes on from here: it need not start an interpreter, nor import what is here already."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        pid = os.fork()
    except OSError as error:
        ours.close()
        theirs.close()
        raise EngineError(f"cannot start an agent: {error}") from error
    if pid == 0:
        code = 1
        try:
            ours.close()
            os.setsid()
            os.environ.update(_environment())
            from composer.agent.__main__ import run

            code = run(theirs)
        finally:
            os._exit(code)
    theirs.close()
    return ours


def _environment() -> dict[str, str]:
    """The caller's, with the caller's module path: it may run from a tree that is not installed."""
    package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    path = dict.fromkeys([package, *(entry for entry in sys.path if entry)])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def _adopt(early: socket.socket, paths: Paths, project: str) -> bool:
    """Give a fresh agent its project; False when another agent has it."""
    message = {"adopt": project, "root": str(paths.root), "run": str(paths.run)}
    try:
        early.sendall(json.dumps(message).encode() + b"\n")
        answer = _line(early)
    except OSError:
        answer = {}
    if not answer:
        raise EngineError(
            f"the agent of project {project} ended before it was ready",
            hint=f"start it by hand to see why: {sys.executable} -m composer.agent {project}",
        )
    if "error" in answer:
        raise _error(answer["error"])
    return bool(answer.get("ready"))


def _line(connection: socket.socket) -> dict[str, Any]:
    """One answer, read byte by byte: what follows belongs to the next reader."""
    data = bytearray()
    while not data.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            return {}
        data += byte
    return cast("dict[str, Any]", json.loads(data))


def _wait_until_gone(lock: Path) -> None:
    deadline = time.monotonic() + LEAVE_SECONDS
    while time.monotonic() < deadline:
        try:
            fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.002)
        else:
            return
        finally:
            os.close(fd)


def _event(values: dict[str, Any]) -> Event:
    from composer.events import Event

    return Event(**values)


def _error(values: dict[str, Any]) -> ComposerError:
    """The error as it was raised in the agent."""
    from composer import errors

    kind = getattr(errors, values["kind"], errors.ComposerError)
    more: dict[str, Any] = {"errno": values["errno"]} if values.get("errno") else {}
    where = errors.Location(*values["where"]) if values.get("where") else None
    error: ComposerError = kind(
        values["message"], hint=values.get("hint", ""), where=where, path=values.get("path", ""), **more
    )
    if trace := values.get("trace"):
        error.add_note(trace)
    return error
