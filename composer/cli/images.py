"""What the image commands share: rows for lists, moments, and the shape that `inspect` prints."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from composer.cli.render.units import ago, human_bytes

if TYPE_CHECKING:
    from composer.images.config import ImageConfig
    from composer.images.store import Image


def moment(text: str) -> float:
    """An RFC 3339 time as seconds since the epoch, 0 when it is empty or malformed."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0


def created_at(image: Image) -> float:
    """When the image was built; when it came here, if it does not say."""
    return moment(image.created) or image.added


def rows_of(image: Image, *, digests: bool = False, full: bool = False) -> list[dict[str, Any]]:
    """One row per name of the image, as `docker image ls --format json` has them."""
    names = [(name.rpartition(":")[0], name.rpartition(":")[2]) for name in image.repo_tags]
    known = dict(name.rpartition("@")[::2] for name in image.repo_digests)
    if not names:
        names = [(repository, "<none>") for repository in known] or [("<none>", "<none>")]
    created = created_at(image)
    return [
        {
            "Containers": "N/A",
            "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(created)),
            "CreatedSince": ago(created, time.time()),
            "Digest": known.get(repository, "<none>") if digests or full else "<none>",
            "ID": image.id if full else image.short_id,
            "Repository": repository,
            "SharedSize": "N/A",
            "Size": human_bytes(image.size),
            "Tag": tag,
            "UniqueSize": "N/A",
            "VirtualSize": human_bytes(image.size),
        }
        for repository, tag in names
    ]


def inspection(image: Image) -> dict[str, Any]:
    """Everything known about an image, in the shape of `docker image inspect`."""
    config = image.config
    layers = list(reversed(image.layers))
    data: dict[str, str] = {}
    if layers:
        data["UpperDir"] = str(layers[0].diff)
        if len(layers) > 1:
            data["LowerDir"] = ":".join(str(layer.diff) for layer in layers[1:])
    document = {
        "Id": image.id,
        "RepoTags": list(image.repo_tags),
        "RepoDigests": list(image.repo_digests),
        "Parent": "",
        "Comment": config.history[-1].comment if config.history else "",
        "Created": config.created,
        "DockerVersion": "",
        "Author": config.author,
        "Architecture": config.architecture,
        "Os": config.os,
        "Size": image.size,
        "GraphDriver": {"Name": "overlay2", "Data": data},
        "RootFS": {"Type": "layers", "Layers": list(config.diff_ids)},
        "Metadata": {"LastTagTime": _tag_time(image)},
        "Config": _config(config),
    }
    if config.variant:
        document["Variant"] = config.variant
    if image.manifest:
        document["Descriptor"] = {"digest": image.manifest}
    return document


def _tag_time(image: Image) -> str:
    from composer.cli.render.units import rfc3339

    return rfc3339(max(image.updated.values())) if image.updated else "0001-01-01T00:00:00Z"


def _config(config: ImageConfig) -> dict[str, Any]:
    result: dict[str, Any] = {
        "User": config.user,
        "ExposedPorts": {port: {} for port in config.exposed_ports} or None,
        "Env": list(config.env),
        "Cmd": None if config.cmd is None else list(config.cmd),
        "Volumes": {path: {} for path in config.volumes} or None,
        "WorkingDir": config.working_dir,
        "Entrypoint": None if config.entrypoint is None else list(config.entrypoint),
        "OnBuild": list(config.on_build) or None,
        "Labels": dict(config.labels) or None,
    }
    if config.stop_signal:
        result["StopSignal"] = config.stop_signal
    if config.shell is not None:
        result["Shell"] = list(config.shell)
    if config.healthcheck is not None:
        result["Healthcheck"] = config.healthcheck.document()
    return result
