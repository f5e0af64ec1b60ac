"""Writes a layer's tar into a directory, in overlayfs form, whatever the archive holds.

Whiteouts become character devices 0:0, opaque marks `trusted.overlay.opaque`; forged ones in the archive
are refused or dropped. What needs the layers below (parents without an entry, hard links to files of lower
layers) is put off to `finish`, so that layers can be unpacked before their parents are there.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from composer.errors import ImageError
from composer.images import tarformat as tar
from composer.images.limits import DEPTH_LIMIT, PATH_LIMIT
from composer.images.rootfs import Place, Root, clean, show
from composer.images.stack import OPAQUE_XATTRS, Stack, is_whiteout

if TYPE_CHECKING:
    from pathlib import Path

    from composer.images.limits import Limits
    from composer.images.split import SplitWriter
    from composer.images.tarreader import Entry, TarReader

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_WHITEOUT = b".wh."
_OPAQUE = b".wh..wh..opq"
_TIME_LIMIT = 1 << 62
_IGNORED_XATTRS = ("trusted.overlay.", "user.overlay.", "security.selinux")


class _LateLink(NamedTuple):
    """A hard link whose target is in a lower layer."""

    name: bytes
    target: bytes


class Unpacker:
    """Applies one archive to an empty directory.

    Args:
        directory: The future overlay lower directory; exists and is empty.
        reader: The archive.
        limits: Bounds.
        split: Where to record how the archive was written, or None.
        lost: Directory for contents that later entries replace; needed with *split*.
    """

    def __init__(
        self,
        directory: Path,
        reader: TarReader,
        limits: Limits,
        split: SplitWriter | None = None,
        lost: Path | None = None,
    ) -> None:
        self.size = 0
        self.entries = 0
        self.lost: dict[str, list[int]] = {}
        self._directory = directory
        self._reader = reader
        self._limits = limits
        self._split = split
        self._lost_directory = lost
        self._lost_count = 0
        self._root = Root(directory)
        self._umask = current_umask()
        self._implied: set[bytes] = {b""}
        self._times: dict[bytes, int] = {}
        self._modes: dict[bytes, int] = {}
        self._late_links: list[_LateLink] = []
        self._unsplit: set[bytes] = set()

    def run(self) -> None:
        """Write everything that does not need other layers.

        Raises:
            ImageError: The archive is hostile, damaged or too large, or the disk is full.
        """
        entry: Entry | None = None
        try:
            for entry in self._reader:
                self.entries += 1
                if self.entries > self._limits.entries:
                    raise ImageError(
                        f"the layer has more than {self._limits.entries} entries",
                        hint="raise COMPOSER_LAYER_ENTRIES if it is meant to",
                    )
                self._apply(entry)
            self._reader.drain()
            if self._split is not None and self._reader.raw is not None:
                self._split.raw(self._reader.raw)
        except OSError as error:
            hint = "free some space and try again" if error.errno == errno.ENOSPC else ""
            name = f"{show(entry.name)}: " if entry else ""
            raise ImageError(f"cannot unpack {name}{error.strerror}", hint=hint) from error

    def finish(self, lower: Stack) -> None:
        """Complete what depends on the layers below, then set the times of directories.

        Raises:
            ImageError: A hard link's target is in no layer.
        """
        try:
            for link in self._late_links:
                self._copy_up(link, lower)
            for path in sorted(self._implied):
                self._inherit(path, lower)
            for path, mode in self._modes.items():
                place = self._root.directory(path)
                os.chmod(f"/proc/self/fd/{place.fd}", mode)
            for path, when in self._times.items():
                place = self._root.directory(path)
                os.utime(f"/proc/self/fd/{place.fd}", ns=(when, when))
        except OSError as error:
            raise ImageError(f"cannot complete the layer: {error.strerror}") from error

    def close(self) -> None:
        """Close all descriptors."""
        self._root.close()

    # One entry

    def _apply(self, entry: Entry) -> None:
        name = clean(entry.name)
        parent, _, base = name.rpartition(b"/")
        if not name:
            if entry.kind != tar.DIRECTORY:
                raise ImageError("the layer's root is not a directory")
            self._directory_attributes(Place(self._root.fd, b""), b"", b".", entry)
            return
        if _WHITEOUT in parent and (marks := [p for p in parent.split(b"/") if p.startswith(_WHITEOUT)]):
            if all(mark.startswith(_WHITEOUT * 2) for mark in marks):
                return  # AUFS' own bookkeeping (.wh..wh.plnk, .wh..wh.aufs)
            raise ImageError(f"{show(name)}: a whiteout is no directory")
        place = self._root.directory(parent, self._make_parent)
        if base.startswith(_WHITEOUT):
            self._whiteout(place, base, name)
            return
        if entry.kind == tar.REGULAR:
            self._regular(place, base, entry)
            return
        path = place.child(base)
        if entry.kind == tar.DIRECTORY:
            self._make_directory(place, base, path)
            self._directory_attributes(place, path, base, entry)
            return
        if entry.kind == tar.HARD_LINK:
            self._hard_link(place, base, path, entry)
            return
        self._make_way(place, base, path)
        if entry.kind == tar.SYMLINK:
            if not entry.link:
                raise ImageError(f"{show(name)}: a symbolic link without a target")
            os.symlink(entry.link, base, dir_fd=place.fd)
        elif entry.kind == tar.FIFO:
            os.mkfifo(base, 0o600, dir_fd=place.fd)
        else:
            if entry.kind == tar.CHARACTER and entry.major == entry.minor == 0:
                raise ImageError(f"{show(name)}: a character device 0:0 is overlayfs' mark, not a file")
            kind = stat.S_IFCHR if entry.kind == tar.CHARACTER else stat.S_IFBLK
            os.mknod(base, kind | 0o600, os.makedev(entry.major, entry.minor), dir_fd=place.fd)
        os.chown(base, entry.uid, entry.gid, dir_fd=place.fd, follow_symlinks=False)
        if entry.kind != tar.SYMLINK:
            os.chmod(base, entry.mode, dir_fd=place.fd)
        if entry.xattrs:
            self._xattrs(_proc_path(place, base), entry.xattrs)
        os.utime(base, ns=_times(entry.mtime), dir_fd=place.fd, follow_symlinks=False)

    def _regular(self, place: Place, base: bytes, entry: Entry) -> None:
        try:
            fd = os.open(base, _CREATE, entry.mode & 0o777, dir_fd=place.fd)
        except FileExistsError:
            self._make_way(place, base, place.child(base))
            fd = os.open(base, _CREATE, entry.mode & 0o777, dir_fd=place.fd)
        try:
            size = entry.size
            if size:
                self.size += size
                if self.size > self._limits.size:
                    raise ImageError(
                        f"the layer holds more than {self._limits.size} bytes",
                        hint="raise COMPOSER_LAYER_LIMIT if it is meant to",
                    )
                if entry.sparse is not None:
                    self._write_sparse(fd, place, base, entry)
                else:
                    if self._split is not None:
                        raw = self._reader.raw
                        path = place.child(base)
                        self._split.file(raw or b"", path, size)
                        if raw is not None:
                            raw.clear()
                    whole = self._reader.whole_content()
                    for piece in self._reader.content() if whole is None else (whole,):
                        written = os.write(fd, piece)
                        while written < len(piece):
                            written += os.write(fd, piece[written:])
            elif entry.real_size:
                os.ftruncate(fd, entry.real_size)
            mode = entry.mode
            if entry.uid or entry.gid:
                os.fchown(fd, entry.uid, entry.gid)
            if mode & 0o7000 or mode & self._umask:
                os.fchmod(fd, mode)
            if entry.xattrs:
                self._xattrs(fd, entry.xattrs)
            os.utime(fd, ns=_times(entry.mtime))
        finally:
            os.close(fd)

    def _write_sparse(self, fd: int, place: Place, base: bytes, entry: Entry) -> None:
        self._unsplit.add(place.child(base))
        os.ftruncate(fd, entry.real_size)
        content = self._reader.record_content()
        piece = b""
        for offset, length in entry.sparse or ():
            position, left = offset, length
            while left:
                piece = piece or next(content)
                written = os.pwrite(fd, piece[:left], position)
                piece = piece[written:]
                position += written
                left -= written

    def _make_directory(self, place: Place, base: bytes, path: bytes) -> None:
        _check_depth(path)
        try:
            os.mkdir(base, 0o755, dir_fd=place.fd)
        except FileExistsError:
            found = os.stat(base, dir_fd=place.fd, follow_symlinks=False)
            if not stat.S_ISDIR(found.st_mode):
                self._make_way(place, base, path)
                os.mkdir(base, 0o755, dir_fd=place.fd)
                if is_whiteout(found):
                    # Removed below and made anew by the same layer: nothing of the old one shows through.
                    os.setxattr(_proc_path(place, base), OPAQUE_XATTRS[0], b"y", follow_symlinks=False)

    def _directory_attributes(self, place: Place, path: bytes, base: bytes, entry: Entry) -> None:
        os.chown(base, entry.uid, entry.gid, dir_fd=place.fd, follow_symlinks=False)
        if entry.mode & 0o7000:
            # A set-gid directory would hand its group on to what is still to come.
            self._modes[path] = entry.mode
        else:
            self._modes.pop(path, None)
            os.chmod(base, entry.mode, dir_fd=place.fd)
        if entry.xattrs:
            self._xattrs(_proc_path(place, base), entry.xattrs)
        self._times[path] = _times(entry.mtime)[0]
        self._implied.discard(path)

    def _hard_link(self, place: Place, base: bytes, path: bytes, entry: Entry) -> None:
        target = clean(entry.link)
        if target == path:
            return
        parent, _, target_base = target.rpartition(b"/")
        self._make_way(place, base, path)
        try:
            source = self._root.directory(parent)
            found = os.stat(target_base, dir_fd=source.fd, follow_symlinks=False)
        except (ImageError, FileNotFoundError):
            self._late_links.append(_LateLink(path, target))
            return
        if is_whiteout(found) or stat.S_ISDIR(found.st_mode):
            raise ImageError(f"{show(entry.name)}: a hard link to {show(target)}, which is no file")
        # Resolving the target may have dropped the descriptors that were known.
        place = self._root.directory(place.path)
        source = self._root.directory(parent)
        os.link(target_base, base, src_dir_fd=source.fd, dst_dir_fd=place.fd, follow_symlinks=False)

    def _whiteout(self, place: Place, base: bytes, name: bytes) -> None:
        if base == _OPAQUE:
            os.setxattr(f"/proc/self/fd/{place.fd}", OPAQUE_XATTRS[0], b"y")
            return
        hidden = base[len(_WHITEOUT) :]
        if hidden.startswith(_WHITEOUT):
            return  # AUFS again
        if hidden in (b"", b".", b".."):
            raise ImageError(f"{show(name)}: a whiteout of nothing")
        try:
            os.mknod(hidden, stat.S_IFCHR, 0, dir_fd=place.fd)
        except FileExistsError:
            found = os.stat(hidden, dir_fd=place.fd, follow_symlinks=False)
            if stat.S_ISDIR(found.st_mode):
                os.setxattr(_proc_path(place, hidden), OPAQUE_XATTRS[0], b"y", follow_symlinks=False)

    # Helpers

    def _make_parent(self, place: Place, base: bytes) -> bool:
        path = place.child(base)
        _check_depth(path)
        try:
            os.mkdir(base, 0o755, dir_fd=place.fd)
        except FileExistsError:
            found = os.stat(base, dir_fd=place.fd, follow_symlinks=False)
            if not is_whiteout(found):
                return False
            os.unlink(base, dir_fd=place.fd)
            os.mkdir(base, 0o755, dir_fd=place.fd)
            os.setxattr(_proc_path(place, base), OPAQUE_XATTRS[0], b"y", follow_symlinks=False)
        self._implied.add(path)
        return True

    def _make_way(self, place: Place, base: bytes, path: bytes) -> None:
        """Remove what stands where an entry goes; contents that tar.split refers to are kept aside."""
        try:
            found = os.stat(base, dir_fd=place.fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(found.st_mode):
            self._discard(place.fd, base, path, found)
            if stat.S_ISLNK(found.st_mode):
                self._refresh(place)
            return
        self._discard_tree(place.fd, base, path)
        for known in (self._times, self._modes):
            for inner in [key for key in known if key == path or key.startswith(path + b"/")]:
                del known[inner]
        self._implied = {key for key in self._implied if key != path and not key.startswith(path + b"/")}
        self._late_links = [link for link in self._late_links if not link.name.startswith(path + b"/")]
        self._refresh(place)

    def _refresh(self, place: Place) -> None:
        """Forget what is cached below the parent of something removed; *place* itself stays open."""
        self._root.forget(keep=place)

    def _discard(self, parent: int, base: bytes, path: bytes, found: os.stat_result) -> None:
        wanted = self._split is not None and stat.S_ISREG(found.st_mode) and found.st_size
        if not wanted or self._lost_directory is None or path in self._unsplit:
            os.unlink(base, dir_fd=parent)
            self._unsplit.discard(path)
            return
        self._lost_directory.mkdir(exist_ok=True)
        self._lost_count += 1
        os.rename(base, self._lost_directory / str(self._lost_count), src_dir_fd=parent)
        self.lost.setdefault(path.hex(), []).append(self._lost_count)

    def _discard_tree(self, parent: int, base: bytes, path: bytes) -> None:
        fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            for name in map(os.fsencode, os.listdir(fd)):
                found = os.stat(name, dir_fd=fd, follow_symlinks=False)
                if stat.S_ISDIR(found.st_mode):
                    self._discard_tree(fd, name, path + b"/" + name)
                else:
                    self._discard(fd, name, path + b"/" + name, found)
        finally:
            os.close(fd)
        os.rmdir(base, dir_fd=parent)

    def _xattrs(self, target: int | bytes, xattrs: dict[bytes, bytes]) -> None:
        for key, value in xattrs.items():
            name = os.fsdecode(key)
            if name.startswith(_IGNORED_XATTRS):
                continue
            try:
                if isinstance(target, int):
                    os.setxattr(target, name, value)
                else:
                    os.setxattr(target, name, value, follow_symlinks=False)
            except OSError as error:
                # A file system without this kind of attribute; others refuse nothing that root may set.
                if error.errno not in (errno.ENOTSUP, errno.EPERM):
                    raise

    def _copy_up(self, link: _LateLink, lower: Stack) -> None:
        found = lower.find(link.target)
        if found is None or stat.S_ISDIR(found[1].st_mode):
            raise ImageError(f"{show(link.name)}: a hard link to {show(link.target)}, which is in no layer")
        parent, _, base = link.target.rpartition(b"/")
        name_parent, _, name_base = link.name.rpartition(b"/")
        place = self._root.directory(parent, self._make_parent)
        try:
            os.stat(base, dir_fd=place.fd, follow_symlinks=False)
        except FileNotFoundError:
            copy_file(found[0], place.fd, base, found[1])
            self.size += found[1].st_size
        target = self._root.directory(name_parent)
        place = self._root.directory(parent)
        with suppress(FileExistsError):  # a later entry of that name wins
            os.link(base, name_base, src_dir_fd=place.fd, dst_dir_fd=target.fd, follow_symlinks=False)

    def _inherit(self, path: bytes, lower: Stack) -> None:
        """Give a directory that had no entry of its own what the layers below say about it."""
        found = lower.find(path)
        place = self._root.directory(path)
        target = f"/proc/self/fd/{place.fd}"
        if found is None or not stat.S_ISDIR(found[1].st_mode):
            os.chmod(target, 0o755)  # noqa: S103 - what a directory has that nobody described
            self._times.setdefault(path, 0)
            return
        status = found[1]
        os.chown(target, status.st_uid, status.st_gid)
        os.chmod(target, stat.S_IMODE(status.st_mode))
        self._times.setdefault(path, status.st_mtime_ns)


def copy_file(source: bytes, parent: int, base: bytes, status: os.stat_result) -> None:
    """Copy one non-directory with all it carries to *base* below the descriptor *parent*."""
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(source), base, dir_fd=parent)
    elif stat.S_ISREG(status.st_mode):
        reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            writing = os.open(base, _CREATE, 0o600, dir_fd=parent)
            try:
                while os.sendfile(writing, reading, None, 1 << 24):
                    pass
            finally:
                os.close(writing)
        finally:
            os.close(reading)
    else:
        os.mknod(base, status.st_mode, status.st_rdev, dir_fd=parent)
    os.chown(base, status.st_uid, status.st_gid, dir_fd=parent, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(base, stat.S_IMODE(status.st_mode), dir_fd=parent)
    path = b"/proc/self/fd/%d/" % parent + base
    for name in os.listxattr(source, follow_symlinks=False):
        if not name.startswith(_IGNORED_XATTRS):
            value = os.getxattr(source, name, follow_symlinks=False)
            os.setxattr(path, name, value, follow_symlinks=False)
    os.utime(base, ns=(status.st_mtime_ns,) * 2, dir_fd=parent, follow_symlinks=False)


def _check_depth(path: bytes) -> None:
    """No program can name a path beyond PATH_MAX, and trees without end stop those who walk them."""
    if len(path) > PATH_LIMIT or path.count(b"/") > DEPTH_LIMIT:
        raise ImageError(f"{show(path)}: directories are nested deeper than {DEPTH_LIMIT} levels")


def current_umask() -> int:
    """This process's umask, without changing it (umask(2) can only be read by setting); proc(5)."""
    with open("/proc/self/status", "rb") as file:
        for line in file:
            if line.startswith(b"Umask:"):
                return int(line.split()[1], 8)
    return 0o777


def _proc_path(place: Place, base: bytes) -> bytes:
    """A path to an entry of a directory that is only known by its descriptor, for calls without `*at`."""
    return b"/proc/self/fd/%d/" % place.fd + base


def _times(mtime: int) -> tuple[int, int]:
    clamped = max(-_TIME_LIMIT, min(mtime, _TIME_LIMIT))
    return clamped, clamped
