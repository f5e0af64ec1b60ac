"""Unpacked layers on disk: one directory per chain ID, made whole in `tmp` and renamed into place.

    layers/<24 hex of the chain ID>/diff        overlay lower directory (whiteouts in overlayfs form)
                                    layer.json  what it is; written before the rename, so its presence
                                                means that the layer is complete
                                    tar.split   how to write the very tar again that it came from, if needed
                                    lost/       contents that a later entry of the same tar replaced

A layer never changes once it is there. The chain ID of the lowest layer is its diff ID, of others
sha256(parent chain ID + " " + diff ID), see image-spec `config.md`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from composer.errors import ImageError
from composer.frozen import frozen
from composer.images.temporary import grave, remove_tree
from composer.state.files import read_json, write_json

if TYPE_CHECKING:
    from pathlib import Path

Origin: TypeAlias = Literal["blob", "split", "tree"]
"""How a layer's tar is had again: a kept blob, a recorded tar.split, or by writing the tree in our order."""

_NAME_DIGITS = 24


@frozen
class Layer:
    """One unpacked layer.

    Attributes:
        diff_id: Digest of its uncompressed tar.
        chain_id: Digest of it and everything below.
        parent: Chain ID of the layer below, or empty.
        path: Its directory; `diff` is the overlay lower directory below it.
        size: Bytes of the regular files in it.
        entries: Number of tar entries it was made of.
        origin: How its tar can be written again.
        tar_size: Bytes of its uncompressed tar.
    """

    diff_id: str
    chain_id: str
    parent: str
    path: Path
    size: int = 0
    entries: int = 0
    origin: Origin = "tree"
    tar_size: int = 0

    @property
    def diff(self) -> Path:
        """The overlay lower directory."""
        return self.path / "diff"


def chain_id(parent: str, diff_id: str) -> str:
    """The chain ID of *diff_id* on top of the chain *parent* (empty for the lowest layer)."""
    if not parent:
        return diff_id
    return "sha256:" + hashlib.sha256(f"{parent} {diff_id}".encode()).hexdigest()


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """The chain ID of every layer, lowest first."""
    result: list[str] = []
    for diff_id in diff_ids:
        result.append(chain_id(result[-1] if result else "", diff_id))
    return tuple(result)


class LayerDirectory:
    """All layers of one store.

    Args:
        layers: Where finished layers are.
        temporary: Where unfinished work is; same file system.
    """

    def __init__(self, layers: Path, temporary: Path) -> None:
        self.layers = layers
        self.temporary = temporary

    def path(self, chain: str) -> Path:
        """The directory of a layer, whether it is there or not."""
        return self.layers / chain.partition(":")[2][:_NAME_DIGITS]

    def get(self, chain: str) -> Layer | None:
        """The layer, or None when it is not (completely) there."""
        return self._read(self.path(chain), chain)

    def all(self) -> list[Layer]:
        """Every complete layer, in no order."""
        try:
            names = sorted(os.listdir(self.layers))
        except FileNotFoundError:
            return []
        found = (self._read(self.layers / name) for name in names)
        return [layer for layer in found if layer is not None]

    def ancestry(self, chain: str) -> list[Layer]:
        """The layers below and including *chain*, lowest first; empty for an empty chain.

        Raises:
            ImageError: One of them is not there.
        """
        result: list[Layer] = []
        while chain:
            layer = self.get(chain)
            if layer is None:
                raise ImageError(
                    f"layer {chain[:19]} is not in the store", hint="pull or build the image again"
                )
            result.append(layer)
            chain = layer.parent
        return result[::-1]

    def commit(self, work: Path, layer: Layer, *, lost: dict[str, list[int]] | None = None) -> Layer:
        """Make the layer that was prepared in *work* (with `diff`, perhaps `tar.split` and `lost`) visible.

        Somebody else may have been first; then *work* is left for its owner to remove.
        """
        document = {
            "diff_id": layer.diff_id,
            "chain_id": layer.chain_id,
            "parent": layer.parent,
            "size": layer.size,
            "entries": layer.entries,
            "origin": layer.origin,
            "tar_size": layer.tar_size,
        }
        if lost:
            document["lost"] = lost
        write_json(work / "layer.json", document)
        self.layers.mkdir(parents=True, exist_ok=True, mode=0o700)
        final = self.path(layer.chain_id)
        try:
            os.rename(work, final)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise ImageError(f"cannot store layer {layer.diff_id[:19]}: {error.strerror}") from error
            there = self.get(layer.chain_id)
            if there is None:
                raise ImageError(
                    f"{final} is damaged: it holds no layer {layer.chain_id[:19]}",
                    hint="remove that directory",
                ) from error
            return there
        return replace(layer, path=final)

    def remove(self, chain: str) -> None:
        """Remove a layer: out of sight first, so that a killed removal leaves no half layer behind."""
        target = grave(self.temporary)
        try:
            os.rename(self.path(chain), target)
        except FileNotFoundError:
            return
        remove_tree(target)

    def _read(self, path: Path, chain: str = "") -> Layer | None:
        try:
            with open(path / "layer.json", "rb") as file:
                data = json.loads(file.read())
            if chain and data["chain_id"] != chain:
                return None
            return Layer(
                data["diff_id"],
                data["chain_id"],
                data["parent"],
                path,
                data["size"],
                data["entries"],
                data["origin"],
                data["tar_size"],
            )
        except (OSError, ValueError, KeyError):
            return None


def lost_contents(layer: Layer) -> dict[str, list[int]]:
    """For each path (hex) of the layer's tar that occurred repeatedly: numbers of its earlier contents."""
    found = read_json(layer.path / "layer.json")
    return dict(found.get("lost", {})) if found else {}
