"""The agent itself: one task group that follows containers, answers names and carries out requests.

It holds `run/projects/NAME/agent.lock` for as long as it lives, and leaves when no container of the project
is left that needs it and no client is connected. Killed, it leaves containers that run on; the next agent
finds everything again from disk and from the shims.
"""

from __future__ import annotations

import json
import signal
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Any

import anyio

from composer.agent.journal import Journal
from composer.agent.requests import READING, STOPPING, carry_out, error_to_json, event_to_json
from composer.app import open_local
from composer.controller.observe import ACTIVE
from composer.controller.watcher import Watcher
from composer.errors import ConflictError
from composer.events import Event

if TYPE_CHECKING:
    import socket

    from anyio.abc import SocketStream, TaskGroup

    from composer.app import Local
    from composer.controller.controller import Controller
    from composer.engine import ContainerState
    from composer.events import Report
    from composer.namespaces.auto_removal import AutoRemoval
    from composer.namespaces.zygote_client import Zygote
    from composer.state.paths import Paths

REQUEST_LIMIT = 64 << 20
"""Bytes of one request line; a canonical document of a file of 10 MB fits."""
QUIET_SECONDS = 1.0
LINGER_SECONDS = 0.5
"""An agent that nobody needs stays so long, for the next command of a script."""
WONDER_SECONDS = 1.0
"""Who waits longer than this for another command is told."""
_WORDS = {"start_container": "run", "remove_container": "run"}
"""Operations whose name is not the command's."""


class Mutation:
    """A request that is changing the project."""

    def __init__(self, op: str) -> None:
        self.op = op
        self.scope = anyio.CancelScope()
        self.ended_by = ""


class Agent:
    """One project's agent.

    Args:
        paths: Where state lives.
        name: The project.
        zygote: One that was started early.
    """

    def __init__(self, paths: Paths, name: str, zygote: Zygote | None = None) -> None:
        self.paths = paths
        self.name = name
        self.journal = Journal(paths.project(name))
        self._zygote = zygote
        self._clients = 0
        self._turn = anyio.Lock()
        self._running: Mutation | None = None
        self._idle_check = anyio.Event()
        self._quiet_since = anyio.Event()
        self._watcher: Watcher | None = None
        self._controller: Controller | None = None
        self._removal: AutoRemoval | None = None

    async def serve(self, listener: socket.socket, first: socket.socket | None) -> None:
        """Serve until there is nothing left to look after.

        Args:
            listener: The listening socket.
            first: A client that is connected already.
        """
        async with AsyncExitStack() as stack:
            local = await stack.enter_async_context(
                open_local(self.paths, scope=self.name, zygote=self._zygote)
            )
            tasks = await stack.enter_async_context(anyio.create_task_group())
            tasks.start_soon(self._leave_on_signal, tasks)
            tasks.start_soon(self._while_quiet)
            await self._follow(local, stack)
            tasks.start_soon(self._accept, listener, tasks)
            if first is not None:
                stream = await anyio.abc.UNIXSocketStream.from_socket(first)
                self._clients += 1
                tasks.start_soon(self._client, stream)
            await self._until_idle(linger=first is None)
            tasks.cancel_scope.cancel()
        self.journal.note("left")

    async def _follow(self, local: Local, stack: AsyncExitStack) -> None:
        update = await stack.enter_async_context(local.serving_names())
        watcher = Watcher(local.engine, self.name, self.journal.record)

        def changed() -> None:
            update(watcher.states.values())
            self._idle_check.set()

        watcher.on_change = changed
        await stack.enter_async_context(watcher.following())
        self._watcher = watcher
        self._removal = local.engine.auto_removal
        self._removal.on_done = self._idle_check_now
        self._controller = local.controller(self.name, watcher=watcher)
        self.journal.note("started", project=self.name, containers=len(watcher.states))

    # When to leave

    def _idle_check_now(self) -> None:
        self._idle_check.set()

    def _needed(self) -> bool:
        removing = self._removal is not None and self._removal.busy
        return self._clients > 0 or removing or self._others_need_me()

    @staticmethod
    def _needs_agent(state: ContainerState) -> bool:
        return state.status in ACTIVE

    async def _until_idle(self, *, linger: bool) -> None:
        """Return when nobody needs the agent; one that no client started waits a little first."""
        if linger:
            await anyio.sleep(LINGER_SECONDS)
        while True:
            self._idle_check = anyio.Event()
            if not self._needed():
                return
            await self._idle_check.wait()

    async def _leave_on_signal(self, tasks: TaskGroup) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for number in signals:
                self.journal.note("signal", number=int(number))
                tasks.cancel_scope.cancel()
                return

    async def _while_quiet(self) -> None:
        """Once a second has passed without a request: do what nobody should have to wait for."""
        while True:
            await self._quiet_since.wait()
            self._quiet_since = anyio.Event()
            with anyio.move_on_after(QUIET_SECONDS):
                await self._quiet_since.wait()
                continue
            give_memory_back()

    # Clients

    async def _accept(self, listener: socket.socket, tasks: TaskGroup) -> None:
        while True:
            await anyio.wait_readable(listener)
            with suppress(BlockingIOError, InterruptedError):
                connection, _ = listener.accept()
                connection.setblocking(False)
                self._clients += 1
                tasks.start_soon(self._client, await anyio.abc.UNIXSocketStream.from_socket(connection))

    async def _client(self, stream: SocketStream) -> None:
        """Answer one client's requests, one after the other, until it disconnects."""
        kept: list[str] = []
        try:
            async with stream:
                lines = _Lines(stream)
                while (line := await lines.next()) is not None:
                    await self._answer(stream, lines, json.loads(line), kept)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError, ValueError):
            self.journal.note("a client vanished")
        finally:
            self._clients -= 1
            for container in kept:
                if self._removal is not None:
                    self._removal.let_go(container)
            self._idle_check.set()

    async def _answer(
        self, stream: SocketStream, lines: _Lines, request: dict[str, Any], kept: list[str]
    ) -> None:
        """Carry a request out while watching for the client's end, which cancels it.

        What the client will read before it is removed is noted in *kept*.
        """
        outbox = _Outbox(stream)
        answer: dict[str, Any] = {}
        async with anyio.create_task_group() as group:

            async def watch() -> None:
                if await lines.ended():
                    group.cancel_scope.cancel()

            group.start_soon(watch)
            group.start_soon(outbox.run)
            answer = await self._carry_out(str(request.get("op")), request, outbox.report)
            self._keep(request, answer, kept)
            await outbox.drained()
            group.cancel_scope.cancel()
        if answer:
            if self._clients == 1 and not self._others_need_me():
                answer["leaving"] = True
            await stream.send(json.dumps(answer).encode() + b"\n")
        self._quiet_since.set()

    async def _wait_for_turn(self, report: Report) -> None:
        """Acquire the turn; say so when that takes long enough to be wondered at."""
        with anyio.move_on_after(WONDER_SECONDS):
            await self._turn.acquire()
            return
        word = _WORDS.get(self._running.op, self._running.op) if self._running is not None else "some"
        text = f"another composer command ({word}) is working on project {self.name}; waiting"
        report(Event("warning", self.name, text=text))
        await self._turn.acquire()

    def _keep(self, request: dict[str, Any], answer: dict[str, Any], kept: list[str]) -> None:
        """A container that its client starts, reads and removes is not removed under its hands."""
        options = request.get("options") or {}
        if request.get("op") == "run" and options.get("remove") and not options.get("start"):
            container = answer.get("result", {}).get("id")
            if container and self._removal is not None:
                self._removal.keep(container)
                kept.append(container)

    def _others_need_me(self) -> bool:
        states = self._watcher.states.values() if self._watcher is not None else ()
        return any(self._needs_agent(state) for state in states)

    async def _carry_out(self, op: str, request: dict[str, Any], report: Report) -> dict[str, Any]:
        controller = self._controller
        if controller is None:
            raise AssertionError("the agent does not follow its project yet")
        self.journal.note("request", op=op)
        try:
            if op in READING:
                result = await carry_out(controller, op, request, report)
            else:
                result = await self._in_turn(controller, op, request, report)
        except Exception as error:  # noqa: BLE001 - it crosses the socket; the client raises it
            import traceback

            trace = "".join(traceback.format_exception(error))
            self.journal.note("failed", op=op, error=str(error), trace=trace)
            return {"error": error_to_json(error, trace=trace)}
        self.journal.note("done", op=op)
        return {"result": result}

    async def _in_turn(
        self, controller: Controller, op: str, request: dict[str, Any], report: Report
    ) -> dict[str, Any]:
        """One change at a time; what stops things ends what is running instead of waiting for it."""
        if (running := self._running) is not None:
            impatient = op == "kill" and running.op != "kill"
            if impatient or (op in STOPPING and running.op not in STOPPING):
                running.ended_by = op
                running.scope.cancel()
        await self._wait_for_turn(report)
        try:
            mutation = Mutation(op)
            self._running = mutation
            try:
                with mutation.scope:
                    return await carry_out(controller, op, request, report)
            finally:
                self._running = None
        finally:
            self._turn.release()
        raise ConflictError(
            f"{_WORDS.get(op, op)} was interrupted by `composer {mutation.ended_by}`",
            hint="run it again to finish it",
        )


