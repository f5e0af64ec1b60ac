"""`python -m composer.agent NAME` looks after a project; `--adopt` is told its project on standard input."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import socket
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composer.agent.sockets import LOCK, listen
from composer.app import show_as_agent, start_zygote
from composer.state.paths import Paths

if TYPE_CHECKING:
    from composer.errors import ComposerError
    from composer.namespaces.zygote_client import Zygote

_NEEDED = (
    "anyio._backends._asyncio",  # anyio.run() would import it when everybody waits
    "composer.agent.server",
    "composer.controller.controller",
    "composer.images.store",
    "composer.namespaces.engine",
    "composer.namespaces.names",
    "graphlib",
    "composer.spec.attributes",
    "composer.spec.model",
)


def main() -> int:
    """The agent as a program of its own; returns its exit code."""
    if sys.argv[1:] == ["--adopt"]:
        return run(socket.socket(fileno=fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3)))
    return run(None)


def run(first: socket.socket | None) -> int:
    """Be the agent of a project from here on; returns the exit code.

    Args:
        first: The first client, which says which project; None when the command line does.
    """
    gc.disable()  # what is imported stays: looking for garbage meanwhile took an eighth of the time
    _detach(first.fileno() if first is not None else -1)
    zygote = start_zygote() if os.geteuid() == 0 else None
    _import_what_every_agent_needs()
    gc.freeze()
    gc.enable()
    if first is not None:
        told = _read_line(first)
        if not told:
            if zygote is not None:
                zygote.close()
            return 0  # the command that started this agent needs none
        paths, name = Paths(Path(told["root"]), Path(told["run"])), told["adopt"]
    else:
        paths, name = Paths.from_environment(), sys.argv[1]
    _set_home(paths)
    try:
        lock = _lock(paths, name)
    except OSError as error:
        from composer.errors import EngineError

        text = f"cannot write {error.filename}: {error.strerror}"
        hint = "run composer with sudo" if os.geteuid() else "set COMPOSER_HOME to a directory elsewhere"
        _refuse(first, EngineError(text, errno=error.errno or 0, hint=hint))
        return 1
    if lock < 0:
        if first is not None:
            first.sendall(b'{"ready":false}\n')
        return 0
    return _serve(paths, name, first, zygote)


def _serve(paths: Paths, name: str, first: socket.socket | None, zygote: Zygote | None) -> int:
    import anyio

    from composer.agent.server import Agent
    from composer.errors import ComposerError

    directory = paths.project_run(name)
    show_as_agent(name)
    try:
        listener = listen(directory)
        listener.setblocking(False)
        agent = Agent(paths, name, zygote)
        if first is not None:
            first.sendall(b'{"ready":true}\n')
            first.setblocking(False)
        anyio.run(agent.serve, listener, first)
    except ComposerError as error:
        _refuse(first, error)
        return 1
    finally:
        (directory / "agent.sock").unlink(missing_ok=True)
    return 0


def _refuse(first: socket.socket | None, error: ComposerError) -> None:
    """Tell the first client why there will be no agent."""
    if first is None:
        return
    from composer.agent.requests import error_to_json

    first.setblocking(True)
    first.sendall(json.dumps({"error": error_to_json(error)}).encode() + b"\n")


def _detach(keep: int) -> None:
    """Nothing of the caller's is kept: no terminal, no directory, no mask, no descriptor but *keep*."""
    os.chdir("/")
    os.umask(0o022)
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.closerange(3, max(keep, 3))
    os.closerange(max(keep + 1, 3), os.sysconf("SC_OPEN_MAX"))


def _import_what_every_agent_needs() -> None:
    """While the command still reads its files."""
    for name in _NEEDED:
        import_module(name)


def _read_line(connection: socket.socket) -> dict[str, Any]:
    data = bytearray()
    while not data.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            return {}
        data += byte
    return dict(json.loads(data))


def _set_home(paths: Paths) -> None:
    """What this agent starts must find the same state."""
    if paths.suffix and paths.root.parent == paths.run.parent:
        os.environ["COMPOSER_HOME"] = str(paths.root.parent)


def _lock(paths: Paths, name: str) -> int:
    """Hold the project's lock for life; -1 when another agent has it."""
    directory = paths.project_run(name)
    directory.mkdir(parents=True, exist_ok=True)
    fd = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return -1
    return fd


if __name__ == "__main__":
    code = main()
    # `down` waits until the agent is gone; taking every module apart would take 20 ms of that.
    os._exit(code)
