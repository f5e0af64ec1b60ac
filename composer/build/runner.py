"""Carries a planned RUN out: mounts are prepared, the step runs, its changes become a layer."""

from __future__ import annotations

import os
import shutil
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from composer.build.cachemounts import CacheMounts
from composer.build.groups import first_error
from composer.build.sshagent import forward_agent
from composer.build.tidy import made_paths, tidy
from composer.build.tree import LayeredTree
from composer.build.upper import clamp_times
from composer.build.workspace import SSH_SOCKET, Workspace, container_config
from composer.errors import BuildError
from composer.images.temporary import temporary_path

if TYPE_CHECKING:
    from composer.build.builder import Build
    from composer.build.progress import StepProgress
    from composer.build.run_plan import PlannedMount, RunStep
    from composer.build.state import StageState
    from composer.images.layers import Layer

_CHUNK = 1 << 16
_LINE_LIMIT = 1 << 16


async def run_in_engine(build: Build, state: StageState, step: RunStep, progress: StepProgress) -> Layer:
    """Run *step* on top of the stage's layers and return the layer that it made.

    Raises:
        BuildError: It cannot be started, or ends with another status than 0.
    """
    async with AsyncExitStack() as stack:
        workspace = await _workspace(build, stack)
        for number, planned in enumerate(step.mounts):
            await _prepare(build, planned, workspace, stack, number)
        if step.script is not None:
            workspace.script(*step.script)
        network = await build.network.get() if step.network == "default" else ""
        config = container_config(step, workspace, state.layers, build.request, network)
        tree = LayeredTree(state.layers)
        targets = [mount.target for mount in config.mounts]
        made = await anyio.to_thread.run_sync(lambda: made_paths(tree, targets))
        running = await stack.enter_async_context(build.engine.step(config))
        reading, writing = os.pipe2(os.O_CLOEXEC)
        code = -1
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_read_output, reading, progress)
                try:
                    code = await running.run(writing)
                finally:
                    os.close(writing)
        except BaseExceptionGroup as group:
            raise first_error(group) from None
        finally:
            os.close(reading)
        if code:
            raise _failed(step, code, progress)

        def finish() -> Layer:
            tidy(running.upper, tree, made)
            if build.epoch is not None:
                clamp_times(running.upper, build.epoch)
            return build.store.add_layer_from_directory(running.upper, state.chain)

        return await anyio.to_thread.run_sync(finish)


def _failed(step: RunStep, code: int, progress: StepProgress) -> BuildError:
    tail = next((line for line in reversed(progress.tail) if line.strip()), "")
    shown = " ".join(step.argv)
    if len(shown) > 200:
        shown = shown[:197] + "..."
    shown = " ".join(shown.split())
    hint = f"its last line of output: {tail[:200]}" if tail else ""
    return BuildError(f"{shown!r} did not complete successfully: exit code {code}", hint=hint)


async def _workspace(build: Build, stack: AsyncExitStack) -> Workspace:
    def make() -> Workspace:
        scratch = os.path.join(build.scratch, os.urandom(6).hex())
        os.mkdir(scratch, 0o700)
        private = temporary_path(build.store.private)
        private.mkdir(mode=0o700)
        return Workspace(scratch, str(private))

    workspace = await anyio.to_thread.run_sync(make)
    stack.callback(shutil.rmtree, workspace.private, ignore_errors=True)
    return workspace


async def _prepare(
    build: Build,
    planned: PlannedMount,
    workspace: Workspace,
    stack: AsyncExitStack,
    number: int,
) -> None:
    mount = planned.mount
    if mount.type == "bind":
        await anyio.to_thread.run_sync(lambda: workspace.bind(planned))
    elif mount.type == "tmpfs":
        workspace.tmpfs(planned)
    elif mount.type == "secret":
        await anyio.to_thread.run_sync(lambda: workspace.secret(planned, build.request.secrets))
    elif mount.type == "cache":
        caches = CacheMounts(build.store.paths.root / "build" / "mounts")
        seed = (planned.tree, planned.source.path) if planned.tree and planned.source else None
        # The lock belongs to its descriptor, so it may be taken in one thread and let go in another.
        held = ExitStack()
        directory = await anyio.to_thread.run_sync(
            lambda: held.enter_context(caches.use(mount, planned.target, seed))
        )
        stack.push_async_callback(anyio.to_thread.run_sync, held.close)
        workspace.cache(planned, directory)
    else:
        await _prepare_agent(build, planned, workspace, stack, number)


async def _prepare_agent(
    build: Build, planned: PlannedMount, workspace: Workspace, stack: AsyncExitStack, number: int
) -> None:
    mount = planned.mount
    name = mount.id or "default"
    socket = build.request.ssh.get(name)
    if not socket:
        if mount.required:
            raise BuildError(f"ssh agent {name!r} is required", hint=f"give it with --ssh {name}")
        return
    target = planned.target or SSH_SOCKET.format(number=number)
    path = workspace.fresh(workspace.private)
    await stack.enter_async_context(forward_agent(socket, path, mount.uid or 0, mount.gid or 0, mount.mode))
    workspace.agent(target, path)


async def _read_output(reading: int, progress: StepProgress) -> None:
    """Tell every line; a process that never ends a line gets it cut."""
    os.set_blocking(reading, False)
    rest = b""
    while True:
        try:
            data = os.read(reading, _CHUNK)
        except BlockingIOError:
            await anyio.wait_readable(reading)
            continue
        if not data:
            break
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            progress.output(_text(line))
        if len(rest) > _LINE_LIMIT:
            progress.output(_text(rest))
            rest = b""
    if rest:
        progress.output(_text(rest))


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace")
