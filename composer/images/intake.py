"""Takes an image in whose documents and layers come from somewhere: a registry or an archive.

The blob of a compressed layer is kept as it was received, so that the image can be passed on under the
digests it came with.
"""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING

from composer.errors import ImageError
from composer.images.apply import LayerWork
from composer.images.layers import chain_id
from composer.images.temporary import scratch, temporary_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from composer.images.layers import Layer
    from composer.images.manifests import Descriptor
    from composer.images.store import Store


class DigestError(ImageError):
    """Content does not have the digest it was asked for by."""


def take_layer(
    store: Store,
    chunks: Iterable[bytes],
    blob: Descriptor,
    diff_id: str,
    parent: Callable[[], str],
    *,
    repository: str = "",
    kept: Path | None = None,
) -> Layer:
    """Unpack one layer while it arrives, verify both digests, keep its blob, make it visible.

    Args:
        store: Where it goes; the caller holds `using()`.
        chunks: The blob.
        blob: Its digest, size and type.
        diff_id: What the image's configuration says about the uncompressed tar.
        parent: Waits for the layer below and returns its chain ID, or an empty string.
        repository: Where it came from, for mounting it at a later push.
        kept: A file that *chunks* writes to by itself; it becomes the blob.

    Raises:
        ImageError: A digest differs, or the archive is hostile.
    """
    plain = blob.digest == diff_id  # nothing to gain from keeping it: tar.split writes it again
    with scratch(store.directory.temporary) as place:
        work = place / "layer"
        work.mkdir(mode=0o700)
        keeper = _Keeper(kept or place / "blob", blob, write=kept is None and not plain)
        making = LayerWork(store.directory, work, keep_tar=plain)
        stream = keeper.keep(chunks)
        try:
            found = _unpacked(making, keeper, stream)
            if found != diff_id:
                raise ImageError(  # noqa: TRY301 - the handler adds which layer
                    f"its content has digest {found[:19]}, the image's configuration says {diff_id[:19]}"
                )
            if not plain:
                keeper.adopt(store)
                store.note_blob(diff_id, blob.digest, blob.media_type, blob.size, repository)
            elif kept is not None:
                kept.unlink(missing_ok=True)
            return making.commit(parent(), origin="split" if plain else "blob")
        except ImageError as error:
            raise type(error)(f"layer {blob.digest[:19]}: {error.message}", hint=error.hint) from error
        except OSError as error:
            hint = "free some space and try again" if error.errno == errno.ENOSPC else ""
            raise ImageError(f"layer {blob.digest[:19]}: {error.strerror}", hint=hint) from error
        finally:
            making.close()


def _unpacked(making: LayerWork, keeper: _Keeper, stream: Iterator[bytes]) -> str:
    """Unpack and verify the blob; damage on the way is told apart from a layer that really is bad."""
    try:
        found = making.unpack(stream)
    except ImageError as error:
        if isinstance(error.__cause__, OSError):
            raise  # this machine's trouble, such as a full disk, and not the archive's
        # What could not be unpacked may not be what was asked for: read on, and look at the digest.
        for _ in stream:
            pass
        keeper.verify()
        raise
    for _ in stream:
        pass
    keeper.verify()
    return found


def known_layer(store: Store, parent: str, diff_id: str) -> Layer | None:
    """The layer, if it is in the store already."""
    return store.layer(chain_id(parent, diff_id))


class _Keeper:
    """Hashes what passes, and writes it to a file unless somebody else does."""

    def __init__(self, path: Path, blob: Descriptor, *, write: bool) -> None:
        self._path = path
        self._blob = blob
        self._write = write
        self._digest = hashlib.new(blob.digest.partition(":")[0])
        self._size = 0

    def keep(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        with open(self._path if self._write else os.devnull, "wb", buffering=0) as file:
            for chunk in chunks:
                self._digest.update(chunk)
                self._size += len(chunk)
                if self._size > self._blob.size:
                    raise ImageError(f"more than the {self._blob.size} bytes that the manifest names")
                if self._write:
                    file.write(chunk)
                yield chunk

    def verify(self) -> None:
        if self._size != self._blob.size:
            raise ImageError(f"has {self._size} bytes instead of {self._blob.size}")
        found = self._digest.hexdigest()
        if found != self._blob.digest.partition(":")[2]:
            raise DigestError(f"{self._blob.digest} was asked for, content with digest {found} came")

    def adopt(self, store: Store) -> None:
        target = temporary_path(store.blobs.temporary)
        os.rename(self._path, target)
        store.blobs.adopt(target, self._blob.digest)
