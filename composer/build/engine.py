"""What a build needs of `composer.engine.Engine`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from composer.engine import ContainerConfig, NetworkConfig, NetworkState, Step


class StepEngine(Protocol):
    """The part of `Engine` that runs steps; see there for what each method does and raises."""

    def step(self, config: ContainerConfig) -> AbstractAsyncContextManager[Step]:
        """A container for one build step."""
        ...

    async def networks(self, project: str | None = None) -> Sequence[NetworkState]:
        """All networks of *project*."""
        ...

    async def create_network(self, config: NetworkConfig) -> NetworkState:
        """Make a network."""
        ...

    async def remove_network(self, network_id: str) -> None:
        """Remove a network."""
        ...
