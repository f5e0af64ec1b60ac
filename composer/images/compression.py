"""Decompression told by content, and compression for pushing: gzip by isal, zstd, xz, bzip2.

All in this process: an archive never decides which program runs. Output comes in bounded pieces, so that a
bomb is noticed before it has filled the memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias, cast

from composer.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

CHUNK = 1 << 20
"""Bytes that one piece of output has at most."""

Kind: TypeAlias = Literal["gzip", "zstd", "xz", "bzip2", ""]

_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
)


class _Decompressor(Protocol):
    """What bz2, lzma, zstd and isal agree on."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def detect(start: bytes) -> Kind:
    """The compression that a file beginning with *start* has, or empty for none that we know."""
    for magic, kind in _MAGIC:
        if start.startswith(magic):
            return kind
    # zstd may begin with skippable frames.
    return "zstd" if len(start) >= 4 and start[1:4] == b"\x2a\x4d\x18" and start[0] >> 4 == 5 else ""


def decompressed(chunks: Iterable[bytes], *, kind: Kind | None = None) -> Iterator[bytes]:
    """The uncompressed content of *chunks*, in pieces of at most `CHUNK` bytes.

    Args:
        chunks: The content.
        kind: Its compression; None looks at the first bytes.

    Raises:
        ImageError: The data is damaged, ends early, or something else follows its end.
    """
    source = iter(chunks)
    first = b""
    while len(first) < 6:
        piece = next(source, None)
        if piece is None:
            break
        first += piece
    found = detect(first) if kind is None else kind
    if not found:
        yield from _plain(first, source)
    else:
        yield from _inflate(found, first, source)


def _plain(first: bytes, source: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from source


def _inflate(kind: Kind, first: bytes, source: Iterator[bytes]) -> Iterator[bytes]:
    make, failures = _decompressor(kind)
    decoder = make()
    data: bytes | None = first
    try:
        while data is not None:
            if data:
                if decoder.eof:
                    if kind == "gzip" and not data.startswith(b"\x1f\x8b"[: len(data)]):
                        raise ImageError("something follows the end of the gzip data")
                    decoder = make()
                piece = decoder.decompress(data, CHUNK)
                while True:
                    if piece:
                        yield piece
                    if decoder.eof or decoder.needs_input:
                        break
                    piece = decoder.decompress(b"", CHUNK)
            # A further member (pigz, zstd frames) may begin in what is left.
            data = decoder.unused_data if decoder.eof and data else b""
            if not data:
                data = next(source, None)
    except failures as error:
        raise ImageError(f"the {kind} data is damaged: {error}") from error
    if not decoder.eof:
        raise ImageError(f"the {kind} data ends early")


def _decompressor(kind: Kind) -> tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]:
    if kind == "gzip":
        return _gzip()
    if kind == "zstd":
        zstd = zstd_module()
        return zstd.ZstdDecompressor, (zstd.ZstdError, EOFError)
    if kind == "xz":
        import lzma

        # Bounded: an xz header may ask for 4 GiB of dictionary.
        return lambda: lzma.LZMADecompressor(memlimit=128 << 20), (lzma.LZMAError, EOFError)
    import bz2

    return bz2.BZ2Decompressor, (OSError, ValueError, EOFError)


def _gzip() -> tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]:
    import zlib

    try:
        from isal import igzip_lib
    except ImportError:
        return _ZlibDecompressor, (zlib.error,)
    make = igzip_lib.IgzipDecompressor
    failures = cast("tuple[type[Exception], ...]", (igzip_lib.error, zlib.error, EOFError))
    return lambda: make(flag=igzip_lib.DECOMP_GZIP), failures


class _ZlibDecompressor:
    """zlib in the shape of the others, for machines without isal."""

    def __init__(self) -> None:
        import zlib

        self._decoder = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, max(max_length, 0))


def zstd_module() -> ZstdModule:
    """`compression.zstd` of Python 3.14, or its backport."""
    import importlib

    try:
        module = importlib.import_module("compression.zstd")
    except ImportError:
        module = importlib.import_module("backports.zstd")
    return cast("ZstdModule", module)


class ZstdModule(Protocol):
    """What we use of it."""

    ZstdDecompressor: Callable[[], _Decompressor]
    ZstdCompressor: Callable[..., Compressor]
    ZstdError: type[Exception]


class Compressor(Protocol):
    """A streaming compressor."""

    def compress(self, data: bytes, /) -> bytes:
        """Feed *data*; returns what is ready."""
        ...

    def flush(self) -> bytes:
        """End the stream."""
        ...


def compressor(kind: Literal["gzip", "zstd"]) -> Compressor:
    """A compressor for pushing: gzip at isal's level 2 (header without time or name), or zstd level 3."""
    if kind == "zstd":
        return zstd_module().ZstdCompressor(level=3)
    import zlib

    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.compressobj(6, zlib.DEFLATED, 31)
    made: Compressor = isal_zlib.compressobj(2, isal_zlib.DEFLATED, 31)
    return made
