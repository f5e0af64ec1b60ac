"""Reading tar archives, well-formed and hostile; Python's tarfile is the oracle."""

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from composer.errors import ImageError
from composer.images import tarformat as tar
from composer.images.tarreader import TarReader


def archive(*entries, style=tarfile.PAX_FORMAT):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=style) as out:
        for name, data, more in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            for key, value in more.items():
                setattr(info, key, value)
            out.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def read(data, chunk=1000, *, record=False):
    pieces = [data[start : start + chunk] for start in range(0, len(data), chunk)]
    reader = TarReader(pieces, record=record)
    found = [(entry, b"".join(map(bytes, reader.content()))) for entry in reader]
    reader.drain()
    return found, reader


@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("chunk", [1, 511, 512, 1 << 20])
def test_entries_come_back_whatever_the_format_and_the_chunks(style, chunk):
    long = "d/" * 45 + "name"
    data = archive(
        ("a", b"x" * 1300, {"mode": 0o4755, "uid": 5, "gid": 6, "mtime": 1_000_000_000}),
        ("dir", b"", {"type": tarfile.DIRTYPE}),
        (long, b"long", {}),
        ("link", b"", {"type": tarfile.SYMTYPE, "linkname": "a"}),
        style=style,
    )
    found, _ = read(data, chunk)
    assert [entry.name for entry, _ in found] == [
        b"a",
        b"dir" + b"/" * (found[1][0].name[-1:] == b"/"),
        long.encode(),
        b"link",
    ]
    first, content = found[0]
    assert (first.mode, first.uid, first.gid, first.mtime) == (0o4755, 5, 6, 10**18)
    assert content == b"x" * 1300
    assert found[3][0].link == b"a"


@pytest.mark.parametrize("style", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_large_numbers_and_very_long_names(style):
    name = "n" * 300
    found, _ = read(archive((name, b"", {"uid": 3_000_000_000, "linkname": ""}), style=style))
    assert found[0][0].name == name.encode()
    assert found[0][0].uid == 3_000_000_000


def test_pax_times_keep_nanoseconds_and_the_past():
    assert tar.pax_time(b"1.5") == 1_500_000_000
    assert tar.pax_time(b"-1.25") == -1_250_000_000
    assert tar.pax_time(b"12.1234567891") == 12_123_456_789
    with pytest.raises(ImageError):
        tar.pax_time(b"1e9")


def test_everything_but_file_contents_is_recorded():
    data = archive(("a", b"x" * 700, {}), ("b", b"", {}))
    _, reader = read(data, record=True)
    assert len(reader.raw) == len(data) - 700


def header_with(**changes):
    """A header whose fields are replaced, with the right checksum."""
    block = bytearray(tar.header(b"file", tar.REGULAR, size=0))
    for start, value in changes.values():
        block[start : start + len(value)] = value
    block[148:156] = b"%06o\0 " % tar.check_sum(bytes(block))
    return bytes(block)


@pytest.mark.parametrize(
    "data",
    [
        b"not a tar" * 100,
        header_with(size=(124, b"garbage!!!!\0")),
        header_with(size=(124, b"\xff" * 12)),
        header_with(size=(124, b"\x80" + b"\0" * 3 + b"\xff" * 8)),
        header_with(uid=(108, b"\xff" * 8)),
        header_with(kind=(156, b"Z")),
        header_with(name=(0, b"\0" * 100)),
        tar.header(b"cut", tar.REGULAR, size=5000) + b"x" * 100,
        tar.header(b"pax", tar.PAX, size=1 << 40),
        tar.header(b"pax", tar.PAX, size=512) + b"99999 path=x\n".ljust(512, b"\0"),
        tar.header(b"pax", tar.PAX, size=512) + b"xx path=x\n".ljust(512, b"\0"),
        b"".join(tar.header(b"pax", tar.PAX, size=512) + b"8 a=b\n\n\n".ljust(512, b"\0") for _ in range(20)),
    ],
)
def test_damage_is_refused(data):
    with pytest.raises(ImageError):
        read(data)


@pytest.mark.parametrize(
    "records",
    [
        {b"GNU.sparse.map": b"0,10,5,10", b"GNU.sparse.size": b"100"},
        {b"GNU.sparse.map": b"0,10", b"GNU.sparse.size": b"5"},
        {b"GNU.sparse.map": b"0,9223372036854775807", b"GNU.sparse.size": b"9223372036854775807"},
        {b"GNU.sparse.map": b"a,b", b"GNU.sparse.size": b"5"},
        {b"GNU.sparse.map": b"1", b"GNU.sparse.size": b"5"},
        {b"GNU.sparse.numblocks": b"1"},
    ],
)
def test_impossible_sparse_maps_are_refused(records):
    body = b"".join(tar.pax_record(key, value) for key, value in records.items())
    data = tar.header(b"p", tar.PAX, size=len(body)) + body + bytes(-len(body) % 512)
    with pytest.raises(ImageError):
        read(data + tar.header(b"f", tar.REGULAR, size=10) + bytes(512))


@given(st.binary(max_size=3000))
@settings(max_examples=150, deadline=None)
def test_any_bytes_end_in_entries_or_one_error(data):
    try:
        read(data)
    except ImageError:
        return


@given(st.integers(0, 2000), st.binary(min_size=1, max_size=3))
@settings(max_examples=150, deadline=None)
def test_any_change_of_an_archive_ends_in_entries_or_one_error(position, patch):
    data = bytearray(archive(("a/b", b"x" * 600, {}), ("n" * 150, b"y", {"uid": 1 << 31})))
    data[position : position + len(patch)] = patch
    try:
        read(bytes(data))
    except ImageError:
        return


def test_headers_are_read_by_tarfile_as_they_were_meant():
    data = tar.header(
        b"\xc3\xa4/" + b"x" * 120, tar.REGULAR, mode=0o644, uid=3_000_000, gid=7, size=3, mtime=-5
    )
    data += b"abc" + bytes(509) + bytes(1024)
    with tarfile.open(fileobj=io.BytesIO(data)) as found:
        member = found.getmembers()[0]
        assert (member.name, member.uid, member.gid, member.mtime) == ("ä/" + "x" * 120, 3_000_000, 7, -5)
        assert found.extractfile(member).read() == b"abc"


@pytest.mark.parametrize("size", [9, 10, 96, 97, 98, 995, 996, 997])
def test_pax_records_count_their_own_length(size):
    record = tar.pax_record(b"k", b"v" * size)
    assert tar.pax_records(record) == {b"k": b"v" * size}
