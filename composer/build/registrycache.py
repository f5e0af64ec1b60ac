"""Build cache at a registry: one manifest whose configuration holds the records, with the layers as blobs."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any, Self

from composer.errors import BuildError, NotFoundError
from composer.images.apply import file_chunks
from composer.images.compression import compressor
from composer.images.reference import parse
from composer.registry.client import Registry
from composer.registry.http import Body

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from types import TracebackType

    from composer.images.layers import Layer
    from composer.images.store import Store

CONFIG_TYPE = "application/vnd.composer.buildcache.v1+json"
_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_DIFF_ID = "dev.composer.diff-id"


def push_cache(name: str, store: Store, content: bytes, layers: Iterable[Layer]) -> None:
    """Upload records and layers. Blocks.

    Raises:
        RegistryError: The registry refuses it.
    """
    target = parse(name)
    registry = Registry(target.domain, pushing=True)
    try:
        described = [_push_layer(registry, target.path, store, layer) for layer in layers]
        config = _descriptor(CONFIG_TYPE, content)
        if not registry.has_blob(target.path, config["digest"]):
            registry.upload(target.path, config["digest"], Body.of(content))
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST_TYPE,
            "config": config,
            "layers": described,
        }
        data = json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()
        registry.put_manifest(target.path, target.tag or "latest", data, _MANIFEST_TYPE)
    finally:
        registry.close()


def _push_layer(registry: Registry, repository: str, store: Store, layer: Layer) -> dict[str, Any]:
    """Compress one layer to a file, and send that unless it is there."""
    with store.scratch() as scratch:
        path = scratch / "layer"
        digest, size = _compress(store, layer, path)
        if not registry.has_blob(repository, digest):
            registry.upload(repository, digest, Body(lambda: file_chunks(path), size))
    return {
        "mediaType": _LAYER_TYPE,
        "digest": digest,
        "size": size,
        "annotations": {_DIFF_ID: layer.diff_id},
    }


def _compress(store: Store, layer: Layer, path: Path) -> tuple[str, int]:
    encoder = compressor("gzip")
    total = hashlib.sha256()
    size = 0
    with open(path, "wb") as file:

        def write(data: bytes) -> None:
            nonlocal size
            total.update(data)
            size += len(data)
            file.write(data)

        for chunk in store.layer_tar(layer):
            write(encoder.compress(chunk))
        write(encoder.flush())
    return f"sha256:{total.hexdigest()}", size


def _descriptor(media_type: str, data: bytes) -> dict[str, Any]:
    return {
        "mediaType": media_type,
        "digest": "sha256:" + hashlib.sha256(data).hexdigest(),
        "size": len(data),
    }


class RegistryCache:
    """A cache at a registry, for reading.

    Args:
        name: Its name.
    """

    def __init__(self, name: str) -> None:
        self._name = parse(name)
        self._registry = Registry(self._name.domain)
        self._blobs: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._registry.close()

    def records(self) -> bytes:
        """The records.

        Raises:
            NotFoundError: There is nothing of that name, or it is an image and no cache.
            BuildError: It is damaged.
        """
        reference = self._name.digest or self._name.tag or "latest"
        found = self._registry.manifest(self._name.path, reference, [_MANIFEST_TYPE])
        try:
            manifest = json.loads(found.data)
            config = manifest["config"]
            if config["mediaType"] != CONFIG_TYPE:
                raise NotFoundError(f"{self._name.familiar} is no build cache of ours")
            for layer in manifest["layers"]:
                self._blobs[layer["annotations"][_DIFF_ID]] = layer["digest"]
        except (ValueError, KeyError, TypeError) as error:
            raise BuildError(f"the cache {self._name.familiar} is damaged: {error}") from error
        response, _ = self._registry.blob(self._name.path, config["digest"])
        data = response.read()
        if "sha256:" + hashlib.sha256(data).hexdigest() != config["digest"]:
            raise BuildError(f"the cache {self._name.familiar} is damaged: its records have another digest")
        return data

    def layer(self, diff_id: str) -> Iterator[bytes]:
        """A layer's compressed tar; the store verifies it by its diff ID."""
        digest = self._blobs.get(diff_id)
        if digest is None:
            raise BuildError(f"the cache {self._name.familiar} lacks layer {diff_id[:19]}")
        response, _ = self._registry.blob(self._name.path, digest)
        yield from response.chunks()
