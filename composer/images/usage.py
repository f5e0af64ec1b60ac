"""Who needs what: the images and layers that containers use, and what images and the build cache refer to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from composer.errors import ComposerError
from composer.state.files import read_json

if TYPE_CHECKING:
    from composer.images.store import Store
    from composer.state.paths import Paths

_ACTIVE = ("running", "paused", "restarting", "stopping")


class ContainerUse(NamedTuple):
    """A container as far as the image store cares.

    Attributes:
        id: The container.
        name: Its name.
        image_id: The image it was made from.
        layers: Layer directories it mounts.
        active: It runs, is paused or is being restarted.
    """

    id: str
    name: str
    image_id: str
    layers: tuple[str, ...]
    active: bool


def containers(paths: Paths) -> list[ContainerUse]:
    """Every container on disk. One whose configuration cannot be read keeps nothing alive."""
    result = []
    root = paths.root / "containers"
    try:
        names = sorted(os.listdir(root))
    except FileNotFoundError:
        return []
    for name in names:
        try:
            config = read_json(root / name / "config.json")
            state = read_json(paths.container_run(name) / "state.json")
        except ComposerError:
            continue
        if not isinstance(config, dict):
            continue
        layers = [*config.get("layers", ())]
        for mount in config.get("mounts", ()):
            layers += mount.get("layers", ())
        status = state.get("status", "") if isinstance(state, dict) else ""
        result.append(
            ContainerUse(
                name, config.get("name", name), config.get("image_id", ""), tuple(layers), status in _ACTIVE
            )
        )
    return result


def needed_chains(store: Store) -> set[str]:
    """Chain IDs of all layers that an image, a protection or a container needs."""
    connection = store.database.connection()
    tops = [row[0] for row in connection.execute("SELECT top FROM images WHERE top != ''")]
    tops += [row[0] for row in connection.execute("SELECT DISTINCT chain FROM protected_layers")]
    every = {layer.chain_id: layer for layer in store.directory.all()}
    by_path = {str(layer.diff): layer.chain_id for layer in every.values()}
    for use in containers(store.paths):
        tops += [by_path[path] for path in use.layers if path in by_path]
    needed: set[str] = set()
    for top in tops:
        chain = top
        while chain and chain not in needed:
            needed.add(chain)
            chain = every[chain].parent if chain in every else ""
    return needed


def needed_blobs(store: Store, chains: set[str]) -> set[str]:
    """Digests of all blobs that an image, or a layer of *chains*, needs."""
    connection = store.database.connection()
    result: set[str] = set()
    for image_id, manifest in connection.execute("SELECT id, manifest FROM images"):
        result.add(image_id)
        if manifest:
            result.add(manifest)
    diff_ids = {layer.diff_id for layer in store.directory.all() if layer.chain_id in chains}
    for diff_id, digest in connection.execute("SELECT diff_id, digest FROM layer_blobs"):
        if diff_id in diff_ids:
            result.add(digest)
    return result
