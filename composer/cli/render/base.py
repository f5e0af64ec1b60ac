"""What every renderer is: a sink for events that is opened, fed and closed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from composer.events import Event

SUBJECTS = {
    "network": "Network ",
    "volume": "Volume ",
    "image": "Image ",
    "container": "Container ",
    "service": "Service ",
    "build": "Build ",
    "project": "Project ",
}
"""What stands before an object's name, by the event's kind; layers and steps go by their own name."""


def subject(event: Event) -> str:
    """`Container shop-web-1`, the words by which progress lines are known."""
    return f"{SUBJECTS.get(event.kind, '')}{event.name}"


class Renderer(Protocol):
    """Shows events. Also a context manager, so that a terminal is always left as it was found."""

    def handle(self, event: Event) -> None:
        """Show *event*."""
        ...

    def close(self) -> None:
        """Show the final state and give the terminal back; further events are ignored."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class BaseRenderer:
    """The part of a renderer that all have in common: it is a context manager."""

    def close(self) -> None:
        """Nothing to give back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
