"""`image load`: docker-archive, OCI archive and OCI layout, whatever compression, also from a pipe."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, BinaryIO

from composer.errors import ImageError
from composer.events import Event, Report, discard
from composer.images import reference
from composer.images.archivefile import ArchiveFile, open_archive, read_document
from composer.images.compression import detect
from composer.images.config import ImageConfig
from composer.images.intake import known_layer, take_layer
from composer.images.layers import chain_id
from composer.images.manifests import Descriptor, Index, Manifest, parse_manifest
from composer.images.platforms import Platform, wanted_platform
from composer.images.store import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from composer.images.store import Image, Store

_NAME_KEYS = ("io.containerd.image.name", "org.opencontainers.image.ref.name")
_INDEX_DEPTH = 4


def load(
    store: Store, source: Path | BinaryIO, *, platform: str = "", report: Report = discard
) -> list[Image]:
    """Load every image of an archive.

    Args:
        store: Where they go.
        source: A tar file, an OCI layout directory, or a stream.
        platform: Which of a multi-platform image; default this machine's.
        report: Told about each layer.

    Raises:
        ImageError: The archive is broken, hostile or of no known kind.
    """
    with store.scratch() as scratch, open_archive(source, scratch) as archive, store.using():
        if archive.has("index.json"):
            return _load_layout(store, archive, wanted_platform(platform), report, lambda _: True)
        if archive.has("manifest.json"):
            return _load_docker(store, archive, report)
    raise ImageError(
        "this is no image archive: it has neither index.json nor manifest.json",
        hint="a root file system is imported with: composer image import",
    )


def load_from_layout(store: Store, directory: Path, wanted: str = "", *, platform: str = "") -> Image:
    """One image of an OCI layout, which gets no name here.

    Args:
        store: Where it goes.
        directory: The layout.
        wanted: Digest of its manifest, or the tag that the index gives it; empty when there is only one.
        platform: Which of a multi-platform image; default this machine's.

    Raises:
        ImageError: There is no such image, or the layout is broken.
    """

    def chosen(entry: Descriptor) -> bool:
        name = entry.annotations.get("org.opencontainers.image.ref.name", "")
        return not wanted or wanted in (entry.digest, name, name.rpartition(":")[2])

    with store.scratch() as scratch, open_archive(directory, scratch) as archive, store.using():
        if not archive.has("index.json"):
            raise ImageError(f"{directory} is no OCI layout: it has no index.json")
        platforms = wanted_platform(platform)
        images = _load_layout(store, archive, platforms, discard, chosen, named=False)
    if len(images) != 1:
        what = f"no image {wanted}" if not images else f"{len(images)} images"
        raise ImageError(f"{directory} has {what}", hint="name one by its tag or digest")
    return images[0]


def _load_layout(
    store: Store,
    archive: ArchiveFile,
    wanted: Platform,
    report: Report,
    chosen: Callable[[Descriptor], bool],
    *,
    named: bool = True,
) -> list[Image]:
    names_by_config = _docker_names(archive)
    index = parse_manifest(read_document(archive, "index.json"))
    if not isinstance(index, Index):
        raise ImageError("index.json is no index")
    images: dict[str, Image] = {}
    for entry in index.manifests:
        if (entry.platform is not None and entry.platform.os == "unknown") or not chosen(entry):
            continue
        found = _manifest(archive, entry, wanted, 0)
        if found is None:
            continue
        data, manifest = found
        config = _blob(archive, manifest.config.digest)
        names = _names(entry) or names_by_config.get(manifest.config.digest, []) if named else []
        parsed = ImageConfig.from_bytes(config)
        _check_count(parsed, len(manifest.layers))
        chain = ""
        original = True
        for layer, diff_id in zip(manifest.layers, parsed.diff_ids, strict=True):
            chain, kept = _load_layer(store, archive, _blob_path(layer.digest), layer, diff_id, chain, report)
            original = original and kept
        image = store.put_image(config, names=names, manifest=data if original else b"")
        for name in names:
            if original:
                store.add_digest(image.id, reference.parse(name).repository, digest_of(data))
        images[image.id] = store.image(image.id)
    return list(images.values())


def _manifest(
    archive: ArchiveFile, entry: Descriptor, wanted: Platform, depth: int
) -> tuple[bytes, Manifest] | None:
    """The manifest that *entry* leads to; None when its index has nothing for this platform."""
    if depth > _INDEX_DEPTH:
        raise ImageError("indexes within indexes, too deep")
    data = _blob(archive, entry.digest)
    document = parse_manifest(data, entry.media_type)
    if isinstance(document, Index):
        return _manifest(archive, document.select(wanted), wanted, depth + 1)
    return data, document


def _load_docker(store: Store, archive: ArchiveFile, report: Report) -> list[Image]:
    images: dict[str, Image] = {}
    for entry in _docker_entries(archive):
        config = read_document(archive, str(entry.get("Config") or ""))
        parsed = ImageConfig.from_bytes(config)
        layers = entry.get("Layers") or []
        _check_count(parsed, len(layers))
        chain = ""
        for path, diff_id in zip(layers, parsed.diff_ids, strict=True):
            if not archive.has(str(path)):
                raise ImageError(f"the archive has no layer {str(path)[:100]}")
            blob = Descriptor("", diff_id, archive.size(str(path)))
            chain, _ = _load_layer(store, archive, str(path), blob, diff_id, chain, report)
        names = [str(name) for name in entry.get("RepoTags") or []]
        image = store.put_image(config, names=names)
        images[image.id] = image
    return [store.image(image_id) for image_id in images]


def _load_layer(
    store: Store,
    archive: ArchiveFile,
    path: str,
    blob: Descriptor,
    diff_id: str,
    parent: str,
    report: Report,
) -> tuple[str, bool]:
    """Take in one layer; returns its chain ID, and whether a blob with the digest of *blob* is kept."""
    chain = chain_id(parent, diff_id)
    if known_layer(store, parent, diff_id) is not None:
        return chain, store.blobs.has(blob.digest) if blob.digest != diff_id else False
    short = diff_id.partition(":")[2][:12]
    report(Event("layer", short, "Loading layer", "working", total=blob.size))
    with store.working_on(chain):
        if known_layer(store, parent, diff_id) is None:
            first = next(archive.chunks(path), b"")
            if detect(first) and blob.digest != diff_id:
                take_layer(store, archive.chunks(path), blob, diff_id, lambda: parent)
            else:
                store.add_layer_from_tar(archive.chunks(path), parent, diff_id=diff_id)
    report(Event("layer", short, "Loaded layer", "done", current=blob.size, total=blob.size))
    return chain, store.blobs.has(blob.digest) if blob.digest != diff_id else False


def _blob(archive: ArchiveFile, digest: str) -> bytes:
    data = read_document(archive, _blob_path(digest))
    if digest.startswith("sha256:") and digest_of(data) != digest:
        raise ImageError(f"{digest[:19]} in the archive has another digest: {digest_of(data)[:19]}")
    return data


def _blob_path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)


def _docker_entries(archive: ArchiveFile) -> list[dict[str, Any]]:
    try:
        document = json.loads(read_document(archive, "manifest.json"))
    except (ValueError, RecursionError) as error:
        raise ImageError(f"manifest.json is not JSON: {error}") from error
    if not isinstance(document, list) or not all(isinstance(entry, dict) for entry in document):
        raise ImageError("manifest.json is not a list of images")
    return document


def _docker_names(archive: ArchiveFile) -> dict[str, list[str]]:
    """Config digest -> names, from the manifest.json that stands beside an OCI layout."""
    if not archive.has("manifest.json"):
        return {}
    result: dict[str, list[str]] = {}
    for entry in _docker_entries(archive):
        config = str(entry.get("Config") or "")
        digest = "sha256:" + config.rpartition("/")[2].removesuffix(".json")
        result[digest] = [str(name) for name in entry.get("RepoTags") or []]
    return result


def _names(entry: Descriptor) -> list[str]:
    """The name that an index gives an entry; a bare tag is none."""
    for key in _NAME_KEYS:
        name = entry.annotations.get(key, "")
        if name and ("/" in name or ":" in name or key == _NAME_KEYS[0]):
            return [name]
    return []


def _check_count(config: ImageConfig, layers: int) -> None:
    if len(config.diff_ids) != layers:
        raise ImageError(f"the image has {layers} layers, its configuration names {len(config.diff_ids)}")
