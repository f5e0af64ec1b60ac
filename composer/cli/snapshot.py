"""The containers of this machine, read straight from state files: what `ps`, `ls`, `logs`, `port` start from.

No agent is asked and no dataclass is built: these commands are run often and by people who wait. A
container is described by two files (see `composer.state.paths`): `config.json` lasts, `state.json` in the
run directory is gone after a reboot, and then the lasting directory tells how the last run ended. Fields
that equal their default are left out of both.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from composer.state.paths import Paths

PREFIX = "com.docker.compose."
ALIVE = frozenset({"running", "paused", "restarting", "stopping"})
"""Statuses that `ps` shows without `-a`."""
KILLED = 137
LOST = 255
"""Exit code of what a reboot ended."""


class Container:
    """One container as its files describe it.

    Attributes:
        id: 64 hex digits.
        config: `ContainerConfig` as JSON.
        state: `ContainerState` as JSON, without its config.
    """

    __slots__ = ("config", "id", "state")

    def __init__(self, container_id: str, config: dict[str, Any], state: dict[str, Any]) -> None:
        self.id = container_id
        self.config = config
        self.state = state

    @property
    def name(self) -> str:
        """The present name."""
        return str(self.config.get("name", ""))

    @property
    def labels(self) -> dict[str, str]:
        """All labels."""
        labels: dict[str, str] = self.config.get("labels", {})
        return labels

    @property
    def project(self) -> str:
        """The Compose project, or an empty string."""
        return self.labels.get(PREFIX + "project", "") or str(self.config.get("project", ""))

    @property
    def service(self) -> str:
        """The Compose service, or an empty string."""
        return self.labels.get(PREFIX + "service", "") or str(self.config.get("service", ""))

    @property
    def number(self) -> int:
        """The replica's number, 0 for one-off containers."""
        text = self.labels.get(PREFIX + "container-number", "")
        return int(text) if text.isdigit() else 0

    @property
    def oneoff(self) -> bool:
        """Made by `run`."""
        return self.labels.get(PREFIX + "oneoff") == "True"

    @property
    def status(self) -> str:
        """What it is doing; a container that has no state never ran."""
        return str(self.state.get("status", "created"))

    @property
    def alive(self) -> bool:
        """Whether `ps` shows it without `-a`."""
        return self.status in ALIVE

    @property
    def health(self) -> str:
        """`starting`, `healthy`, `unhealthy`, or an empty string without a probe."""
        health = self.state.get("health", "none")
        return "" if health == "none" else str(health)

    @property
    def exit_code(self) -> int:
        """Of the last run."""
        return int(self.state.get("exit_code", 0))

    @property
    def short_name(self) -> str:
        """The name without the project, as log prefixes show it; a name of the user's own stays whole."""
        name = self.name
        for separator in "-_":
            prefix = f"{self.project}{separator}"
            if self.project and name.startswith(prefix + self.service):
                return name[len(prefix) :]
        return name


def containers(paths: Paths, project: str | None = None) -> list[Container]:
    """Containers (of *project*), sorted by name, as their files say they are."""
    root = f"{paths.root}/containers"
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return []
    found = []
    for container_id in names:
        config = _read(f"{root}/{container_id}/config.json")
        if config is None or (project is not None and _project(config) != project):
            continue
        found.append(Container(container_id, config, _state(paths, container_id)))
    found.sort(key=lambda container: (container.service, container.number, container.name))
    found.sort(key=lambda container: container.name)
    return found


def read_container(paths: Paths, container_id: str) -> Container | None:
    """One container, or None when its configuration is not there (yet, or any more)."""
    config = _read(f"{paths.root}/containers/{container_id}/config.json")
    return None if config is None else Container(container_id, config, _state(paths, container_id))


def of_services(found: Iterable[Container], services: Sequence[str]) -> list[Container]:
    """Those of the named services, or all when none is named."""
    return [container for container in found if not services or container.service in services]


def _project(config: dict[str, Any]) -> str:
    labels = config.get("labels", {})
    return str(labels.get(PREFIX + "project", "") or config.get("project", ""))


def _state(paths: Paths, container_id: str) -> dict[str, Any]:
    """The state, corrected as `namespaces.store` does: for a shim that is gone, and after a reboot."""
    path = f"{paths.run}/containers/{container_id}/state.json"
    state = _read(path)
    if state is not None and state.get("status") in ALIVE and not _shim_alive(state):
        state = _read(path)  # its last word may have come between the reading and the look
    if state is not None:
        if state.get("status") in ALIVE and not _shim_alive(state):
            return {**state, "status": "exited", "pid": 0, "health": "none", "exit_code": KILLED}
        return state
    directory = f"{paths.root}/containers/{container_id}"
    state = _read(f"{directory}/state.json")
    ran = os.path.exists(f"{directory}/container.log")
    if state is None and ran and not os.path.isdir(f"{paths.run}/containers/{container_id}"):
        return {"status": "exited", "exit_code": LOST, "error": "the machine was restarted while it ran"}
    return state or {}


def _shim_alive(state: dict[str, Any]) -> bool:
    """Whether the shim that wrote *state* still runs; its pid and start time name one process."""
    from composer.namespaces.shim.state import start_time

    shim = state.get("shim") or {}
    return bool(shim) and start_time(shim["pid"]) == shim["start"]


def _read(path: str) -> dict[str, Any] | None:
    """The JSON object in *path*, or None without one; files are replaced whole, never half written."""
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return value if isinstance(value, dict) else None
