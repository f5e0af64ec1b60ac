"""The seam: what a controller and a builder may ask of any container engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from composer.engine.config import Attachment, ContainerConfig, Process
    from composer.engine.state import (
        ContainerState,
        EngineEvent,
        NetworkConfig,
        NetworkState,
        Stats,
        VolumeConfig,
        VolumeState,
    )


class Engine(Protocol):
    """A container engine. All methods raise `EngineError` or one of its kinds, in one sentence.

    Every method is safe to cancel: what was half made is removed, or is found and removed by the next
    `containers()` and `remove()`.
    """

    async def containers(self, project: str | None = None) -> Sequence[ContainerState]:
        """All containers (of *project*), as they are now; one read of disk and kernel."""
        ...

    async def create(self, config: ContainerConfig) -> ContainerState:
        """Make the container, without starting it: directory, addresses, generated files.

        Raises:
            ConflictError: The name is taken.
        """
        ...

    async def check_ports(self, configs: Sequence[ContainerConfig]) -> None:
        """Ask whether all fixed host ports of *configs* are free, before anything of a plan starts.

        Only `id`, `name` and `ports` of a configuration count; what a container of that id holds is free.

        Raises:
            ConflictError: One is taken; the message says by whom.
        """
        ...

    async def start(self, container_id: str) -> ContainerState:
        """Start it; returns when its command has been executed (or an image's command is missing: raises).

        Raises:
            CommandNotFoundError: See `composer.errors`.
            CannotInvokeError: See `composer.errors`.
            ConflictError: A published port or an address is in use.
        """
        ...

    async def stop(self, container_id: str, *, timeout: float | None = None) -> ContainerState:  # noqa: ASYNC109
        """Send its stop signal, wait *timeout* (default its own), kill what is left; record it as wanted."""
        ...

    async def kill(self, container_id: str, signal: str = "SIGKILL") -> None:
        """Send a signal to pid 1."""
        ...

    async def pause(self, container_id: str) -> None:
        """Freeze every process."""
        ...

    async def unpause(self, container_id: str) -> None:
        """Thaw."""
        ...

    async def rename(self, container_id: str, name: str) -> None:
        """Give it another name; its DNS name follows."""
        ...

    async def remove(self, container_id: str, *, force: bool = False, volumes: bool = False) -> None:
        """Remove it with its writable layer; `force` kills it first, `volumes` takes anonymous ones too."""
        ...

    async def wait(self, container_id: str) -> ContainerState:
        """Wait until it has ended and will not be restarted by its policy."""
        ...

    async def execute(
        self,
        container_id: str,
        process: Process,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> tuple[int, bytes]:
        """Run a command in it without a terminal; returns exit code and combined output (hooks, probes)."""
        ...

    async def connect(self, container_id: str, attachment: Attachment) -> None:
        """Join a further network while running."""
        ...

    async def disconnect(self, container_id: str, network: str) -> None:
        """Leave a network."""
        ...

    async def stats(self, container_id: str) -> Stats:
        """Read its counters once."""
        ...

    async def networks(self, project: str | None = None) -> Sequence[NetworkState]:
        """All networks (of *project*)."""
        ...

    async def create_network(self, config: NetworkConfig) -> NetworkState:
        """Make it; addresses that collide with another network or a host route are refused or avoided.

        Raises:
            ConflictError: The name is taken or a wanted subnet overlaps.
        """
        ...

    async def remove_network(self, network_id: str) -> None:
        """Remove it.

        Raises:
            ConflictError: A container is still on it.
        """
        ...

    async def volumes(self, project: str | None = None) -> Sequence[VolumeState]:
        """All volumes (of *project*)."""
        ...

    async def create_volume(self, config: VolumeConfig) -> VolumeState:
        """Make it, or return it when it exists with the same driver and options."""
        ...

    async def remove_volume(self, name: str) -> None:
        """Remove it with all it holds.

        Raises:
            ConflictError: A container uses it.
        """
        ...

    def events(self, project: str) -> AbstractAsyncContextManager[AsyncIterator[EngineEvent]]:
        """What happens to the project's containers from now on, also to those started by others."""
        ...

    def step(self, config: ContainerConfig) -> AbstractAsyncContextManager[Step]:
        """A container for one build step: no name, no restart, its changes are kept in a directory."""
        ...


class Step(Protocol):
    """A build step's container: run once; then its changes are a layer."""

    @property
    def upper(self) -> str:
        """Directory with what the step changed, in overlayfs form (whiteouts, opaque xattrs)."""
        ...

    async def run(self, output: int) -> int:
        """Run the process with stdout and stderr on the descriptor *output*; returns the exit code."""
        ...
