"""Cache import and export between stores: a directory with records and the archives of their layers.

    records.json            the records, each with its chain of diff IDs
    layers/<diff id hex>    the layer's tar, uncompressed

Foreign cache formats need their makers' key recipes and are refused by name. An image name in `cache_from`
is accepted and does nothing when the image is not here: its layers are found through records only.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composer.build.options import split_fields
from composer.errors import BuildError, ComposerError, UnsupportedError
from composer.images.apply import layer_chunks
from composer.images.layers import chain_id
from composer.state.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from composer.build.progress import Progress
    from composer.build.records import Records
    from composer.images.layers import Layer
    from composer.images.store import Store

_FORMAT = 1


def _directory(text: str, key: str) -> str:
    fields = dict(split_fields(text))
    kind = fields.get("type")
    if kind != "local":
        raise UnsupportedError(
            f"cache {text!r}: only type=local is supported", hint=f"write type=local,{key}=DIRECTORY"
        )
    path = fields.get(key) or ""
    if not path:
        raise BuildError(f"cache {text!r} lacks {key}=DIRECTORY")
    return os.path.abspath(path)


def export_cache(text: str, store: Store, records: Records, used: Iterable[str], progress: Progress) -> None:
    """Write the records that a build used, and the layers below them, into a directory. Blocks.

    Raises:
        BuildError: The directory cannot be written.
        UnsupportedError: It is to go somewhere else.
    """
    directory = _directory(text, "dest")
    step = progress.step(f"exporting cache to {directory}").start()
    documents: list[dict[str, Any]] = []
    try:
        os.makedirs(os.path.join(directory, "layers"), exist_ok=True)
        for key in dict.fromkeys(used):
            found = records.find(key)
            if found is None:
                continue
            layer, record = found
            ancestry = store.directory.ancestry(layer.chain_id)
            for below in ancestry:
                _write_layer(store, below, os.path.join(directory, "layers"))
            documents.append(
                {
                    "key": key,
                    "diff_ids": [below.diff_id for below in ancestry],
                    "created": record.created,
                    "description": record.description,
                }
            )
        content = {"version": _FORMAT, "records": documents}
        write_atomic(Path(directory, "records.json"), json.dumps(content, indent=1).encode())
    except OSError as error:
        raise BuildError(f"cannot write the cache to {directory}: {error.strerror}") from error
    step.done()


def import_cache(text: str, store: Store, records: Records, progress: Progress) -> None:
    """Read records and layers that `export_cache` wrote. Blocks.

    A directory that is not there yet holds nothing; so does an image name.

    Raises:
        BuildError: What is there is damaged.
        UnsupportedError: It is to come from somewhere else.
    """
    if "=" not in text:
        progress.warning(f"cache_from {text!r}: images carry no cache records here; it has no effect")
        return
    directory = _directory(text, "src")
    try:
        with open(os.path.join(directory, "records.json"), encoding="utf-8") as file:
            content = json.load(file)
        if content["version"] != _FORMAT:
            raise BuildError(f"the cache in {directory} has version {content['version']}")
        step = progress.step(f"importing cache from {directory}").start()
        for document in content["records"]:
            if records.find(document["key"]) is None:
                layer = _read_layers(store, document["diff_ids"], os.path.join(directory, "layers"))
                records.put(document["key"], layer, document["created"], document["description"])
        step.done()
    except FileNotFoundError:
        progress.warning(f"there is no cache in {directory} yet")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BuildError(f"the cache in {directory} is damaged: {error}") from error


def _write_layer(store: Store, layer: Layer, directory: str) -> None:
    path = Path(directory, layer.diff_id.partition(":")[2])
    if path.exists():
        return
    making = path.with_name(f".{path.name}.{os.getpid()}")
    with open(making, "wb") as file:
        file.writelines(layer_chunks(store.directory, layer, store.kept_blob))
    making.rename(path)


def _read_layers(store: Store, diff_ids: list[str], directory: str) -> Layer:
    parent = ""
    layer: Layer | None = None
    for diff_id in diff_ids:
        chain = chain_id(parent, diff_id)
        layer = store.layer(chain)
        if layer is None:
            name = diff_id.partition(":")[2]
            if not name.isalnum():
                raise BuildError(f"the cache names a layer {diff_id!r}")
            try:
                with open(os.path.join(directory, name), "rb") as file:
                    layer = store.add_layer_from_tar(file, parent, diff_id=diff_id)
            except ComposerError as error:
                raise BuildError(f"the cache's layer {diff_id[:19]} is damaged: {error.message}") from error
        parent = chain
    if layer is None:
        raise BuildError("the cache has a record without layers")
    return layer
