"""Content-addressed files: a blob is under its digest whole, or it is not there."""

from __future__ import annotations

import errno
import hashlib
import os
from typing import TYPE_CHECKING

from composer.errors import ImageError
from composer.images.reference import is_digest
from composer.images.temporary import temporary_path

if TYPE_CHECKING:
    from pathlib import Path


class Blobs:
    """The blob directory of a store.

    Args:
        root: Where blobs are, `<algorithm>/<hex>`.
        temporary: Where they are written first; same file system.
    """

    def __init__(self, root: Path, temporary: Path) -> None:
        self.root = root
        self.temporary = temporary

    def path(self, digest: str) -> Path:
        """Where the blob is, or would be.

        Raises:
            ImageError: *digest* is malformed (which also keeps `..` out of paths).
        """
        if not is_digest(digest):
            raise ImageError(f"{digest[:80]!r} is not a digest")
        algorithm, _, value = digest.partition(":")
        return self.root / algorithm / value

    def has(self, digest: str) -> bool:
        """Whether the blob is there."""
        return self.path(digest).is_file()

    def size(self, digest: str) -> int:
        """Its size in bytes, 0 when it is not there."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            return 0

    def read(self, digest: str) -> bytes:
        """A small blob's content.

        Raises:
            ImageError: It is not there, or is not what its name says (a damaged disk).
        """
        try:
            data = self.path(digest).read_bytes()
        except FileNotFoundError:
            raise ImageError(
                f"blob {digest[:19]} is missing from the store", hint="pull the image again"
            ) from None
        algorithm, _, value = digest.partition(":")
        if hashlib.new(algorithm, data).hexdigest() != value:
            raise ImageError(
                f"blob {digest[:19]} is damaged on disk", hint="remove the image and pull it again"
            )
        return data

    def put(self, data: bytes, digest: str = "") -> str:
        """Store *data*; returns its digest, which must be *digest* if that is given.

        Raises:
            ImageError: The digest differs, or the disk is full.
        """
        found = "sha256:" + hashlib.sha256(data).hexdigest()
        if digest and digest != found:
            raise ImageError(f"content of {digest[:19]} has digest {found[:19]}")
        if self.has(found):
            return found
        path = temporary_path(self.temporary)
        try:
            with open(path, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            self.adopt(path, found)
        except OSError as error:
            path.unlink(missing_ok=True)
            hint = "free some space" if error.errno == errno.ENOSPC else ""
            raise ImageError(f"cannot store a blob: {error.strerror}", hint=hint) from error
        return found

    def adopt(self, path: Path, digest: str) -> None:
        """Move a finished, verified file to its place."""
        final = self.path(digest)
        final.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.rename(path, final)

    def remove(self, digest: str) -> int:
        """Remove it; returns how many bytes that freed."""
        size = self.size(digest)
        self.path(digest).unlink(missing_ok=True)
        return size

    def all(self) -> list[tuple[str, int]]:
        """Every blob's digest and size."""
        result = []
        for algorithm in sorted(self.root.glob("*")):
            result += [(f"{algorithm.name}:{blob.name}", blob.stat().st_size) for blob in algorithm.iterdir()]
        return result
