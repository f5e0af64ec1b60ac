"""Following a project: output, containers that appear, end, restart; woken by inotify, not a clock."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from composer.cli import inotify
from composer.cli.logfile import LOG, Line, LogReader
from composer.cli.snapshot import Container, read_container

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from composer.state.paths import Paths

_DIRECTORY = inotify.IN_MODIFY | inotify.IN_CREATE | inotify.IN_MOVED_TO | inotify.IN_DELETE_SELF
_PARENT = inotify.IN_CREATE | inotify.IN_MOVED_TO | inotify.IN_DELETE


LINGER = 2.0
"""Seconds that containers which were stopped by hand have to come back: `restart` stops before it starts. One
that replaces another is made before that one is stopped, and started afterwards."""


class Change(NamedTuple):
    """What happened to a container.

    Attributes:
        container: As it is now.
        line: A line of its output, for `output`.
        kind: `output`, `appeared`, `state`, `removed`.
        before: Its state before, for `state`.
    """

    container: Container
    kind: str
    line: Line | None = None
    before: dict[str, Any] | None = None


class _Followed:
    __slots__ = ("container", "reader")

    def __init__(self, container: Container, reader: LogReader) -> None:
        self.container = container
        self.reader = reader


class Follower:
    """Watches the containers of one project.

    Args:
        paths: Where state lives.
        project: Whose containers.
        wanted: Chooses among them.
        skip: Leave out what the containers that exist at the start wrote so far; else it comes with the first
            change, unless it is read through `reader` before.

    Use as a context manager. Containers that exist at the start are taken in silently.
    """

    def __init__(
        self,
        paths: Paths,
        project: str,
        wanted: Callable[[Container], bool] | None = None,
        *,
        skip: bool = True,
    ) -> None:
        self._paths = paths
        self._project = project
        self._wanted = wanted
        self._roots = (f"{paths.root}/containers", f"{paths.run}/containers")
        self._inotify = inotify.Inotify()
        self._followed: dict[str, _Followed] = {}
        self._strangers: set[str] = set()
        self._watches: dict[int, str] = {}
        self._quiet_since = 0.0
        for root in self._roots:
            os.makedirs(root, exist_ok=True)
            self._watches[self._inotify.watch(root, _PARENT)] = ""
        for container_id in self._ids():
            self._look(container_id)
        if skip:
            for followed in self._followed.values():
                followed.reader.skip()

    @property
    def fd(self) -> int:
        """Readable when `changes` has something to say."""
        return self._inotify.fd

    @property
    def containers(self) -> list[Container]:
        """The followed containers as last seen."""
        return [followed.container for followed in self._followed.values()]

    def patience(self) -> float | None:
        """Seconds until it is certain that nothing runs any more: None while something does, 0 when it is.

        What was stopped by hand, or was only made so far, is waited for a little.
        """
        if any(container.alive for container in self.containers):
            self._quiet_since = 0.0
            return None
        if not any(
            container.state.get("stopped_by_user") or container.status == "created"
            for container in self.containers
        ):
            return 0.0
        self._quiet_since = self._quiet_since or time.monotonic()
        return max(self._quiet_since + LINGER - time.monotonic(), 0.0)

    def until_over(self) -> Iterator[Change]:
        """Changes until nothing runs any more."""
        if any(container.alive for container in self.containers):
            while (patience := self.patience()) != 0:
                yield from self.changes(patience)

    def reader(self, container: Container) -> LogReader:
        """The log reader of a followed container."""
        return self._followed[container.id].reader

    def changes(self, timeout: float | None = None) -> Iterator[Change]:
        """What happened since the last call; waits at most *timeout* seconds for something to happen."""
        touched: dict[str, None] = {}
        for notice in self._inotify.read(timeout):
            if notice.mask & inotify.IN_Q_OVERFLOW:
                touched.update(dict.fromkeys(self._ids()))
                touched.update(dict.fromkeys(self._followed))
                continue
            container_id = self._watches.get(notice.watch)
            if notice.mask & inotify.IN_IGNORED:
                self._watches.pop(notice.watch, None)
            if container_id is not None:
                touched[container_id or notice.name] = None
        for container_id in touched:
            yield from self._update(container_id)

    def close(self) -> None:
        """Stop watching."""
        self._inotify.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ids(self) -> list[str]:
        return [name for name in os.listdir(self._roots[0]) if not name.startswith(".")]

    def _look(self, container_id: str) -> Container | None:
        """Read a container and watch its directories; None when it is not (yet) one of ours."""
        if container_id in self._strangers:
            return None
        for root in self._roots:
            watch = self._inotify.watch(f"{root}/{container_id}", _DIRECTORY)
            if watch >= 0:
                self._watches[watch] = container_id
        container = read_container(self._paths, container_id)
        if container is None:
            return None
        if container.project != self._project or (self._wanted and not self._wanted(container)):
            self._strangers.add(container_id)
            return None
        followed = self._followed.get(container_id)
        if followed is None:
            path = f"{self._roots[0]}/{container_id}/{LOG}"
            self._followed[container_id] = _Followed(container, LogReader(path))
        else:
            followed.container = container
        return container

    def _update(self, container_id: str) -> Iterator[Change]:
        known = self._followed.get(container_id)
        before = known.container.state if known else None
        container = self._look(container_id)
        if container is None:
            if known is not None:
                yield from self._output(known)
                del self._followed[container_id]
                yield Change(known.container, "removed")
            return
        followed = self._followed[container_id]
        if before is None:
            yield Change(container, "appeared")
        yield from self._output(followed)
        if before is not None and before != container.state:
            if container.status in ("exited", "dead"):
                for line in followed.reader.flush():
                    yield Change(container, "output", line)
            yield Change(container, "state", None, before)

    @staticmethod
    def _output(followed: _Followed) -> Iterator[Change]:
        for line in followed.reader.fresh():
            yield Change(followed.container, "output", line)
