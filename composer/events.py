"""What happened, to what, and why: the one stream that renderers, logs and `composer events` read.

Every operation of the controller, the engine, a build or a transfer reports through `Event`. Values only;
nobody here prints.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from composer.frozen import field, frozen

Kind: TypeAlias = Literal[
    "project",
    "network",
    "volume",
    "image",
    "layer",
    "container",
    "service",
    "build",
    "step",
    "log",
    "warning",
]
"""What an event is about. `log` carries one line of a container's output, `warning` a sentence."""

Status: TypeAlias = Literal["working", "done", "warning", "error", "info"]
"""`working` starts or advances something; `done`, `warning` and `error` end it; `info` stands alone."""


@frozen
class Event:
    """One thing that happened.

    Attributes:
        kind: What it is about.
        name: The object's name as users know it: `shop-web-1`, `shop_default`, `debian:bookworm-slim`.
        action: What happens to it, in the words of docker compose's progress (`Creating`, `Started`,
            `Healthy`, `Pulling`) or of the engine's event log (`start`, `die`, `oom`, `health_status`).
        status: Whether this begins, ends or only mentions it.
        service: The Compose service, when there is one.
        id: The object's id, when it has one.
        reason: Why the operation is there, for `plan` and `--verbose`.
        text: Further text: the output line of a `log`, the detail of an error.
        parent: Name of the object this is a part of (a layer's image, a step's build).
        current: Progress made so far, in bytes or steps.
        total: Progress that makes it complete, or 0 when unknown.
        time: Seconds since the epoch.
        attributes: Anything else, such as `exitCode`, `signal`, `stream`.
    """

    kind: Kind
    name: str
    action: str = ""
    status: Status = "info"
    service: str = ""
    id: str = ""
    reason: str = ""
    text: str = ""
    parent: str = ""
    current: int = 0
    total: int = 0
    time: float = field(default_factory=time.time)
    attributes: Mapping[str, str] = field(default_factory=dict)


Report: TypeAlias = Callable[[Event], None]
"""Takes an event; must return at once and never raise."""


def discard(_event: Event) -> None:
    """A `Report` for callers that do not listen."""
