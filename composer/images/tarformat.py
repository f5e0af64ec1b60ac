"""The tar format, block by block: ustar, PAX (POSIX.1-2001) and the GNU extensions that images contain.

Only parsing and formatting of headers; `tarreader` walks an archive and `tree` writes one. See tar(5).
"""

from __future__ import annotations

from zlib import adler32

from composer.errors import ImageError

BLOCK = 512
ZERO_BLOCK = bytes(BLOCK)

REGULAR, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO = (
    b"0",
    b"1",
    b"2",
    b"3",
    b"4",
    b"5",
    b"6",
)
OLD_REGULAR, CONTIGUOUS, GNU_SPARSE = b"\0", b"7", b"S"
PAX, PAX_GLOBAL, GNU_NAME, GNU_LINK = b"x", b"g", b"L", b"K"

_USTAR_NUMBER = 0o7777777
_USTAR_SIZE = 0o77777777777


class TarError(ImageError):
    """An archive is damaged or uses something that no image may hold."""


def number(field: bytes) -> int:
    """A number field: octal text, or base-256 when its first bit is set.

    Raises:
        TarError: It is neither.
    """
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=False) & ((1 << (8 * len(field) - 1)) - 1)
        if field[0] & 0x40:  # two's complement, negative
            value -= 1 << (8 * len(field) - 1)
        return value
    text = field.strip(b" \0")
    if not text:
        return 0
    if text.strip(b"01234567"):
        # GNU tar writes a NUL or blank and then anything; only what stands before it counts.
        text = text.partition(b"\0")[0].strip()
        if not text or text.strip(b"01234567"):
            raise TarError(f"{field!r} is not a number in a tar header")
    return int(text, 8)


def is_intact(block: bytes) -> bool:
    """Whether the checksum that *block* carries is right; signed sums of old archivers count too.

    Adler-32 holds one plus the sum of all bytes modulo 65521, and costs a twentieth of `sum`.
    """
    try:
        stored = int(block[148:154], 8)
    except ValueError:
        stored = number(block[148:156])
    fast = (adler32(block) & 0xFFFF) - (adler32(block[148:156]) & 0xFFFF) + 256
    if (fast - stored) % 65521 == 0:
        return True
    high = sum(1 for byte in block if byte & 0x80)
    return check_sum(block) - 256 * high == stored


def check_sum(block: bytes) -> int:
    """The checksum that *block* should carry: its bytes' sum with blanks in place of the checksum."""
    return sum(block) - sum(block[148:156]) + 256


def octal(value: int, width: int) -> bytes:
    """A number as *width* bytes of octal text ending in NUL."""
    return b"%0*o\0" % (width - 1, value)


def pax_records(data: bytes) -> dict[bytes, bytes]:
    """The records `length key=value` of a PAX header; a later record replaces an earlier one.

    Raises:
        TarError: A length does not fit.
    """
    result: dict[bytes, bytes] = {}
    position, end = 0, len(data)
    while position < end and data[position]:
        space = data.find(b" ", position, position + 20)
        digits = data[position:space] if space > 0 else b""
        if not digits.isdigit():
            raise TarError("a PAX record has no length")
        stop = position + int(digits)
        if stop > end or stop <= space + 1 or data[stop - 1] != 0x0A:
            raise TarError("a PAX record's length does not fit")
        key, equals, value = data[space + 1 : stop - 1].partition(b"=")
        if not equals:
            raise TarError("a PAX record has no value")
        result[key] = value
        position = stop
    return result


def pax_record(key: bytes, value: bytes) -> bytes:
    """One record; its length counts its own digits."""
    rest = b" " + key + b"=" + value + b"\n"
    size = len(rest) + 1
    while len(str(size)) + len(rest) != size:
        size = len(str(size)) + len(rest)
    return b"%d" % size + rest


def pax_time(text: bytes) -> int:
    """A decimal number of seconds as whole nanoseconds.

    Raises:
        TarError: It is no such number.
    """
    sign = -1 if text.startswith(b"-") else 1
    whole, _, fraction = text.lstrip(b"+-").partition(b".")
    if not (whole or b"0").isdigit() or (fraction and not fraction.isdigit()) or len(text) > 40:
        raise TarError(f"{text[:40]!r} is not a time")
    return sign * (int(whole or 0) * 1_000_000_000 + int((fraction + b"000000000")[:9]))


def header(
    name: bytes,
    kind: bytes,
    *,
    mode: int = 0,
    uid: int = 0,
    gid: int = 0,
    size: int = 0,
    mtime: int = 0,
    link: bytes = b"",
    major: int = 0,
    minor: int = 0,
    xattrs: dict[bytes, bytes] | None = None,
) -> bytes:
    """The header of one entry, with a PAX header before it where ustar cannot say it.

    Equal arguments give equal bytes: no names of users, no access times, records sorted by key.
    """
    records: dict[bytes, bytes] = {}
    if len(name) > 100 or not name.isascii():
        records[b"path"] = name
    if len(link) > 100 or not link.isascii():
        records[b"linkpath"] = link
    if uid > _USTAR_NUMBER:
        records[b"uid"] = b"%d" % uid
    if gid > _USTAR_NUMBER:
        records[b"gid"] = b"%d" % gid
    if size > _USTAR_SIZE:
        records[b"size"] = b"%d" % size
    if not 0 <= mtime <= _USTAR_SIZE:
        records[b"mtime"] = b"%d" % mtime
    for key, value in (xattrs or {}).items():
        records[b"SCHILY.xattr." + key] = value
    block = _block(
        name[:100],
        kind,
        mode,
        min(uid, _USTAR_NUMBER),
        min(gid, _USTAR_NUMBER),
        min(size, _USTAR_SIZE),
        mtime if 0 <= mtime <= _USTAR_SIZE else 0,
        link[:100],
        major,
        minor,
    )
    if not records:
        return block
    body = b"".join(pax_record(key, records[key]) for key in sorted(records))
    base = name.rstrip(b"/").rpartition(b"/")[2][:80]
    extended = _block(b"PaxHeaders.0/" + base, PAX, 0o644, 0, 0, len(body), 0, b"", 0, 0)
    return extended + body + bytes(-len(body) % BLOCK) + block


def _block(
    name: bytes,
    kind: bytes,
    mode: int,
    uid: int,
    gid: int,
    size: int,
    mtime: int,
    link: bytes,
    major: int,
    minor: int,
) -> bytes:
    front = b"%-100b%07o\0%07o\0%07o\0%011o\0%011o\0" % (b"", mode & 0o7777, uid, gid, size, mtime)
    front = name.ljust(100, b"\0") + front[100:]
    back = kind + link.ljust(100, b"\0") + b"ustar\x0000" + bytes(64)
    back += b"%07o\0%07o\0" % (major, minor) + bytes(167)
    total = sum(front) + sum(back) + 256
    return front + b"%06o\0 " % total + back
