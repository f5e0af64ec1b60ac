"""Decompression and the pipe between threads."""

import bz2
import gzip
import lzma
import threading
import zlib

import pytest
from backports import zstd

from composer.errors import ImageError
from composer.images import compression
from composer.images.compression import CHUNK, compressor, decompressed, detect
from composer.images.pipe import Pipe

DATA = bytes(range(256)) * 1_500


def pieces(data, size=7777):
    return [data[start : start + size] for start in range(0, len(data), size)]


@pytest.mark.parametrize(
    ("kind", "compress"),
    [
        ("gzip", gzip.compress),
        ("zstd", zstd.compress),
        ("xz", lzma.compress),
        ("bzip2", bz2.compress),
        ("", bytes),
    ],
)
@pytest.mark.parametrize("size", [1, 7777, 1 << 20])
def test_content_decides_about_the_compression(kind, compress, size):
    data = compress(DATA[:20_000] if size == 1 else DATA)
    assert detect(data[:6]) == kind
    assert b"".join(decompressed(pieces(data, size))) == (DATA[:20_000] if size == 1 else DATA)


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress])
def test_several_members_are_one_stream(compress):
    data = compress(b"one") + compress(b"two")
    for size in (1, 5, 1000):
        assert b"".join(decompressed(pieces(data, size))) == b"onetwo"


@pytest.mark.parametrize("compress", [gzip.compress, zstd.compress, lzma.compress])
def test_truncated_data_is_refused(compress):
    data = compress(DATA)
    with pytest.raises(ImageError, match=r"ends early|damaged"):
        list(decompressed(pieces(data[: len(data) // 2])))


@pytest.mark.parametrize("tail", [b"garbage", b"\0" * 512])
def test_something_behind_the_gzip_data_is_refused(tail):
    with pytest.raises(ImageError):
        list(decompressed(pieces(gzip.compress(DATA) + tail)))


def test_a_flipped_bit_is_noticed():
    data = bytearray(gzip.compress(DATA))
    data[-6] ^= 1  # in the checksum
    with pytest.raises(ImageError, match="damaged"):
        list(decompressed(pieces(bytes(data))))


def test_a_bomb_comes_in_bounded_pieces():
    data = zlib.compress(bytes(16 << 20), wbits=31)
    assert max(map(len, decompressed([data]))) <= CHUNK


def test_without_isal_zlib_does_the_same(monkeypatch):
    monkeypatch.setattr(compression, "_gzip", lambda: (compression._ZlibDecompressor, (zlib.error,)))
    assert b"".join(decompressed(pieces(gzip.compress(DATA)))) == DATA
    bomb = zlib.compress(bytes(8 << 20), wbits=31)
    assert max(map(len, decompressed([bomb]))) <= CHUNK


@pytest.mark.parametrize("kind", ["gzip", "zstd"])
def test_what_is_compressed_for_pushing_is_always_the_same(kind):
    def once():
        encoder = compressor(kind)
        return b"".join([encoder.compress(piece) for piece in pieces(DATA)]) + encoder.flush()

    first = once()
    assert first == once()
    assert b"".join(decompressed([first])) == DATA


class TestPipe:
    def test_chunks_arrive_in_order_from_another_thread(self):
        threads = set()

        def source():
            for number in range(50):
                threads.add(threading.current_thread())
                yield bytes([number])

        with Pipe(source()) as pipe:
            assert b"".join(pipe) == bytes(range(50))
        assert threading.current_thread() not in threads

    def test_an_error_of_the_source_reaches_the_reader(self):
        def source():
            yield b"x"
            raise ImageError("broken")

        with Pipe(source()) as pipe, pytest.raises(ImageError, match="broken"):
            list(pipe)

    def test_leaving_early_ends_the_thread(self):
        seen = []

        def endless():
            while True:
                seen.append(1)
                yield b"x"

        before = threading.active_count()
        with Pipe(endless(), ahead=2) as pipe:
            assert next(iter(pipe)) == b"x"
        assert threading.active_count() == before
        assert len(seen) < 10
