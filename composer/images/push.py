"""Pushes an image: blobs that the registry lacks, in parallel, then the configuration, then the manifest.

An image that was pulled and not changed is sent under the manifest it came with. Other layers are
compressed now; nothing compressed is kept.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, NamedTuple

from composer.errors import ImageError, RegistryError
from composer.events import Event, Report, discard
from composer.images import reference
from composer.images.apply import file_chunks
from composer.images.compression import compressor
from composer.images.manifests import (
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    Manifest,
    parse_manifest,
)
from composer.images.pipe import Pipe
from composer.images.store import digest_of
from composer.registry.client import Registry
from composer.registry.http import Body
from composer.registry.transport import Abort

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from composer.images.compression import Compressor
    from composer.images.layers import Layer
    from composer.images.store import Image, Store
    from composer.registry.credentials import Keychain
    from composer.registry.settings import Settings

PARALLEL = 4
_STEP = 1 << 23


class Pushed(NamedTuple):
    """What a push did: the digest the tag has now, and the manifest's size in bytes."""

    digest: str
    size: int


def push(
    store: Store,
    name: str,
    *,
    compression: Literal["gzip", "zstd"] = "gzip",
    settings: Settings | None = None,
    keychain: Keychain | None = None,
    report: Report = discard,
    abort: Abort | None = None,
    parallel: int = PARALLEL,
) -> Pushed:
    """Send the image that *name* means here to where its name says. Blocks; threads of its own.

    Args:
        store: Where it is.
        name: Its name; `latest` if it has no tag.
        compression: For layers that were made here.
        settings: How registries are reached.
        keychain: Credentials.
        report: Progress, from several threads.
        abort: Ends it from another thread.
        parallel: Layers at once.

    Raises:
        NotFoundError: There is no such image here.
        RegistryError: The registry refuses, or cannot be reached.
    """
    parsed = reference.parse(name)
    if parsed.digest:
        raise ImageError(f"cannot push {name!r}: a digest names content, not a place", hint="push by tag")
    image = store.get(name)
    ending = abort or Abort()
    registry = Registry(
        parsed.domain,
        settings=settings,
        keychain=keychain,
        pushing=True,
        abort=ending,
        notice=lambda text: report(Event("warning", parsed.familiar, text=text)),
    )
    report(Event("image", parsed.familiar, "Pushing", "working"))
    try:
        with store.using():
            done = _Push(store, image, parsed, registry, compression, report, ending, parallel).run()
    except BaseException as error:
        report(Event("image", parsed.familiar, "Error", "error", text=str(error)))
        raise
    finally:
        registry.close()
    store.add_digest(image.id, parsed.repository, done.digest)
    report(Event("image", parsed.familiar, "Pushed", "done", id=done.digest))
    return done


class _MissingError(RegistryError):
    """The registry lacks a blob of the original manifest, and it is not kept here."""


