"""The agent's connection to one shim: requests with answers, events as they come, and its end."""

from __future__ import annotations

import array
import json
import os
import socket
from typing import TYPE_CHECKING, Any

import anyio

from composer.errors import EngineError
from composer.namespaces.failures import failure
from composer.namespaces.shim.messages import socket_receive

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

_SNDBUFFORCE = 32


def connect(run: Path) -> socket.socket | None:
    """Connect to the shim that serves the run directory *run*; None when there is none.

    Goes through a descriptor of the directory, since a socket's path has at most 107 bytes.
    """
    try:
        directory = os.open(run, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.connect(f"/proc/self/fd/{directory}/shim.sock")
    except OSError:
        sock.close()
        return None
    finally:
        os.close(directory)
    return sock


class Answer:
    """Messages that belong to one request, in order of arrival."""

    def __init__(self) -> None:
        self._messages: list[tuple[dict[str, Any], list[int]]] = []
        self._arrived = anyio.Event()

    def put(self, message: dict[str, Any], fds: list[int]) -> None:
        """Another one arrived."""
        self._messages.append((message, fds))
        self._arrived.set()

    async def get(self) -> tuple[dict[str, Any], list[int]]:
        """The next one."""
        while not self._messages:
            await self._arrived.wait()
            self._arrived = anyio.Event()
        return self._messages.pop(0)


class ShimLink:
    """One connection. `serve` must run as long as it is used.

    Args:
        container_id: Whose shim it is.
        sock: The connected socket.
        on_event: Called with (action, state values, time) for each event.
        on_end: Called once, with the last known state values, when the shim is gone.
    """

    def __init__(
        self,
        container_id: str,
        sock: socket.socket,
        on_event: Callable[[str, dict[str, Any], float], None],
        on_end: Callable[[ShimLink], None],
    ) -> None:
        self.container_id = container_id
        self.state: dict[str, Any] = {}
        self.closed = False
        self._sock = sock
        self._on_event = on_event
        self._on_end = on_end
        self._answers: dict[int, Answer] = {}
        self._first = Answer()
        self._number = 0
        self._ended = anyio.Event()
        sock.setblocking(False)
        try:
            sock.setsockopt(socket.SOL_SOCKET, _SNDBUFFORCE, 1 << 20)
        except OSError:
            return  # messages are then limited to the system's default size

    async def started(self) -> tuple[dict[str, Any], list[int]]:
        """The first message of a shim that was just forked: `started` with the state, or `failed`."""
        return await self._first.get()

    async def serve(self) -> None:
        """Read until the shim closes the connection."""
        try:
            while True:
                await anyio.wait_readable(self._sock)
                try:
                    data, fds, _, _ = socket_receive(self._sock, 1 << 20)
                except BlockingIOError:
                    continue
                except OSError:
                    break
                if not data:
                    break
                self._dispatch(json.loads(data), fds)
        finally:
            self.closed = True
            self._sock.close()
            self._ended.set()
            lost = {"lost": True, "error": None}
            for answer in (self._first, *self._answers.values()):
                answer.put(lost, [])
            self._on_end(self)

    def _dispatch(self, message: dict[str, Any], fds: list[int]) -> None:
        if "state" in message:
            self.state = message["state"]
        if "event" in message:
            self._on_event(message["event"], message["state"], message["time"])
            return
        if "started" in message and "id" not in message:
            self.state = message["started"]
            self._first.put(message, fds)
            return
        if "failed" in message:
            self._first.put(message, fds)
            return
        answer = self._answers.get(message.get("id", -1))
        if answer is not None:
            answer.put(message, fds)
        else:
            for fd in fds:
                os.close(fd)

    async def ended(self) -> None:
        """Wait until the shim has closed the connection: everything of the container is cleaned up then."""
        await self._ended.wait()

    async def conversation(
        self, op: str, fields: Mapping[str, Any], fds: Sequence[int] = ()
    ) -> AsyncIterator[tuple[dict[str, Any], list[int]]]:
        """Send a request and yield its answers until the caller stops.

        Raises:
            EngineError: The shim refused, or went away.
        """
        self._number += 1
        number = self._number
        answer = Answer()
        self._answers[number] = answer
        try:
            data = json.dumps({"op": op, "id": number, **fields}, separators=(",", ":")).encode()
            await self._send(data, fds)
            while True:
                message, received = await answer.get()
                if message.get("lost"):
                    raise EngineError(f"the shim of container {self.container_id[:12]} went away")
                if error := message.get("error"):
                    raise failure(error)
                yield message, received
        finally:
            del self._answers[number]

    async def request(self, op: str, **fields: Any) -> tuple[dict[str, Any], list[int]]:
        """Send a request and return its one answer.

        Raises:
            EngineError: See `conversation`.
        """
        conversation = self.conversation(op, fields)
        try:
            return await anext(conversation)
        finally:
            await conversation.aclose()  # type: ignore[attr-defined]

    async def _send(self, data: bytes, fds: Sequence[int]) -> None:
        rights = array.array("i", fds)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if fds else []
        while True:
            if self.closed:
                raise EngineError(f"container {self.container_id[:12]} is not running")
            try:
                self._sock.sendmsg([data], ancillary)
            except BlockingIOError:
                await anyio.wait_writable(self._sock)
                continue
            except OSError as error:
                raise EngineError(
                    f"container {self.container_id[:12]} cannot be reached: {error.strerror}",
                    errno=error.errno or 0,
                ) from error
            return

    def say_bye(self) -> None:
        """Leave on purpose: the shim shall not call another agent."""
        try:
            self._sock.send(b'{"op":"bye"}')
        except OSError:
            return
