"""Cache import and export: records with the archives of their layers, in a directory or at a registry.

    type=local,dest=DIR / src=DIR       records.json, and layers/<diff id hex>: plain tars
    type=registry,ref=NAME (or NAME)    an artifact: its configuration is records.json, its layers gzip tars

Only our own records are understood: foreign ones need their makers' key recipes, and are refused by name.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composer.build.options import split_fields
from composer.errors import BuildError, ComposerError, NotFoundError, RegistryError, UnsupportedError
from composer.images.layers import chain_id
from composer.state.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from composer.build.progress import Progress
    from composer.build.records import Records
    from composer.images.layers import Layer
    from composer.images.store import Store

FORMAT = 1
_IGNORED = ("inline", "gha", "s3", "azblob")


def export_cache(text: str, store: Store, records: Records, used: Iterable[str], progress: Progress) -> None:
    """Write the records that a build used, and the layers below them. Blocks.

    Raises:
        BuildError: It cannot be written.
        RegistryError: The registry refuses it.
    """
    kind, place = _place(text, "dest")
    if kind in _IGNORED:
        progress.warning(f"cache {text!r}: type={kind} is not supported, and is ignored")
        return
    step = progress.step(f"exporting cache to {place}").start()
    documents, layers = collect(store, records, used)
    content = json.dumps({"version": FORMAT, "records": documents}, indent=1).encode()
    if kind == "registry":
        from composer.build.registrycache import push_cache

        push_cache(place, store, content, layers.values())
    else:
        _write_directory(place, store, content, layers.values())
    step.done()


def import_cache(text: str, store: Store, records: Records, progress: Progress) -> None:
    """Read records and layers that `export_cache` wrote; what is not there yet holds nothing. Blocks.

    Raises:
        BuildError: What is there is damaged.
    """
    kind, place = _place(text, "src")
    if kind in _IGNORED:
        progress.warning(f"cache {text!r}: type={kind} is not supported, and is ignored")
        return
    try:
        if kind == "registry":
            from composer.build.registrycache import RegistryCache

            with RegistryCache(place) as cache:
                _restore(store, records, cache.records(), cache.layer, progress, place)
        else:
            directory = Path(place)
            content = (directory / "records.json").read_bytes()
            _restore(store, records, content, _opener(directory / "layers"), progress, place)
    except (FileNotFoundError, NotFoundError):
        progress.warning(f"there is no cache at {place} yet")
    except RegistryError as error:
        # A cache saves time; that it cannot be had is no reason to fail.
        progress.warning(f"cannot import the cache at {place}: {error.message}")
    except OSError as error:
        raise BuildError(f"cannot read the cache at {place}: {error.strerror}") from error


def collect(
    store: Store, records: Records, used: Iterable[str]
) -> tuple[list[dict[str, Any]], dict[str, Layer]]:
    """The records of *used* keys as JSON, and every layer they need by diff ID."""
    documents: list[dict[str, Any]] = []
    layers: dict[str, Layer] = {}
    for key in dict.fromkeys(used):
        found = records.find(key)
        if found is None:
            continue
        layer, record = found
        ancestry = store.directory.ancestry(layer.chain_id)
        layers |= {below.diff_id: below for below in ancestry}
        documents.append(
            {
                "key": key,
                "diff_ids": [below.diff_id for below in ancestry],
                "created": record.created,
                "description": record.description,
            }
        )
    return documents, layers


def _place(text: str, key: str) -> tuple[str, str]:
    fields = dict(split_fields(text))
    kind = fields.get("type") or "registry"
    if kind in _IGNORED:
        return kind, ""
    if kind == "local":
        place = fields.get(key) or ""
        place = os.path.abspath(place) if place else ""
    elif kind == "registry":
        place = fields.get("ref") or ("" if "=" in text else text)
    else:
        raise UnsupportedError(
            f"cache {text!r}: type={kind} is not supported", hint=f"use type=local,{key}=DIR, or a name"
        )
    if not place:
        raise BuildError(f"cache {text!r} does not say where", hint=f"write type=local,{key}=DIR, or a name")
    return kind, place


def _write_directory(place: str, store: Store, content: bytes, layers: Iterable[Layer]) -> None:
    try:
        directory = Path(place, "layers")
        directory.mkdir(parents=True, exist_ok=True)
        for layer in layers:
            path = directory / layer.diff_id.partition(":")[2]
            if path.exists():
                continue
            making = path.with_name(f".{path.name}.{os.getpid()}")
            with open(making, "wb") as file:
                file.writelines(store.layer_tar(layer))
            making.rename(path)
        write_atomic(Path(place, "records.json"), content)
    except OSError as error:
        raise BuildError(f"cannot write the cache to {place}: {error.strerror}") from error


def _opener(directory: Path) -> Callable[[str], Iterable[bytes]]:
    from composer.images.apply import file_chunks

    return lambda diff_id: file_chunks(directory / diff_id.partition(":")[2])


def _restore(
    store: Store,
    records: Records,
    content: bytes,
    layer_of: Callable[[str], Iterable[bytes]],
    progress: Progress,
    place: str,
) -> None:
    try:
        document = json.loads(content)
        if document["version"] != FORMAT:
            raise BuildError(f"the cache at {place} has version {document['version']}, not {FORMAT}")
        step = progress.step(f"importing cache from {place}").start()
        for entry in document["records"]:
            if records.find(entry["key"]) is None:
                layer = _read_layers(store, entry["diff_ids"], layer_of)
                records.put(str(entry["key"]), layer, str(entry["created"]), str(entry["description"]))
        step.done()
    except (ValueError, KeyError, TypeError) as error:
        raise BuildError(f"the cache at {place} is damaged: {error}") from error


def _read_layers(store: Store, diff_ids: list[str], layer_of: Callable[[str], Iterable[bytes]]) -> Layer:
    parent = ""
    layer: Layer | None = None
    for diff_id in diff_ids:
        if not diff_id.partition(":")[2].isalnum():
            raise BuildError(f"the cache names a layer {diff_id!r}")
        chain = chain_id(parent, diff_id)
        layer = store.layer(chain)
        if layer is None:
            try:
                layer = store.add_layer_from_tar(layer_of(diff_id), parent, diff_id=diff_id)
            except ComposerError as error:
                raise BuildError(f"the cache's layer {diff_id[:19]} is damaged: {error.message}") from error
        parent = chain
    if layer is None:
        raise BuildError("the cache has a record without layers")
    return layer
