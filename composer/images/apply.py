"""Makes layers: from an archive in one pass (hash, inflate, hash, write), or from a directory by rename."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from composer.errors import ImageError
from composer.images.compression import CHUNK, decompressed
from composer.images.layers import Layer, LayerDirectory, chain_id
from composer.images.limits import Limits
from composer.images.pipe import Pipe
from composer.images.split import SplitWriter
from composer.images.stack import Stack
from composer.images.tarreader import TarReader
from composer.images.temporary import scratch
from composer.images.unpack import Unpacker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from composer.images.layers import Origin

_RATIO_FROM = 1 << 30


class _Hash(Protocol):
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class LayerWork:
    """A layer on its way: unpack it with `unpack`, and when its parent is there, `commit` it.

    Args:
        directory: The store's layers.
        work: A scratch directory of its own.
        keep_tar: Record tar.split.
        limits: Bounds against bombs.
    """

    def __init__(
        self, directory: LayerDirectory, work: Path, *, keep_tar: bool = True, limits: Limits | None = None
    ) -> None:
        self.diff_id = ""
        self.size = 0
        self._tar_size = 0
        self._directory = directory
        self._work = work
        self._keep_tar = keep_tar
        self._limits = limits or Limits.from_environment()
        self._unpacker: Unpacker | None = None

    def unpack(self, chunks: Iterable[bytes]) -> str:
        """Unpack the (perhaps compressed) archive; returns its diff ID.

        Raises:
            ImageError: It is damaged, hostile or too large.
        """
        diff = self._work / "diff"
        diff.mkdir(mode=0o755)
        digest = hashlib.sha256()
        with Pipe(self._counted(_hashed(_guarded(chunks, self._limits), digest))) as pipe:
            if self._keep_tar:
                with SplitWriter(self._work / "tar.split") as split:
                    reader = TarReader(pipe, record=True)
                    lost = self._work / "lost"
                    self._unpacker = Unpacker(diff, reader, self._limits, split, lost)
                    self._unpacker.run()
            else:
                self._unpacker = Unpacker(diff, TarReader(pipe), self._limits)
                self._unpacker.run()
        self.diff_id = "sha256:" + digest.hexdigest()
        self.size = self._unpacker.size
        return self.diff_id

    def commit(self, parent: str, *, origin: Origin = "split") -> Layer:
        """Complete the layer on top of the chain *parent*, which must be in the store, and make it visible.

        Raises:
            ImageError: It refers to something that no layer below has.
        """
        unpacker = self._unpacker
        if unpacker is None:
            raise ImageError("a layer was committed before it was unpacked")
        below = self._directory.ancestry(parent)
        unpacker.finish(Stack([layer.diff for layer in below]))
        layer = Layer(
            self.diff_id,
            chain_id(parent, self.diff_id),
            parent,
            self._work,
            unpacker.size,
            unpacker.entries,
            origin,
            self._tar_size,
        )
        return self._directory.commit(self._work, layer, lost=unpacker.lost)

    def _counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._tar_size += len(chunk)
            yield chunk

    def close(self) -> None:
        """Close descriptors."""
        if self._unpacker is not None:
            self._unpacker.close()


def layer_from_tar(
    directory: LayerDirectory,
    stream: BinaryIO | Iterable[bytes],
    parent: str = "",
    *,
    diff_id: str = "",
    keep_tar: bool = True,
    limits: Limits | None = None,
) -> Layer:
    """See `Store.add_layer_from_tar`."""
    if diff_id and (known := directory.get(chain_id(parent, diff_id))):
        return known
    with scratch(directory.temporary) as place:
        work = place / "layer"
        work.mkdir(mode=0o700)
        making = LayerWork(directory, work, keep_tar=keep_tar, limits=limits)
        try:
            found = making.unpack(read_chunks(stream))
            if diff_id and found != diff_id:
                raise ImageError(f"a layer's content has digest {found}, not {diff_id}")
            return making.commit(parent)
        finally:
            making.close()


def layer_from_directory(directory: LayerDirectory, upper: Path | str, parent: str = "") -> Layer:
    """See `Store.add_layer_from_directory`."""
    from composer.images.tree import TreeWriter

    below = Stack([layer.diff for layer in directory.ancestry(parent)])
    with scratch(directory.temporary) as place:
        work = place / "layer"
        work.mkdir(mode=0o700)
        diff = work / "diff"
        try:
            os.rename(upper, diff)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise ImageError(f"cannot take {upper} as a layer: {error.strerror}") from error
            return _copied(directory, Path(upper), below, parent)
        digest = hashlib.sha256()
        writer = TreeWriter(diff, below=below)
        length = 0
        for chunk in writer.chunks():
            digest.update(chunk)
            length += len(chunk)
        found = "sha256:" + digest.hexdigest()
        chain = chain_id(parent, found)
        layer = Layer(found, chain, parent, work, writer.size, writer.entries, "tree", length)
        return directory.commit(work, layer)


def _copied(directory: LayerDirectory, upper: Path, below: Stack, parent: str) -> Layer:
    """A layer from a directory on another file system."""
    from composer.images.temporary import remove_tree
    from composer.images.tree import TreeWriter

    layer = layer_from_tar(directory, TreeWriter(upper, below=below).chunks(), parent)
    remove_tree(upper)
    return layer


def layer_chunks(
    directory: LayerDirectory, layer: Layer, blob: Callable[[str], Path | None]
) -> Iterator[bytes]:
    """The uncompressed tar of *layer*, whose digest is its diff ID; verified at the end.

    Args:
        directory: The store's layers.
        layer: The layer.
        blob: Finds a kept compressed form of a diff ID.

    Raises:
        ImageError: The store was damaged.
    """
    digest = hashlib.sha256()
    yield from _hashed(_source(directory, layer, blob), digest)
    if "sha256:" + digest.hexdigest() != layer.diff_id:
        raise ImageError(
            f"layer {layer.diff_id[:19]} was changed on disk: its digest is now {digest.hexdigest()[:12]}",
            hint="remove the image and pull or build it again",
        )


def _source(directory: LayerDirectory, layer: Layer, blob: Callable[[str], Path | None]) -> Iterator[bytes]:
    if layer.origin == "split":
        from composer.images.split import joined

        return joined(layer)
    path = blob(layer.diff_id)
    if path is not None:
        return decompressed(file_chunks(path))
    if layer.origin == "blob":
        raise ImageError(f"the archive of layer {layer.diff_id[:19]} is missing", hint="pull the image again")
    from composer.images.tree import TreeWriter

    below = Stack([lower.diff for lower in directory.ancestry(layer.parent)])
    return TreeWriter(layer.diff, below=below).chunks()


def read_chunks(stream: BinaryIO | Iterable[bytes]) -> Iterator[bytes]:
    """The chunks of a file object, or of something that is chunks already."""
    read = getattr(stream, "read", None)
    if read is None:
        yield from stream
        return
    while chunk := read(CHUNK):
        yield chunk


def file_chunks(path: Path) -> Iterator[bytes]:
    """The chunks of a file."""
    with open(path, "rb", buffering=0) as file:
        yield from read_chunks(file)


def _hashed(chunks: Iterable[bytes], digest: _Hash) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


def _guarded(chunks: Iterable[bytes], limits: Limits) -> Iterator[bytes]:
    """Decompress, and stop when little becomes too much."""
    given = made = 0

    def counted() -> Iterator[bytes]:
        nonlocal given
        for chunk in chunks:
            given += len(chunk)
            yield chunk

    for piece in decompressed(counted()):
        made += len(piece)
        if made > _RATIO_FROM and made > limits.ratio * given:
            raise ImageError(
                f"the layer grows to more than {limits.ratio} times its compressed size",
                hint="raise COMPOSER_LAYER_RATIO if it is meant to",
            )
        yield piece
