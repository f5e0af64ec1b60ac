"""Reads a tar archive in one forward pass: entries with their content, and a record of all other bytes.

Any byte string is survived: sizes, names and extension headers are bounded before anything is allocated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from composer.images.tarformat import (
    BLOCK,
    CHARACTER,
    CONTIGUOUS,
    DIRECTORY,
    GNU_LINK,
    GNU_NAME,
    GNU_SPARSE,
    OLD_REGULAR,
    PAX,
    PAX_GLOBAL,
    REGULAR,
    ZERO_BLOCK,
    TarError,
    is_intact,
    number,
    pax_records,
    pax_time,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_HEADER_LIMIT = 1 << 20
_EXTENSIONS_LIMIT = 8
_SPARSE_LIMIT = 1 << 16
_NAME_LIMIT = 1 << 16
_SIZE_LIMIT = 1 << 53
_KNOWN = frozenset(b"01234567S\0")


class Entry(NamedTuple):
    """One entry, cleaned of the format's peculiarities.

    Attributes:
        kind: One of the type letters of `tarformat`; regular files are always `REGULAR`.
        name: As written, not cleaned.
        mode: Permission bits with set-id and sticky.
        uid: Numeric owner.
        gid: Numeric group.
        size: Bytes of content in the archive.
        mtime: Nanoseconds since the epoch.
        link: Target of a link, as written.
        major: Of a device.
        minor: Of a device.
        xattrs: Extended attributes.
        sparse: For sparse files `(offset, length)` of each piece of data; None otherwise.
        real_size: Size of the file when it is sparse.
    """

    kind: bytes
    name: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: dict[bytes, bytes] | None = None
    sparse: tuple[tuple[int, int], ...] | None = None
    real_size: int = 0


class TarReader:
    """Walks an archive; iterate over entries, and read a regular file's content before the next one.

    Args:
        chunks: The archive's bytes.
        record: Collect in `raw` every byte that is not a file's content, for writing the same tar again.
    """

    def __init__(self, chunks: Iterable[bytes], *, record: bool = False) -> None:
        self._chunks = iter(chunks)
        self._buffer: bytes = b""
        self._position = 0
        self._left = 0
        self._padding = 0
        self.raw: bytearray | None = bytearray() if record else None

    def __iter__(self) -> Iterator[Entry]:
        while True:
            entry = self._next()
            if entry is None:
                return
            yield entry

    def content(self) -> Iterator[memoryview]:
        """The content of the entry that came last, in pieces; not recorded in `raw`.

        Raises:
            TarError: The archive ends inside.
        """
        while self._left:
            buffer, position = self._buffer, self._position
            available = len(buffer) - position
            if not available:
                self._refill()
                continue
            count = min(available, self._left)
            self._position = position + count
            self._left -= count
            yield memoryview(buffer)[position : position + count]

    def whole_content(self) -> memoryview | None:
        """The content of the entry that came last, if it lies in one piece; then it counts as read."""
        count, position = self._left, self._position
        if position + count > len(self._buffer):
            return None
        self._position = position + count
        self._left = 0
        return memoryview(self._buffer)[position : position + count]

    def record_content(self) -> Iterator[bytes]:
        """Like `content`, but the bytes are recorded in `raw` too (sparse files)."""
        for piece in self.content():
            if self.raw is not None:
                self.raw += piece
            yield bytes(piece)

    def skip(self, seek: Callable[[int], object]) -> None:
        """Leave the content of the entry that came last unread.

        Args:
            seek: Moves the source of chunks forward by so many bytes.
        """
        wanted = self._left + self._padding
        here = min(len(self._buffer) - self._position, wanted)
        self._position += here
        if wanted > here:
            seek(wanted - here)
        self._left = self._padding = 0

    @property
    def buffered(self) -> int:
        """How many bytes of the source were taken but not used yet."""
        return len(self._buffer) - self._position

    def drain(self) -> None:
        """Read what follows the end mark, so that the whole archive has been seen."""
        while True:
            rest = self._buffer[self._position :]
            if self.raw is not None:
                self.raw += rest
                if len(self.raw) > 64 * _HEADER_LIMIT:
                    raise TarError("too much follows the end of the archive")
            self._buffer, self._position = next(self._chunks, b""), 0
            if not self._buffer:
                return

    def _refill(self) -> None:
        self._buffer = next(self._chunks, b"")
        self._position = 0
        if not self._buffer:
            raise TarError("the archive ends early")

    def _take(self, count: int) -> bytes:
        """Exactly *count* bytes, recorded."""
        position = self._position
        end = position + count
        if end <= len(self._buffer):
            data = self._buffer[position:end]
            self._position = end
        else:
            parts = [self._buffer[position:]]
            missing = count - len(parts[0])
            while missing:
                self._refill()
                part = self._buffer[:missing]
                self._position = len(part)
                missing -= len(part)
                parts.append(part)
            data = b"".join(parts)
        if self.raw is not None:
            self.raw += data
        return data

    def _header(self) -> bytes | None:
        """The next header block, or None at the end: a zero block, or no more bytes."""
        if self._left:
            for _ in self.record_content():
                pass
        if self._padding:
            self._take(self._padding)
            self._padding = 0
        if self._position == len(self._buffer):
            self._buffer, self._position = next(self._chunks, b""), 0
            if not self._buffer:
                return None
        block = self._take(BLOCK)
        if block[0] == 0 and block == ZERO_BLOCK:
            return None
        if not is_intact(block):
            raise TarError("a header's checksum is wrong: the archive is damaged, or is no tar")
        return block

    def _extension(self, size: int) -> bytes:
        if not 0 <= size <= _HEADER_LIMIT:
            raise TarError(f"an extension header of {size} bytes is too large")
        data = self._take(size)
        if size % BLOCK:
            self._take(-size % BLOCK)
        return data

    def _next(self) -> Entry | None:
        pax: dict[bytes, bytes] | None = None
        name = link = b""
        extensions = 0
        while True:
            block = self._header()
            if block is None:
                return None
            kind = block[156:157]
            if kind in (PAX, PAX_GLOBAL, GNU_NAME, GNU_LINK):
                extensions += 1
                if extensions > _EXTENSIONS_LIMIT:
                    raise TarError("too many extension headers before one entry")
                data = self._extension(number(block[124:136]))
                if kind == PAX:
                    pax = {**(pax or {}), **pax_records(data)}
                elif kind == GNU_NAME:
                    name = data.partition(b"\0")[0]
                elif kind == GNU_LINK:
                    link = data.partition(b"\0")[0]
                continue
            return self._entry(block, kind, name, link, pax)

    def _entry(
        self, block: bytes, kind: bytes, name: bytes, link: bytes, pax: dict[bytes, bytes] | None
    ) -> Entry:
        if kind[0] not in _KNOWN:
            raise TarError(f"entry type {kind!r} is unknown")
        if not name:
            name = block[:100].partition(b"\0")[0]
            if block[345] and block[257:263] == b"ustar\0":
                name = block[345:500].partition(b"\0")[0] + b"/" + name
        link = link or block[157:257].partition(b"\0")[0]
        try:
            # What nearly every archiver writes: octal digits and a NUL. int() takes some more, which does no
            # harm: impossible sizes and owners are refused below.
            mode = int(block[100:107], 8) & 0o7777
            uid, gid = int(block[108:115], 8), int(block[116:123], 8)
            size, mtime = int(block[124:135], 8), int(block[136:147], 8) * 1_000_000_000
        except ValueError:
            mode = number(block[100:108]) & 0o7777
            uid, gid = number(block[108:116]), number(block[116:124])
            size, mtime = number(block[124:136]), number(block[136:148]) * 1_000_000_000
        xattrs: dict[bytes, bytes] | None = None
        if pax:
            name = pax.get(b"path", name)
            link = pax.get(b"linkpath", link)
            try:
                uid, gid = int(pax.get(b"uid", uid)), int(pax.get(b"gid", gid))
                size = int(pax.get(b"size", size))
            except ValueError as error:
                raise TarError("a PAX number is malformed", path=_show(name)) from error
            if b"mtime" in pax:
                mtime = pax_time(pax[b"mtime"])
            xattrs = {
                key[13:]: value for key, value in pax.items() if key.startswith(b"SCHILY.xattr.") and key[13:]
            }
        if not 0 <= size < _SIZE_LIMIT:
            raise TarError(f"a size of {size} bytes is impossible", path=_show(name))
        if not (0 <= uid < 1 << 32 and 0 <= gid < 1 << 32):
            raise TarError(f"owner {uid}:{gid} is impossible", path=_show(name))
        if not name or b"\0" in name or len(name) > _NAME_LIMIT or b"\0" in link or len(link) > _NAME_LIMIT:
            raise TarError("a name is empty, too long or holds NUL", path=_show(name))
        if kind in (OLD_REGULAR, CONTIGUOUS):
            kind = DIRECTORY if kind == OLD_REGULAR and name.endswith(b"/") else REGULAR
        if kind not in (REGULAR, GNU_SPARSE):
            # Hard links may carry a size that means nothing; others have no content either.
            size = 0
        self._left, self._padding = size, -size % BLOCK
        major = minor = 0
        if kind[0] in (CHARACTER[0], CHARACTER[0] + 1):
            major, minor = number(block[329:337]), number(block[337:345])
        entry = Entry(kind, name, mode, uid, gid, size, mtime, link, major, minor, xattrs)
        if kind == GNU_SPARSE or (pax and any(key.startswith(b"GNU.sparse.") for key in pax)):
            return self._sparse(entry, block, pax or {})
        return entry

    def _sparse(self, entry: Entry, block: bytes, pax: dict[bytes, bytes]) -> Entry:
        """Find the map of a sparse file: old GNU, or PAX 0.0 (rejected), 0.1 and 1.0."""
        try:
            if entry.kind == GNU_SPARSE:
                return self._old_sparse(entry, block)
            name = pax.get(b"GNU.sparse.name", entry.name)
            if pax.get(b"GNU.sparse.major") == b"1":
                real = int(pax[b"GNU.sparse.realsize"])
                pieces = self._embedded_map()
            elif b"GNU.sparse.map" in pax:
                real = int(pax[b"GNU.sparse.size"])
                numbers = [int(item) for item in pax[b"GNU.sparse.map"].split(b",")]
                pieces = list(zip(numbers[::2], numbers[1::2], strict=True))
            else:
                raise TarError("this form of sparse file (GNU 0.0) is not supported", path=_show(name))
        except (ValueError, KeyError) as error:
            raise TarError("a sparse map is malformed", path=_show(entry.name)) from error
        return self._checked_sparse(entry._replace(name=name), pieces, real)

    def _old_sparse(self, entry: Entry, block: bytes) -> Entry:
        real = number(block[483:495])
        pieces: list[tuple[int, int]] = []
        area, count, more = block[386:482], 4, block[482]
        # The extension blocks are not part of the content; take them before it.
        while True:
            for index in range(count):
                item = area[index * 24 : index * 24 + 24]
                if item[0]:
                    pieces.append((number(item[:12]), number(item[12:])))
            if not more:
                break
            if len(pieces) > _SPARSE_LIMIT:
                raise TarError("a sparse map has too many pieces", path=_show(entry.name))
            extended = self._take(BLOCK)
            area, count, more = extended[:504], 21, extended[504]
        return self._checked_sparse(entry._replace(kind=REGULAR), pieces, real)

    def _embedded_map(self) -> list[tuple[int, int]]:
        """PAX 1.0: the content begins with decimal lines, padded to whole blocks."""
        text = self._content_block()
        values: list[int] = []
        wanted = 1
        while len(values) < wanted:
            line, newline, rest = text.partition(b"\n")
            if not newline:
                text += self._content_block()
                continue
            values.append(int(line))
            text = rest
            if len(values) == 1:
                if not 0 <= values[0] <= _SPARSE_LIMIT:
                    raise TarError("a sparse map has too many pieces")
                wanted = 1 + 2 * values[0]
        return list(zip(values[1::2], values[2::2], strict=True))

    def _content_block(self) -> bytes:
        if self._left < BLOCK:
            raise TarError("a sparse map is longer than its file")
        self._left -= BLOCK
        return self._take(BLOCK)

    def _checked_sparse(self, entry: Entry, pieces: list[tuple[int, int]], real: int) -> Entry:
        position = 0
        for offset, length in pieces:
            if offset < position or length < 0:
                raise TarError("a sparse map's pieces overlap", path=_show(entry.name))
            position = offset + length
        if position > real or not 0 <= real < _SIZE_LIMIT:
            raise TarError("a sparse map reaches beyond the file", path=_show(entry.name))
        if sum(length for _, length in pieces) != self._left:
            raise TarError("a sparse map does not fit its content", path=_show(entry.name))
        return entry._replace(sparse=tuple(pieces), real_size=real, size=self._left)


def _show(name: bytes) -> str:
    return name[:200].decode("utf-8", "backslashreplace")
