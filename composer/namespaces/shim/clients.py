"""Who talks to a shim: one SOCK_SEQPACKET connection each, JSON requests, descriptors alongside.

A request is `{"op": NAME, ...}`; the answer is `{"ok": true, ...}` or `{"error": {...}}`, with the
request's `id` when it had one. After `subscribe`, `{"event": ..., "state": ..., "time": ...}` come as they
happen. After `attach`, messages that start with byte 1 or 2 are output, and messages to the shim that start
with byte 0 are input (a lone 0 ends it).
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import socket
import struct
import time
from collections import deque
from contextlib import suppress

from composer.namespaces.kernel.errors import LaunchError, describe
from composer.namespaces.shim.execs import Exec
from composer.namespaces.shim.loop import HANGUP, READ, WRITE
from composer.namespaces.shim.messages import MAX_FDS, send_fds, socket_receive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from composer.namespaces.shim.main import Shim

QUEUE_LIMIT = 8 << 20
"""Bytes of output that wait for one attached client; who is slower is let go."""
MAX_CLIENTS = 256
_SNDBUFFORCE = 32


class Client:
    """One connection."""

    def __init__(self, shim: Shim, sock: socket.socket) -> None:
        self._shim = shim
        self._sock = sock
        self._fd = sock.fileno()
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self._attached = False
        self._takes_input = False
        self.subscribed = False
        self.agent = False
        self._execs: dict[int, Exec] = {}
        sock.setblocking(False)
        with suppress(OSError):  # without CAP_NET_ADMIN messages are limited to the system's default
            sock.setsockopt(socket.SOL_SOCKET, _SNDBUFFORCE, 1 << 20)
        shim.loop.watch(self._fd, self._ready)

    def _ready(self, events: int) -> None:
        if events & WRITE:
            self._flush()
        if events & (READ | HANGUP) and self._sock.fileno() >= 0:
            self._receive()

    def _receive(self) -> None:
        try:
            data, fds, _, _ = socket_receive(self._sock, 1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if not data:
            for fd in fds:
                os.close(fd)
            self.close()
            return
        if data[0] == 0:
            self._input(data[1:])
            return
        identifier: Any = None
        try:
            request = json.loads(data)
            identifier = request.get("id")
            answer = self._serve(request, fds)
        except (LaunchError, OSError, ValueError, KeyError, TypeError) as error:
            answer = {"error": describe(error)}
        finally:
            for fd in fds:
                os.close(fd)
        if answer is not None:
            self.send(answer, identifier=identifier)

    def _serve(self, request: dict[str, Any], fds: list[int]) -> dict[str, Any] | None:
        """Carry out one request; None when the answer comes later or has been sent."""
        container = self._shim.container
        op = request["op"]
        identifier = request.get("id")
        if op == "subscribe":
            self.subscribed = True
            self.agent = bool(request.get("agent"))
            if self.agent:
                self._shim.hire()
            return {"ok": True, "state": container.state.values}
        if op == "state":
            return {"ok": True, "state": container.state.values}
        if op == "signal":
            container.signal(int(request["signal"]))
        elif op == "stop":
            container.stop(
                request.get("timeout"),
                lambda: self.send({"ok": True, "state": container.state.values}, identifier=identifier),
            )
            return None
        elif op == "pause":
            container.pause()
        elif op == "unpause":
            container.unpause()
        elif op == "resize":
            container.streams.resize(int(request["rows"]), int(request["columns"]))
        elif op == "rename":
            container.state.update(name=request["name"])
        elif op == "exec":
            self._exec(request, fds)
            return None
        elif op == "exec_signal":
            self._execs[request["exec"]].signal(int(request["signal"]))
        elif op == "attach":
            return {"ok": True, **self._attach(request)}
        elif op == "held":
            self._send_held(identifier)
            return None
        elif op == "hold":
            self._shim.held.extend(fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in fds)
        elif op == "connect":
            container.connect(request["setup"], request["endpoint"])
        elif op == "disconnect":
            container.disconnect(request["network"])
        elif op == "gateways":
            container.set_gateways(request["setups"])
        elif op == "bye":
            self.agent = False
            self._shim.dismiss()
        else:
            raise LaunchError(f"unknown request {op!r}")
        return {"ok": True}

    def _exec(self, request: dict[str, Any], fds: list[int]) -> None:
        run = Exec(self._shim, self, request, [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in fds])
        self._execs[run.number] = run

    def forget_exec(self, number: int) -> None:
        """An exec has ended."""
        self._execs.pop(number, None)

    def _attach(self, request: dict[str, Any]) -> dict[str, Any]:
        """Pass output on from now on; says how far the log is, so that earlier output can be had from it."""
        self._takes_input = bool(request.get("stdin"))
        if not self._attached:
            self._attached = True
            self._shim.container.streams.listeners.append(self._output)
        return self._shim.container.streams.position()

    def _output(self, number: int, data: bytes) -> None:
        """Queue a piece of the container's output; a client that does not read is let go."""
        if self._queued > QUEUE_LIMIT:
            self.close()
            return
        for start in range(0, len(data), 32768):
            piece = bytes((number,)) + data[start : start + 32768]
            self._queue.append(piece)
            self._queued += len(piece)
        self._flush()

    def _input(self, data: bytes) -> None:
        if not self._takes_input:
            return
        if data:
            self._shim.container.streams.send_input(data)
        else:
            self._shim.container.streams.end_input()

    def _send_held(self, identifier: Any) -> None:
        """Give copies of the DNS sockets and of those that hold published ports, in several messages."""
        container = self._shim.container
        dns = container.held.dns if container.held is not None else []
        fds = [*dns, *self._shim.held]
        message = {
            "ok": True,
            "id": identifier,
            "dns": len(dns),
            "total": len(fds),
            "ports": container.launch["network"]["held"],
        }
        try:
            for start in range(0, max(len(fds), 1), MAX_FDS):
                send_fds(self._sock, message, fds[start : start + MAX_FDS])
                message = {"ok": True, "id": identifier}
        except OSError:
            self.close()

    def event(self, action: str, state: dict[str, Any]) -> None:
        """Tell what happened, if it wants to know."""
        if self.subscribed or self._attached:
            self.send({"event": action, "state": state, "time": time.time()})

    def send(self, message: dict[str, Any], *, identifier: Any = None, fd: int = -1) -> None:
        """Queue a message; with *fd* it is sent at once and carries the descriptor."""
        if self._sock.fileno() < 0:
            return
        if identifier is not None:
            message = {**message, "id": identifier}
        data = json.dumps(message, separators=(",", ":")).encode()
        if fd >= 0:
            rights = array.array("i", [fd])
            try:
                self._sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            except OSError:
                self.close()
            return
        self._queue.append(data)
        self._queued += len(data)
        self._flush()

    def _flush(self) -> None:
        while self._queue:
            try:
                self._sock.send(self._queue[0])
            except BlockingIOError:
                self._shim.loop.change(self._fd, READ | WRITE)
                return
            except OSError:
                self.close()
                return
            self._queued -= len(self._queue.popleft())
        self._shim.loop.change(self._fd, READ)

    def finish(self, seconds: float) -> None:
        """The shim ends: deliver what is queued, for at most *seconds*."""
        if not self._queue or self._sock.fileno() < 0:
            return
        whole = int(seconds)
        timeout = struct.pack("ll", whole, int((seconds - whole) * 1_000_000))
        self._sock.setblocking(True)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeout)
        try:
            while self._queue:
                self._sock.send(self._queue.popleft())
        except OSError:
            return

    def hangs_up(self, seconds: float) -> bool:
        """Whether the other side is gone, or goes within *seconds*: the loop may not have heard of it."""
        poll = select.poll()
        poll.register(self._fd, 0)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        """Drop the connection; what it started without a terminal goes on."""
        if self._sock.fileno() < 0:
            return
        self._shim.loop.forget(self._fd)
        if self._attached:
            self._shim.container.streams.listeners.remove(self._output)
            self._attached = False
        self._queue.clear()
        self._sock.close()
        self._shim.lost(self)