class _Push:
    def __init__(
        self,
        store: Store,
        image: Image,
        name: reference.Reference,
        registry: Registry,
        compression: Literal["gzip", "zstd"],
        report: Report,
        abort: Abort,
        parallel: int,
    ) -> None:
        self._store = store
        self._image = image
        self._name = name
        self._registry = registry
        self._compression = compression
        self._report = report
        self._abort = abort
        self._parallel = parallel

    def run(self) -> Pushed:
        registry, path = self._registry, self._name.path
        config = self._store.blobs.read(self._image.id)
        try:
            data, media_type = self._original()
        except _MissingError:
            blobs = self._all([(layer, None) for layer in self._image.layers])
            made = Manifest(OCI_MANIFEST, Descriptor(OCI_CONFIG, self._image.id, len(config)), tuple(blobs))
            data, media_type = made.to_bytes(), made.media_type
        if not registry.has_blob(path, self._image.id):
            registry.upload(path, self._image.id, Body.of(config))
        tag = self._name.tag or "latest"
        digest = registry.put_manifest(path, tag, data, media_type)
        if digest and digest != digest_of(data):
            raise RegistryError(
                f"{registry.domain} stored the manifest as {digest}, it was sent as {digest_of(data)}"
            )
        return Pushed(digest_of(data), len(data))

    def _original(self) -> tuple[bytes, str]:
        """Send the blobs of the manifest the image came with.

        Raises:
            _MissingError: It came with none, or a blob is neither here nor there.
        """
        image, blobs = self._image, self._store.blobs
        if not image.manifest or not blobs.has(image.manifest):
            raise _MissingError("no manifest")
        data = blobs.read(image.manifest)
        manifest = parse_manifest(data)
        if not isinstance(manifest, Manifest) or len(manifest.layers) != len(image.layers):
            raise _MissingError("no manifest")
        self._all(list(zip(image.layers, manifest.layers, strict=True)))
        return data, manifest.media_type

    def _all(self, wanted: list[tuple[Layer, Descriptor | None]]) -> list[Descriptor]:
        with ThreadPoolExecutor(self._parallel, thread_name_prefix="composer-push") as pool:
            futures = [pool.submit(self._layer, layer, blob) for layer, blob in wanted]
            try:
                return [future.result() for future in futures]
            except _MissingError:
                for future in futures:
                    future.cancel()
                raise
            except BaseException:
                self._abort.set()
                for future in futures:
                    future.cancel()
                raise

    def _layer(self, layer: Layer, wanted: Descriptor | None) -> Descriptor:
        """See that the registry has *layer*, in the form *wanted* or any; returns which."""
        short = layer.diff_id.partition(":")[2][:12]
        self._event(short, "Preparing", "working")
        rows = [
            row
            for row in self._store.blobs_of(layer.diff_id)
            if wanted is None or row["digest"] == wanted.digest
        ]
        for row in rows:
            found = self._there(row, short)
            if found is not None:
                return found
        for row in rows:
            if self._store.blobs.has(row["digest"]):
                path = self._store.blobs.path(row["digest"])
                blob = Descriptor(_layer_type(row["media_type"], path), row["digest"], row["size"])
                self._upload(blob, path, short)
                self._note(layer, blob)
                return wanted or blob
        if wanted is not None:
            raise _MissingError(f"{wanted.digest[:19]} is neither here nor there")
        return self._compressed(layer, short)

    def _there(self, row: sqlite3.Row, short: str) -> Descriptor | None:
        """The blob of *row*, if the registry has it or can take it over from another repository."""
        registry, path = self._registry, self._name.path
        kept = self._store.blobs.path(row["digest"]) if self._store.blobs.has(row["digest"]) else None
        media_type = row["media_type"]
        if kept is None and not media_type:
            return None
        blob = Descriptor(_layer_type(media_type, kept), row["digest"], row["size"])
        if registry.has_blob(path, blob.digest):
            self._event(short, "Layer already exists", "done", blob.size)
            return blob
        domain, _, source = row["repository"].partition("/")
        if domain == self._name.domain and source and source != path:
            address = registry.mount(path, blob.digest, source)
            if not address:
                self._event(short, f"Mounted from {source}", "done", blob.size)
                return blob
        return None

    def _compressed(self, layer: Layer, short: str) -> Descriptor:
        """Compress the layer to a file, then send that."""
        self._event(short, "Compressing", "working")
        with self._store.scratch() as scratch:
            path = scratch / "blob"
            digest, size = self._compress(layer, path)
            blob = Descriptor(f"{OCI_LAYER}+{self._compression}", digest, size)
            if self._registry.has_blob(self._name.path, digest):
                self._event(short, "Layer already exists", "done", size)
            else:
                self._upload(blob, path, short)
        self._note(layer, blob)
        return blob

    def _compress(self, layer: Layer, path: Path) -> tuple[str, int]:
        encoder = compressor(self._compression)
        digest = hashlib.sha256()
        size = 0
        chunks = self._store.layer_tar(layer)
        with open(path, "wb", buffering=0) as file, Pipe(chunks) as pipe:
            for data in _encoded(encoder, pipe):
                self._abort.check()
                digest.update(data)
                size += len(data)
                file.write(data)
        return "sha256:" + digest.hexdigest(), size

    def _upload(self, blob: Descriptor, path: Path, short: str) -> None:
        def chunks() -> Iterator[bytes]:
            sent = reported = 0
            for chunk in file_chunks(path):
                yield chunk
                sent += len(chunk)
                if sent - reported >= _STEP:
                    reported = sent
                    self._event(short, "Pushing", "working", sent, blob.size)

        self._event(short, "Pushing", "working", 0, blob.size)
        self._registry.upload(self._name.path, blob.digest, Body(chunks, blob.size))
        self._event(short, "Pushed", "done", blob.size, blob.size)

    def _note(self, layer: Layer, blob: Descriptor) -> None:
        repository = self._name.repository
        self._store.note_blob(layer.diff_id, blob.digest, blob.media_type, blob.size, repository)

    def _event(
        self, layer: str, action: str, status: Literal["working", "done"], current: int = 0, total: int = 0
    ) -> None:
        name = self._name.familiar
        self._report(
            Event("layer", layer, action, status, parent=name, current=current, total=total or current)
        )


def _layer_type(media_type: str, path: Path | None) -> str:
    """The OCI media type of a layer blob, told by its old type or its content."""
    if media_type.startswith(OCI_LAYER):
        return media_type
    kind = "zstd" if "zstd" in media_type else "gzip" if "gzip" in media_type else ""
    if not kind and path is not None:
        from composer.images.compression import detect

        with open(path, "rb") as file:
            kind = detect(file.read(6))
    return f"{OCI_LAYER}+{kind}" if kind else OCI_LAYER


def _encoded(encoder: Compressor, chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if data := encoder.compress(chunk):
            yield data
    yield encoder.flush()
