"""`image save`: an OCI layout with Docker's manifest.json in one tar, which every loader takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.events import Event, Report, discard
from composer.images import reference
from composer.images import tarformat as tar
from composer.images.apply import file_chunks
from composer.images.manifests import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    canonical,
    parse_manifest,
)
from composer.images.store import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from composer.images.layers import Layer
    from composer.images.store import Image, Store

_END = bytes(2 * tar.BLOCK)


def save(
    store: Store, names: Sequence[str], write: Callable[[bytes], object], *, report: Report = discard
) -> None:
    """Write the images that *names* mean as one archive.

    Args:
        store: Where they are.
        names: Names or ids; a name is written into the archive, an id is not.
        write: Takes the bytes.
        report: Told about each layer.

    Raises:
        NotFoundError: There is no such image.
    """
    with store.using():
        writer = _Archive(store, write, report)
        wanted: dict[str, tuple[Image, list[str]]] = {}
        for name in names:
            image = store.get(name)
            entry = wanted.setdefault(image.id, (image, []))
            tag = _tag(image, name)
            if tag and tag not in entry[1]:
                entry[1].append(tag)
        for image, tags in wanted.values():
            writer.add(image, tags)
        writer.finish()


def _tag(image: Image, name: str) -> str:
    """The tagged name by which the image was asked for; empty for an id or a digest."""
    bare = name.removeprefix("sha256:")
    if bare != name or image.id.removeprefix("sha256:").startswith(bare):
        return ""
    parsed = reference.parse(name)
    return "" if parsed.digest else parsed.canonical


class _Archive:
    def __init__(self, store: Store, write: Callable[[bytes], object], report: Report) -> None:
        self._store = store
        self._write = write
        self._report = report
        self._written: set[str] = set()
        self._docker: list[dict[str, object]] = []
        self._index: list[dict[str, object]] = []
        for directory in (b"blobs/", b"blobs/sha256/"):
            write(tar.header(directory, tar.DIRECTORY, mode=0o755))

    def add(self, image: Image, tags: list[str]) -> None:
        config = self._store.blobs.read(image.id)
        data, manifest = self._manifest(image, len(config))
        for layer, blob in zip(image.layers, manifest.layers, strict=True):
            self._layer(layer, blob)
        self._document(config, image.id)
        self._document(data, digest_of(data))
        self._docker.append(
            {
                "Config": _path(image.id),
                "RepoTags": [reference.parse(tag).familiar for tag in tags] or None,
                "Layers": [_path(blob.digest) for blob in manifest.layers],
            }
        )
        for tag in tags or [""]:
            annotations = {}
            if tag:
                parsed = reference.parse(tag)
                annotations = {
                    "io.containerd.image.name": parsed.canonical,
                    "org.opencontainers.image.ref.name": parsed.tag or "latest",
                }
            entry = Descriptor(manifest.media_type, digest_of(data), len(data), None, annotations)
            self._index.append(entry.to_json())

    def finish(self) -> None:
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": self._index}
        self._file(b"index.json", canonical(index))
        self._file(b"manifest.json", canonical(self._docker))
        self._file(b"oci-layout", b'{"imageLayoutVersion":"1.0.0"}')
        self._write(_END)

    def _manifest(self, image: Image, config_size: int) -> tuple[bytes, Manifest]:
        """The manifest the image came with, if all its blobs are kept; else one of uncompressed layers."""
        if image.manifest and self._store.blobs.has(image.manifest):
            data = self._store.blobs.read(image.manifest)
            known = parse_manifest(data)
            if isinstance(known, Manifest) and all(
                self._store.blobs.has(blob.digest) for blob in known.layers
            ):
                return data, known
        layers = tuple(Descriptor(OCI_LAYER, layer.diff_id, layer.tar_size) for layer in image.layers)
        made = Manifest(OCI_MANIFEST, Descriptor(OCI_CONFIG, image.id, config_size), layers)
        return made.to_bytes(), made

    def _layer(self, layer: Layer, blob: Descriptor) -> None:
        if blob.digest in self._written:
            return
        self._written.add(blob.digest)
        short = layer.diff_id.partition(":")[2][:12]
        self._report(Event("layer", short, "Saving", "working", total=blob.size))
        self._write(tar.header(_path(blob.digest).encode(), tar.REGULAR, mode=0o644, size=blob.size))
        chunks: Iterator[bytes]
        if blob.digest == layer.diff_id:
            chunks = self._store.layer_tar(layer)
        else:
            chunks = file_chunks(self._store.blobs.path(blob.digest))
        for chunk in chunks:
            self._write(chunk)
        self._write(bytes(-blob.size % tar.BLOCK))
        self._report(Event("layer", short, "Saved", "done", current=blob.size, total=blob.size))

    def _document(self, data: bytes, digest: str) -> None:
        if digest not in self._written:
            self._written.add(digest)
            self._file(_path(digest).encode(), data)

    def _file(self, name: bytes, data: bytes) -> None:
        self._write(tar.header(name, tar.REGULAR, mode=0o644, size=len(data)))
        self._write(data + bytes(-len(data) % tar.BLOCK))


def _path(digest: str) -> str:
    return "blobs/" + digest.replace(":", "/", 1)
