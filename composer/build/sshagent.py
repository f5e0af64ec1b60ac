"""A socket in a build step that leads to the caller's ssh agent, with the owner and mode asked for."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from anyio.abc import ByteStream


@asynccontextmanager
async def forward_agent(agent: str, path: str, uid: int, gid: int, mode: int | None) -> AsyncIterator[None]:
    """Listen on *path* and join every connection with one to the socket *agent*."""
    listener = await anyio.create_unix_listener(path)
    os.chmod(path, 0o600 if mode is None else mode)
    os.chown(path, uid, gid)

    async def serve(stream: ByteStream) -> None:
        async with stream, await anyio.connect_unix(agent) as upstream, anyio.create_task_group() as tasks:
            tasks.start_soon(_pump, stream, upstream)
            await _pump(upstream, stream)
            tasks.cancel_scope.cancel()

    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, serve)
        try:
            yield
        finally:
            tasks.cancel_scope.cancel()


async def _pump(source: ByteStream, target: ByteStream) -> None:
    try:
        async for data in source:
            await target.send(data)
        await target.send_eof()
    except (anyio.BrokenResourceError, anyio.ClosedResourceError):
        return
