"""Names and relays for the containers of one project: the engine's events in, resolver and relay kept up.

It also sees that networks and published ports survive what others do to the machine's firewall.

Only one process per project does this: its agent. The sockets belong to the shims, so an agent that takes
over asks them again.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import anyio

from composer.errors import ComposerError
from composer.namespaces.network.relay import Relay
from composer.namespaces.network.resolver import Resolver
from composer.namespaces.network.watch import watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from composer.engine import ContainerState
    from composer.namespaces.engine import NamespaceEngine

RUNNING = frozenset({"running", "paused", "stopping"})


_Run: TypeAlias = tuple[float, tuple[str, ...]]
"""Start time and networks: what a registration depends on."""


def _run(state: ContainerState) -> _Run:
    return state.started_at, tuple(endpoint.network for endpoint in state.endpoints)


class NameService:
    """Keeps one resolver and one relay for a project. Make it with `serve_names`."""

    def __init__(self, engine: NamespaceEngine, resolver: Resolver, relay: Relay) -> None:
        self._engine = engine
        self._resolver = resolver
        self._relay = relay
        self._runs: dict[str, _Run] = {}
        """The run for which a container is registered."""
        self._names: frozenset[tuple[str, str, _Run]] = frozenset()
        self._changed = anyio.Event()
        self._states: tuple[ContainerState, ...] = ()

    def update(self, states: Iterable[ContainerState]) -> None:
        """Take over the present states of the project's containers; returns at once."""
        self._states = tuple(states)
        running = [state for state in self._states if state.status in RUNNING]
        names = frozenset((state.id, state.name, _run(state)) for state in running)
        if names != self._names:
            # What has ended must not be answered any more, so this does not wait for the task below.
            self._names = names
            # Those that do not run are told too: their names are answered with "no such name", not forwarded.
            self._resolver.set_zones(self._engine.network_manager.names(self._states))
            changed, self._changed = self._changed, anyio.Event()
            changed.set()

    async def run(self) -> None:
        """Register and deregister containers until cancelled."""
        while True:
            changed = self._changed
            running = {state.id: state for state in self._states if state.status in RUNNING}
            for container in [key for key in self._runs if key not in running]:
                self.forget(container)
            for state in running.values():
                if self._runs.get(state.id) != _run(state):
                    await self._register(state)
            await changed.wait()

    def forget(self, container: str) -> None:
        """Let go of a container's sockets; its ports may be wanted for the next one at once."""
        if self._runs.pop(container, None) is not None:
            self._resolver.remove(container)
            self._relay.remove(container)

    async def _register(self, state: ContainerState) -> None:
        sockets: tuple[int, int] | None = None
        try:
            sockets = await self._engine.dns_sockets(state.id)
            ports = await self._engine.port_sockets(state.id)
        except ComposerError:  # it has ended meanwhile; the next event says so
            for fd in sockets or ():
                os.close(fd)
            return
        self._runs[state.id] = _run(state)
        config = state.config
        if sockets is not None:
            internal = {
                network.config.id for network in await self._engine.networks() if network.config.internal
            }
            networks = [endpoint.network for endpoint in state.endpoints]
            self._resolver.add(
                state.id,
                *sockets,
                networks=networks,
                upstreams=config.dns,
                links={key: name for item in config.attachments for key, name in item.links.items()},
                forward=not networks or not internal.issuperset(networks),
            )
        if ports is not None:
            held, fds = ports
            try:
                self._relay.add(state.id, held, fds, self._engine.network_manager.reserve(config))
            finally:
                for fd in fds:
                    os.close(fd)


@asynccontextmanager
async def serve_names(engine: NamespaceEngine) -> AsyncIterator[NameService]:
    """Answer names and relay ports while the context is open; feed it with `NameService.update`."""
    async with Resolver() as resolver, Relay() as relay, anyio.create_task_group() as tasks:
        service = NameService(engine, resolver, relay)
        tasks.start_soon(service.run)
        tasks.start_soon(watch, engine.network_manager)
        engine.network_manager.on_unpublish.append(service.forget)
        try:
            yield service
        finally:
            engine.network_manager.on_unpublish.remove(service.forget)
            tasks.cancel_scope.cancel()
