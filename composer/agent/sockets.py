"""Unix sockets by path, however long the path is, and lines of JSON on them; lean, for both sides."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SOCKET = "agent.sock"
LOCK = "agent.lock"


def connect(directory: Path) -> socket.socket | None:
    """A connection to the agent that listens in *directory*, or None when nobody does."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with _Short(directory) as short:
            connection.connect(short)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        connection.close()
        return None
    return connection


def listen(directory: Path) -> socket.socket:
    """Listen in *directory*; the caller holds the lock, so a socket that is there has no owner."""
    (directory / SOCKET).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    with _Short(directory) as short:
        listener.bind(short)
    os.chmod(directory / SOCKET, 0o600)
    listener.listen(64)
    return listener


class _Short:
    """A short name of the socket: addresses end at 107 bytes, directories do not (unix(7))."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._fd = -1

    def __enter__(self) -> str:
        self._fd = os.open(self._directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._fd}/{SOCKET}"

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
