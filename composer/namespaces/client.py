"""A blocking client of a shim's socket, for exec, attach and the small requests of the command line.

The protocol is described in `composer.namespaces.shim.clients`. Imports stay small: `composer exec` waits for
them.
"""

from __future__ import annotations

import array
import json
import os
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

from composer.errors import (
    CannotInvokeError,
    CommandNotFoundError,
    ConflictError,
    EngineError,
    NotFoundError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import Self

MESSAGE = 1 << 20
_KINDS = {"not-found": CommandNotFoundError, "cannot-invoke": CannotInvokeError}


class Message(NamedTuple):
    """One message of a shim.

    Attributes:
        values: The JSON object; empty for output.
        fds: Descriptors that came along, close-on-exec.
        stream: 1 or 2 for a piece of output, 0 for a JSON message.
        data: The output.
    """

    values: dict[str, Any]
    fds: tuple[int, ...] = ()
    stream: int = 0
    data: bytes = b""


class ShimClient:
    """One connection to a container's shim; also a context manager.

    Args:
        run: The container's run directory.

    Raises:
        NotFoundError: No shim listens there: the container does not run.
    """

    def __init__(self, run: Path | str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        try:
            # Through a descriptor, since names of sockets end at 107 bytes and directories do not.
            directory = os.open(run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._socket.connect(f"/proc/self/fd/{directory}/shim.sock")
            finally:
                os.close(directory)
        except (FileNotFoundError, ConnectionRefusedError):
            self._socket.close()
            raise NotFoundError("the container is not running") from None

    def fileno(self) -> int:
        """For select."""
        return self._socket.fileno()

    def send(self, request: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send a request.

        Raises:
            NotFoundError: The shim has ended.
        """
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._socket.sendmsg([json.dumps(request).encode()], rights)
        except (BrokenPipeError, ConnectionResetError):
            raise NotFoundError("the container has ended") from None

    def send_input(self, data: bytes) -> None:
        """Give *data* to the container's standard input (after `attach`); empty data ends it."""
        for start in range(0, max(len(data), 1), 32768):
            try:
                self._socket.send(b"\0" + data[start : start + 32768])
            except (BrokenPipeError, ConnectionResetError):
                return

    def receive(self) -> Message | None:
        """The next message, None when the shim has ended.

        Raises:
            EngineError: The message is an error (or one of its kinds).
        """
        space = socket.CMSG_LEN(16 * 4)
        try:
            data, ancillary, _, _ = self._socket.recvmsg(MESSAGE, space, socket.MSG_CMSG_CLOEXEC)
        except ConnectionResetError:
            return None
        if not data:
            return None
        if data[0] in (1, 2):
            return Message({}, stream=data[0], data=data[1:])
        fds = array.array("i")
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload[: len(payload) - len(payload) % 4])
        values = json.loads(data)
        if "error" in values:
            raise error_of(values["error"])
        return Message(values, tuple(fds))

    def request(self, op: str, **fields: Any) -> dict[str, Any]:
        """Send a small request and wait for its answer.

        Raises:
            EngineError: The shim refused (or one of its kinds).
            NotFoundError: The shim has ended.
        """
        self.send({"op": op, **fields})
        while True:
            message = self.receive()
            if message is None:
                raise NotFoundError("the container has ended")
            if "ok" in message.values:
                return message.values

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def error_of(report: dict[str, Any]) -> Exception:
    """The exception that a shim's error report stands for."""
    message, hint, path = report["message"], report.get("hint", ""), report.get("path", "")
    if report.get("kind") == "conflict":
        return ConflictError(message, hint=hint, path=path)
    kind = _KINDS.get(report.get("kind", ""), EngineError)
    return kind(message, errno=report.get("errno", 0), hint=hint, path=path)