class _Lines:
    """Lines of a stream, with a look at whether it has ended."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._buffer = bytearray()

    async def next(self) -> bytes | None:
        """The next line, or None at the end."""
        start = 0
        while (end := self._buffer.find(b"\n", start)) < 0:
            start = len(self._buffer)
            if start > REQUEST_LIMIT:
                raise ValueError("a request is too long")
            if not await self._receive():
                return None
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    async def ended(self) -> bool:
        """Wait for the end of the stream; what comes before it is kept."""
        while len(self._buffer) <= REQUEST_LIMIT:
            if not await self._receive():
                return True
        return True

    async def _receive(self) -> bool:
        try:
            self._buffer += await self._stream.receive(1 << 18)
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return False
        return True


class _Outbox:
    """Events on their way to a client, batched; a client that does not read loses events, not memory."""

    LIMIT = 10_000

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self._waiting: list[Event] = []
        self._changed = anyio.Event()
        self._sending = anyio.Lock()

    def report(self, event: Event) -> None:
        """See `composer.events.Report`."""
        if len(self._waiting) < self.LIMIT:
            self._waiting.append(event)
            self._changed.set()

    async def run(self) -> None:
        """Send until cancelled."""
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            await self._send()

    async def drained(self) -> None:
        """Send what is left."""
        with suppress(anyio.BrokenResourceError):
            await self._send()

    async def _send(self) -> None:
        async with self._sending:
            batch, self._waiting = self._waiting, []
            if batch:
                text = "".join(json.dumps({"event": event_to_json(event)}) + "\n" for event in batch)
                await self._stream.send(text.encode())


def give_memory_back() -> None:
    """Collect garbage and return free heap to the kernel, see malloc_trim(3); 2 MiB after 30 containers."""
    import ctypes
    import gc

    gc.collect()
    with suppress(OSError, AttributeError):  # a C library without it
        ctypes.CDLL(None).malloc_trim(0)
