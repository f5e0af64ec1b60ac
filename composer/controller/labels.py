"""The labels by which containers, networks and volumes are found again: those of docker compose.

Other tools read them too (Traefik, lazydocker, log shippers), so names and values are kept to the letter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from composer.engine import ContainerState

PREFIX = "com.docker.compose."

PROJECT = PREFIX + "project"
SERVICE = PREFIX + "service"
NUMBER = PREFIX + "container-number"
ONE_OFF = PREFIX + "oneoff"
SLUG = PREFIX + "slug"
CONFIG_HASH = PREFIX + "config-hash"
IMAGE = PREFIX + "image"
IMAGE_VOLUMES = PREFIX + "image-volume-digest"
DEPENDS_ON = PREFIX + "depends_on"
VERSION = PREFIX + "version"
NETWORK = PREFIX + "network"
VOLUME = PREFIX + "volume"
REPLACE = PREFIX + "replace"
HOOK = PREFIX + "hook"

FILES_HASH = "composer.files-hash"
"""Ours: digest of the configs and secrets that were written into the container when it was made."""


def service_of(container: ContainerState) -> str:
    """The service a container belongs to, or an empty string."""
    return container.config.labels.get(SERVICE, "")


def number_of(container: ContainerState) -> int:
    """The replica's number, 0 when it has none."""
    value = container.config.labels.get(NUMBER, "")
    return int(value) if value.isdecimal() else 0


def is_one_off(container: ContainerState) -> bool:
    """Whether it was made by `run`, or for a hook, and not by `up`."""
    labels = container.config.labels
    return labels.get(ONE_OFF, "False") == "True" or HOOK in labels


def final_name(container: ContainerState) -> str:
    """The name it has, or is going to have once the container it replaces is gone."""
    return container.config.labels.get(REPLACE, "") or container.name


def dependencies_from(labels: Mapping[str, str]) -> dict[str, tuple[str, bool]]:
    """What `depends_on` was when a container was made: service -> (condition, restart).

    This is how `stop` and `down` know the order without a Compose file.
    """
    found: dict[str, tuple[str, bool]] = {}
    for entry in labels.get(DEPENDS_ON, "").split(","):
        service, _, rest = entry.partition(":")
        condition, _, restart = rest.partition(":")
        if service:
            found[service] = (condition or "service_started", restart == "true")
    return found
