"""The one module that chooses a concrete engine, and wires the rooms together.

`open_local` gives a library, a test or the agent everything that acts on this machine; `shim` and
`container_directory` give the command line what it needs to read, without asyncio.
"""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from composer.controller.controller import Controller
    from composer.controller.watcher import Watcher
    from composer.engine import ContainerState
    from composer.events import Report
    from composer.images.store import Image, Store
    from composer.namespaces.client import ShimClient
    from composer.namespaces.engine import NamespaceEngine
    from composer.namespaces.zygote_client import Zygote
    from composer.spec.model import Project, Service
    from composer.state.paths import Paths


class LocalImages:
    """`ImageSource` on the store of this machine, with registry client and builder.

    Args:
        paths: Where the store is.
        engine: Runs RUN steps of builds.
    """

    def __init__(self, paths: Paths, engine: NamespaceEngine) -> None:
        self._paths = paths
        self._engine = engine
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """The store; opened at first use."""
        if self._store is None:
            from composer.images.store import Store

            self._store = Store(self._paths)
        return self._store

    @asynccontextmanager
    async def using(self) -> AsyncIterator[Callable[[], None]]:
        """See `ImageSource.using`."""
        from composer.errors import ConflictError

        with ExitStack() as stack:
            try:
                stack.enter_context(self.store.using(blocking=False))
            except ConflictError:
                # Somebody sweeps up: the event loop goes on meanwhile.
                import anyio.to_thread

                await anyio.to_thread.run_sync(lambda: stack.enter_context(self.store.using()))
            yield stack.close

    async def find(self, name: str) -> Image | None:
        """See `ImageSource.find`."""
        return self.store.resolve(name)

    async def pull(self, name: str, *, platform: str, report: Report) -> Image:
        """See `ImageSource.pull`."""
        from composer.images.aio import pull

        return await pull(self.store, name, platform=platform, report=report)

    async def build(self, project: Project, service: Service, *, report: Report) -> Image:
        """See `ImageSource.build`."""
        from composer.build.builder import build
        from composer.build.compose import request_for

        async def fetch(name: str, platform: str) -> Image:
            return await self.pull(name, platform=platform, report=report)

        request = request_for(project, service)
        return await build(request, engine=self._engine, store=self.store, report=report, puller=fetch)

    async def remove(self, name: str) -> None:
        """See `ImageSource.remove`."""
        self.store.remove(name)


class Local:
    """What `open_local` opens.

    Attributes:
        paths: Where everything lives.
        engine: The engine.
        images: Images of this machine.
    """

    def __init__(self, paths: Paths, engine: NamespaceEngine) -> None:
        self.paths = paths
        self.engine = engine
        self.images = LocalImages(paths, engine)

    def controller(self, project: str, *, watcher: Watcher | None = None) -> Controller:
        """The controller of one project.

        Args:
            project: Project name.
            watcher: One that follows the project already.
        """
        from composer.controller.controller import Controller

        return Controller(self.engine, self.images, self.paths, project, watcher=watcher)

    @asynccontextmanager
    async def project(self, name: str) -> AsyncIterator[Controller]:
        """Look after a project in this process, without an agent: its controller, while names are answered.

        Containers run on when it is closed, and whoever comes next, an agent or a program, takes over.

        Raises:
            ConflictError: The project's agent, or another program, is looking after it.
        """
        from composer.controller.watcher import Watcher
        from composer.state.files import locked

        busy = f"somebody else looks after project {name}; use the command line, or take it down first"
        with locked(self.paths.project_run(name) / "agent.lock", blocking=False, busy=busy):
            async with self.serving_names() as update:
                watcher = Watcher(self.engine, name)
                watcher.on_change = lambda: update(watcher.states.values())
                async with watcher.following():
                    yield self.controller(name, watcher=watcher)

    @asynccontextmanager
    async def serving_names(self) -> AsyncIterator[Callable[[Iterable[ContainerState]], None]]:
        """Answer DNS queries of a project's containers; feed the function with their states."""
        from composer.namespaces.names import serve_names

        async with serve_names(self.engine) as names:
            yield names.update


def show_as_agent(project: str) -> None:
    """Let ps(1) show this process as `composer-agent PROJECT`, however it was started."""
    from composer.namespaces.kernel import title

    title.remember()
    title.change(b"composer-agent", f"composer-agent {project}".encode())


def start_zygote() -> Zygote:
    """Start what forks containers, before anything else is imported: it gets ready on another core.

    Raises:
        UnsupportedError: No root privileges.
    """
    from composer.namespaces.zygote_client import Zygote

    zygote = Zygote()
    zygote.start()
    return zygote


@asynccontextmanager
async def open_local(paths: Paths, *, scope: str = "", zygote: Zygote | None = None) -> AsyncIterator[Local]:
    """Open engine and store on this machine; containers go on when it is closed.

    Args:
        paths: Where everything lives.
        scope: A project whose systemd scope this process, and all containers it makes, move to; for its
            agent, on machines where systemd manages the control groups.
        zygote: One that was started early, see `start_zygote`.

    Raises:
        UnsupportedError: No root privileges.
    """
    import sys

    from composer.namespaces.engine import open_engine

    root = ""
    if scope:
        from composer.namespaces.cgroups.systemd import enter_scope

        root = enter_scope(scope, suffix=paths.suffix)
        if root and zygote is not None:
            enter_scope(scope, suffix=paths.suffix, pid=zygote.pid)
    respawn = (sys.executable, "-m", "composer.agent")
    async with open_engine(paths, respawn=respawn, cgroup_root=root, zygote=zygote) as engine:
        yield Local(paths, engine)


def shim(paths: Paths, container_id: str) -> ShimClient:
    """A blocking connection to a container's shim, for exec, attach and logs.

    Raises:
        NotFoundError: The container does not run.
    """
    from composer.namespaces.client import ShimClient

    return ShimClient(paths.container_run(container_id))
