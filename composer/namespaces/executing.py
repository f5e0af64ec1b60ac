"""`Engine.execute`: a command in a running container, its output collected."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import anyio

from composer.errors import ComposerError, OperationTimeoutError

if TYPE_CHECKING:
    from composer.engine import Process
    from composer.namespaces.links import ShimLink

_LIMIT = 16 << 20


def exec_fields(process: Process) -> dict[str, Any]:
    """The part of an exec request that says what runs; what is left out is the container's own."""
    fields: dict[str, Any] = {"args": list(process.args), "env": list(process.env)}
    if process.cwd != "/":
        fields["cwd"] = process.cwd
    if process.user:
        fields["user"] = process.user
        fields["groups"] = list(process.groups)
    if process.terminal:
        fields["terminal"] = True
    if process.no_new_privileges:
        fields["no_new_privileges"] = True
    return fields


async def execute(link: ShimLink, process: Process, timeout: float | None) -> tuple[int, bytes]:  # noqa: ASYNC109
    """Run *process* through *link*; returns exit code and combined output.

    Raises:
        OperationTimeoutError: It took longer than *timeout* seconds; it has been killed.
        EngineError: It could not be started.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(writer, True)
    null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
    output = bytearray()
    code = -1
    number = 0
    try:
        async with anyio.create_task_group() as tasks:
            with anyio.move_on_after(timeout) as scope:
                tasks.start_soon(_collect, reader, output)
                fields = {"process": exec_fields(process), "privileged": process.privileged}
                async for message, _ in link.conversation("exec", fields, [null, writer, writer]):
                    number = message.get("exec", number)
                    if writer >= 0:
                        os.close(writer)
                        writer = -1
                    if "exit" in message:
                        code = message["exit"]
                        break
            if scope.cancelled_caught and number:
                await link.request("exec_signal", exec=number, signal=9)
            # What the command left running may hold the pipe; its output is not waited for.
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        for error in group.exceptions:
            if isinstance(error, ComposerError):
                raise error from None
        raise
    finally:
        for fd in (null, writer):
            if fd >= 0:
                os.close(fd)
        _drain(reader, output)
        os.close(reader)
    if code < 0:
        raise OperationTimeoutError(f"{process.args[0]} did not end within {timeout:g} seconds")
    return code, bytes(output)


async def _collect(reader: int, output: bytearray) -> None:
    while True:
        await anyio.wait_readable(reader)
        try:
            data = os.read(reader, 65536)
        except BlockingIOError:
            continue
        if not data:
            return
        if len(output) < _LIMIT:
            output += data


def _drain(reader: int, output: bytearray) -> None:
    while True:
        try:
            data = os.read(reader, 65536)
        except (BlockingIOError, OSError):
            return
        if not data:
            return
        if len(output) < _LIMIT:
            output += data
