"""Remembers how a tar was written, so that the same bytes can be produced from the unpacked tree.

A pushed or saved layer must have the digest that the image's configuration names. The tree alone does not
say in which order and form its tar was; `tar.split` holds all of the tar but the contents of files.

    R <u32 length> bytes              copied as they are (headers, padding)
    F <u64 size> <u16 length> path    the content of this file of the tree

The records are deflated. A path that occurs n times means, in order, the contents in `lost/` that
`layer.json` lists for it and then the file itself.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Self

from composer.errors import ImageError
from composer.images.layers import lost_contents
from composer.images.rootfs import Root, show

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

    from composer.images.compression import Compressor
    from composer.images.layers import Layer

_RAW = struct.Struct("<cI")
_FILE = struct.Struct("<cQH")
_FLUSH = 1 << 18
_CHUNK = 1 << 20


class SplitWriter:
    """Writes tar.split beside an unpacked tree.

    Args:
        path: The file to write.
    """

    def __init__(self, path: Path) -> None:
        self._file = open(path, "wb")  # noqa: SIM115 - closed by __exit__
        self._compressor = _deflater()
        self._pending = bytearray()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if kind is None:
                self._flush()
                self._file.write(self._compressor.flush())

    def raw(self, data: bytes | bytearray) -> None:
        """Record bytes as they are."""
        if data:
            self._pending += _RAW.pack(b"R", len(data))
            self._pending += data
            if len(self._pending) > _FLUSH:
                self._flush()

    def file(self, before: bytes | bytearray, path: bytes, size: int) -> None:
        """Record the bytes *before*, and that the content of *path* follows them."""
        pending = self._pending
        if before:
            pending += _RAW.pack(b"R", len(before))
            pending += before
        pending += _FILE.pack(b"F", size, len(path))
        pending += path
        if len(pending) > _FLUSH:
            self._flush()

    def _flush(self) -> None:
        self._file.write(self._compressor.compress(bytes(self._pending)))
        self._pending.clear()


def joined(layer: Layer) -> Iterator[bytes]:
    """The tar that *layer* was unpacked from, byte for byte.

    Raises:
        ImageError: The record or a file of the tree is missing or was changed.
    """
    lost = {bytes.fromhex(path): iter(numbers) for path, numbers in lost_contents(layer).items()}
    with Root(layer.diff) as root:
        for path, size, data in _records(layer.path / "tar.split"):
            if not path:
                yield data
                continue
            number = next(lost[path], 0) if path in lost else 0
            if number:
                fd = os.open(layer.path / "lost" / str(number), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            else:
                parent, _, base = path.rpartition(b"/")
                place = root.directory(parent)
                fd = os.open(base, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=place.fd)
            try:
                yield from _content(fd, size, path)
            finally:
                os.close(fd)


def _content(fd: int, size: int, path: bytes) -> Iterator[bytes]:
    left = size
    while left:
        piece = os.read(fd, min(left, _CHUNK))
        if not piece:
            raise ImageError(f"{show(path)} in a layer is shorter than it was", hint="pull the image again")
        left -= len(piece)
        yield piece


def _records(path: Path) -> Iterator[tuple[bytes, int, bytes]]:
    """`(b"", 0, raw)` or `(path, size, b"")` for each record."""
    import zlib

    decoder = zlib.decompressobj(31)
    buffer = bytearray()
    try:
        with open(path, "rb") as file:
            while data := file.read(_FLUSH):
                buffer += decoder.decompress(data)
                position = 0
                while (record := _parse(buffer, position)) is not None:
                    position, name, size, raw = record
                    yield name, size, raw
                del buffer[:position]
    except (OSError, zlib.error) as error:
        raise ImageError(f"{path} cannot be read: {error}", hint="pull the image again") from error
    if buffer or not decoder.eof:
        raise ImageError(f"{path} ends early", hint="pull the image again")


def _parse(buffer: bytearray, position: int) -> tuple[int, bytes, int, bytes] | None:
    """One record of *buffer*: the position behind it, path, size, raw bytes; None when it is not whole."""
    left = len(buffer) - position
    if left < _RAW.size:
        return None
    if buffer[position] == ord("R"):
        _, length = _RAW.unpack_from(buffer, position)
        start = position + _RAW.size
        if len(buffer) < start + length:
            return None
        return start + length, b"", 0, bytes(buffer[start : start + length])
    if left < _FILE.size:
        return None
    _, size, length = _FILE.unpack_from(buffer, position)
    start = position + _FILE.size
    if len(buffer) < start + length:
        return None
    return start + length, bytes(buffer[start : start + length]), size, b""


def _deflater() -> Compressor:
    import zlib

    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.compressobj(1, zlib.DEFLATED, 31)
    made: Compressor = isal_zlib.compressobj(0, isal_zlib.DEFLATED, 31)
    return made
