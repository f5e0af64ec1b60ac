"""The network of RUN steps: one bridge for each build, made for the first step that needs it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import anyio

from composer.errors import ComposerError, EngineError
from composer.images.temporary import process_start

if TYPE_CHECKING:
    from composer.build.engine import StepEngine

_PROJECT = "composer-build"
"""What the networks are filed under, so that a later build finds what a killed one left."""


class BuildNetwork:
    """A bridge without names: a step reaches the world, and nothing that listens on the host's loopback.

    Args:
        engine: Makes it.
    """

    def __init__(self, engine: StepEngine) -> None:
        self._engine = engine
        self._lock = anyio.Lock()
        self._id = ""

    async def get(self) -> str:
        """Its id.

        Raises:
            EngineError: It cannot be made.
        """
        async with self._lock:
            if not self._id:
                self._id = await self._create()
            return self._id

    async def close(self) -> None:
        """Remove it, also when the build is being cancelled, and what killed builds left."""
        if self._id:
            with anyio.CancelScope(shield=True), suppress(ComposerError):
                # What cannot be removed now (a full disk) is swept by the next build; it must not hide why.
                await self._engine.remove_network(self._id)
                await self._sweep()
            self._id = ""

    async def _create(self) -> str:
        from composer.engine import NetworkConfig  # only a build that runs something pays for it

        pid = os.getpid()
        identity = os.urandom(32).hex()
        name = f"{_PROJECT}-{pid}-{process_start(pid)}-{identity[:8]}"
        try:
            state = await self._engine.create_network(NetworkConfig(id=identity, name=name, project=_PROJECT))
        except EngineError as error:
            raise EngineError(
                f"cannot make a network for RUN: {error.message}",
                errno=error.errno,
                hint=error.hint or "build with --network host",
            ) from error
        return state.config.id

    async def _sweep(self) -> None:
        """Remove networks of builds that were killed."""
        for state in await self._engine.networks(_PROJECT):
            pid, _, rest = state.config.name.removeprefix(f"{_PROJECT}-").partition("-")
            started = rest.partition("-")[0]
            if pid.isdigit() and started.isdigit() and process_start(int(pid)) != int(started):
                try:
                    await self._engine.remove_network(state.config.id)
                except ComposerError:
                    continue  # its last step is still being killed; the next build removes it
