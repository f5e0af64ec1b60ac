"""`compose.lock`: the digests of a project's images, so that `up` takes the same ones everywhere.

    {"version": 1, "images": {"debian:bookworm-slim": "sha256:..."}}

It stands beside the first Compose file. A locked name is replaced by name and digest when the project is
read; a name that is not in the file is taken as it is.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composer.errors import Location, SpecError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NAME = "compose.lock"


def lock_path(config_file: str) -> Path:
    """Where the lock of the project with this Compose file is."""
    return Path(config_file).parent / NAME


def read_lock(path: Path) -> dict[str, str]:
    """Digest by familiar image name; empty when there is no such file.

    Raises:
        SpecError: The file is malformed.
    """
    from composer.images.reference import is_digest

    try:
        text = path.read_text()
    except FileNotFoundError:
        return {}
    where = Location(str(path), 1)
    try:
        document = json.loads(text)
    except ValueError as error:
        raise SpecError(
            f"not JSON: {error}", where=where, hint="write it anew with: composer lock"
        ) from error
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, dict) or document.get("version") != 1:
        raise SpecError("this is no lock file of version 1", where=where)
    for name, digest in images.items():
        if not isinstance(digest, str) or not is_digest(digest):
            raise SpecError(f"{name} is locked to {digest!r}, which is no digest", where=where)
    return images


def write_lock(path: Path, images: Mapping[str, str]) -> None:
    """Write the lock, sorted by name."""
    from composer.state.files import write_atomic

    document = {"version": 1, "images": dict(sorted(images.items()))}
    write_atomic(path, (json.dumps(document, indent=2) + "\n").encode())


def apply_lock(services: Mapping[str, Any], images: Mapping[str, str]) -> None:
    """Put the digests of *images* into canonical services; names with a digest stay as they are."""
    from composer.images.reference import parse

    for service in services.values():
        for holder, key in _places(service, services):
            if digest := images.get(parse(holder[key]).familiar):
                holder[key] = f"{holder[key]}@{digest}"


def names_to_lock(services: Mapping[str, Any]) -> dict[str, str]:
    """Familiar names of images that are pulled for canonical *services*, and the path of one that says so."""
    from composer.images.reference import parse

    found: dict[str, str] = {}
    for name, service in services.items():
        for holder, key in _places(service, services):
            path = f"services.{name}.image" if key == "image" else f"services.{name}.volumes"
            found.setdefault(parse(holder[key]).familiar, path)
    return found


def _places(service: dict[str, Any], services: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Where a service names an image that is pulled and has no digest yet."""
    if isinstance(service.get("image"), str) and not service.get("build") and "@" not in service["image"]:
        yield service, "image"
    for mount in service.get("volumes") or ():
        if isinstance(mount, dict) and mount.get("type") == "image":
            source = mount.get("source")
            if isinstance(source, str) and source and source not in services and "@" not in source:
                yield mount, "source"
