"""Whether a container still is what its service asks for, and if not, why; pure."""

from __future__ import annotations

import hashlib
from dataclasses import field
from typing import TYPE_CHECKING, Any

from composer.controller import labels
from composer.frozen import frozen
from composer.graph import SHARED_NAMESPACES
from composer.spec.hashes import config_hash, service_config_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

    from composer.engine import ContainerState
    from composer.spec.model import Project


@frozen
class ServiceFacts:
    """What must be read from images and files before a service can be compared.

    Attributes:
        image_id: Digest of the image its containers would be made from; empty: not known yet.
        image_mounts: `target=digest,...` of its image mounts.
        files_hash: `files_hash` of the configs and secrets that are written into its containers.
    """

    image_id: str = ""
    image_mounts: str = ""
    files_hash: str = ""


@frozen
class Resources:
    """What exists by key of the file: network ids, real volume names."""

    networks: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)


def files_hash(files: Mapping[str, bytes]) -> str:
    """A digest over files by their target; empty when there are none.

    It is kept apart from the configuration hash, so that this stays what `config --hash` prints.
    """
    if not files:
        return ""
    digest = hashlib.sha256()
    for target in sorted(files):
        digest.update(f"{len(target)}:{target}:{len(files[target])}:".encode())
        digest.update(files[target])
    return digest.hexdigest()


def expected_hash(project: Project, service: str, owners: Mapping[str, str]) -> str:
    """The configuration hash of a service's containers.

    Args:
        project: The project.
        service: The service.
        owners: Container ids by service, for `network_mode: service:x` and the like: another container of
            the same name is another namespace.
    """
    return service_config_hash(_resolved(project.document["services"][service], owners))


def network_hash(project: Project, key: str) -> str:
    """The configuration hash of a network."""
    return config_hash(project.document.get("networks", {}).get(key) or {})


def volume_hash(project: Project, key: str) -> str:
    """The configuration hash of a volume."""
    return config_hash(project.document.get("volumes", {}).get(key) or {})


def divergence(
    project: Project,
    service: str,
    container: ContainerState,
    *,
    facts: ServiceFacts,
    owners: Mapping[str, str],
    resources: Resources,
    previous: Mapping[str, Any] | None = None,
) -> str:
    """Why *container* must be made anew, or an empty string.

    Args:
        project: What is wanted.
        service: The service of the container.
        container: What is there.
        facts: See `ServiceFacts`.
        owners: See `expected_hash`.
        resources: Existing networks and volumes; what is not listed will be made, so nobody has it yet.
        previous: The canonical service as it was last applied, to name what changed.
    """
    own = container.config.labels
    if own.get(labels.CONFIG_HASH) != expected_hash(project, service, owners):
        return _what_changed(project.document["services"][service], previous)
    if facts.image_id and own.get(labels.IMAGE, container.config.image_id) != facts.image_id:
        return "the image is another one now"
    if facts.image_mounts != own.get(labels.IMAGE_VOLUMES, ""):
        return "an image that is mounted is another one now"
    if facts.files_hash != own.get(labels.FILES_HASH, ""):
        return "the content of a config or secret changed"
    wanted = project.services[service]
    if not wanted.network_mode:
        present = {attachment.network for attachment in container.config.attachments}
        present |= {endpoint.network for endpoint in container.endpoints}
        for key in wanted.networks:
            if resources.networks.get(key) not in present:
                return f"it is not on network {project.networks[key].name}"
    mounted = {(mount.source, mount.target) for mount in container.config.mounts if mount.type == "volume"}
    for mount in wanted.volumes:
        if mount.type == "volume" and mount.source in project.volumes:
            name = project.volumes[mount.source].name
            if mount.source not in resources.volumes or (name, mount.target) not in mounted:
                return f"volume {name} is not mounted"
    return ""


def _resolved(document: Mapping[str, Any], owners: Mapping[str, str]) -> dict[str, Any]:
    resolved = dict(document)
    for attribute in SHARED_NAMESPACES:
        value = resolved.get(attribute) or ""
        if value.startswith("service:"):
            owner = owners.get(value.removeprefix("service:"), "")
            resolved[attribute] = f"container:{owner}"
    if volumes_from := resolved.get("volumes_from"):
        resolved["volumes_from"] = [_volumes_from(entry, owners) for entry in volumes_from]
    return resolved


def _volumes_from(entry: str, owners: Mapping[str, str]) -> str:
    if entry.startswith("container:"):
        return entry
    service, colon, mode = entry.partition(":")
    return f"container:{owners.get(service, '')}{colon}{mode}"


def _what_changed(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    if before is None:
        return "its configuration changed"
    changed = []
    for key in sorted(now.keys() | before.keys()):
        old, new = before.get(key), now.get(key)
        if old == new or key in ("build", "pull_policy", "scale", "depends_on", "profiles", "develop"):
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            inner = [name for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)]
            changed += [f"{key}.{name}" for name in inner]
        else:
            changed.append(key)
    if not changed:
        return "its configuration changed"
    shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
    return f"{shown} changed"
