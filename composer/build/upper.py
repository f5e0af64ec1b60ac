"""Writing a new layer's directory (overlayfs upper form) for a step that runs nothing: COPY, ADD, WORKDIR.

Every directory that is written into is made or checked here first, so no link in the image or in what is
copied can lead outside. Directories of the image that get new entries are laid again with the metadata they
have, because the upper directory's metadata is what counts.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from typing import TYPE_CHECKING

from composer.build.tree import LayeredTree, resolve
from composer.errors import BuildError
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_CHUNK = 1 << 30
_DROPPED_XATTRS = ("trusted.overlay.", "user.overlay.", "security.selinux")


@frozen
class Owner:
    """Numbers for chown(2)."""

    uid: int
    gid: int


class Overlaid:
    """The image with what the step has written so far; such a step removes nothing.

    Args:
        path: The step's directory.
        lower: The image.
    """

    title = "the image"

    def __init__(self, path: str, lower: LayeredTree) -> None:
        self._path = path
        self._lower = lower

    def lstat(self, path: str) -> os.stat_result | None:
        """See `composer.build.tree.Tree`."""
        try:
            return os.lstat(f"{self._path}/{path}" if path else self._path)
        except FileNotFoundError:
            return self._lower.lstat(path)
        except NotADirectoryError:
            return None

    def listdir(self, path: str) -> list[str]:
        """See `composer.build.tree.Tree`."""
        names: set[str] = set()
        if self._lower.lstat(path) is not None:
            names.update(self._lower.listdir(path))
        with contextlib.suppress(FileNotFoundError):
            names.update(os.listdir(f"{self._path}/{path}"))
        return sorted(names, key=os.fsencode)

    def host_path(self, path: str) -> str:
        """See `composer.build.tree.Tree`."""
        own = f"{self._path}/{path}" if path else self._path
        return own if os.path.lexists(own) else self._lower.host_path(path)


class UpperDirectory:
    """A layer in the making.

    Args:
        path: Its empty directory.
        lower: The image's layers, lowest first.
        independent: Nothing of the image is looked at (`--link`).
        clamp: Seconds since the epoch that no time in the layer may exceed, or None.
    """

    def __init__(
        self, path: str, lower: Sequence[str], *, independent: bool = False, clamp: int | None = None
    ) -> None:
        self.path = path
        self.clamp = clamp
        self._lower = LayeredTree(() if independent else lower)
        self.merged = Overlaid(path, self._lower)
        self._ready = {""}
        self._times: dict[str, tuple[int, int]] = {}
        self._links: dict[tuple[int, int, int], str] = {}
        if not independent:
            self._copy_root(lower)

    def _copy_root(self, lower: Sequence[str]) -> None:
        if lower:
            found = os.lstat(lower[-1])
            os.chown(self.path, found.st_uid, found.st_gid)
            os.chmod(self.path, stat.S_IMODE(found.st_mode))
            self._times[""] = (found.st_atime_ns, found.st_mtime_ns)

    def resolve(self, path: str, *, last: bool = True) -> str:
        """Follow the links in a destination, inside the image."""
        return resolve(self.merged, path, last=last)

    def is_directory(self, path: str) -> bool:
        """Whether *path* (resolved) is one."""
        found = self.merged.lstat(path) if path else None
        return not path or (found is not None and stat.S_ISDIR(found.st_mode))

    def make_directories(self, path: str, owner: Owner, mode: int) -> None:
        """Make *path* and its missing parents with *owner* and *mode*; those that exist stay as they are.

        Raises:
            BuildError: Something in the way is no directory.
        """
        if path in self._ready:
            return
        self.make_directories(path.rpartition("/")[0], owner, mode)
        host = f"{self.path}/{path}"
        found = self.merged.lstat(path)
        if found is None:
            os.mkdir(host)
            os.chown(host, owner.uid, owner.gid)
            os.chmod(host, mode)
        elif not stat.S_ISDIR(found.st_mode):
            raise BuildError(f"/{path} is not a directory")
        else:
            self._lay_again(path, host, found)
        self._ready.add(path)

    def _lay_again(self, path: str, host: str, found: os.stat_result) -> None:
        try:
            os.mkdir(host)
        except FileExistsError:
            return
        source = self._lower.host_path(path)
        os.chown(host, found.st_uid, found.st_gid)
        os.chmod(host, stat.S_IMODE(found.st_mode))
        copy_xattrs(source, host)
        self._times[path] = (found.st_atime_ns, found.st_mtime_ns)

    def add_directory(
        self, path: str, found: os.stat_result, owner: Owner, mode: int, source: str = ""
    ) -> None:
        """A directory of a copied tree: merged into what is there, taking the new metadata.

        Raises:
            BuildError: Something that is no directory is there, or in a parent's place.
        """
        self.make_directories(path, owner, mode)
        host = f"{self.path}/{path}"
        os.chown(host, owner.uid, owner.gid)
        os.chmod(host, mode)
        if source:
            copy_xattrs(source, host)
        self._times[path] = (found.st_mtime_ns, found.st_mtime_ns)

    def add_entry(
        self, path: str, source: str, found: os.stat_result, owner: Owner, mode: int, *, xattrs: bool
    ) -> None:
        """Copy what is no directory, from *source* on this machine, replacing a file or link of that name.

        Raises:
            BuildError: A directory of that name is there, or it cannot be read.
        """
        host = self._place(path)
        key = (found.st_dev, found.st_ino, owner.uid)
        if found.st_nlink > 1 and key in self._links:
            os.link(self._links[key], host, follow_symlinks=False)
            return
        if stat.S_ISREG(found.st_mode):
            copy_content(source, host, found)
        elif stat.S_ISLNK(found.st_mode):
            os.symlink(os.readlink(source), host)
        elif stat.S_ISFIFO(found.st_mode):
            os.mkfifo(host)
        elif stat.S_ISCHR(found.st_mode) or stat.S_ISBLK(found.st_mode):
            os.mknod(host, found.st_mode, found.st_rdev)
        else:
            raise BuildError(f"{source} is a socket, which an image cannot hold")
        if found.st_nlink > 1:
            self._links[key] = host
        self._finish(host, owner, None if stat.S_ISLNK(found.st_mode) else mode)
        if xattrs:
            copy_xattrs(source, host)
        self._set_times(host, found.st_mtime_ns)

    def add_bytes(self, path: str, data: bytes, owner: Owner, mode: int, mtime: int | None = None) -> None:
        """A file with *data*; *mtime* in nanoseconds, None for now.

        Raises:
            BuildError: A directory of that name is there.
        """
        host = self._place(path)
        with open(host, "xb") as file:
            file.write(data)
        self._finish(host, owner, mode)
        if mtime is not None:
            self._set_times(host, mtime)

    def place(self, path: str) -> str:
        """Make room for a member of an archive that is no directory, and say where on this machine it goes.

        Unlike a copied file it takes the place of a whole directory, as tar programs do it.
        """
        host = f"{self.path}/{path}"
        if os.path.isdir(host) and not os.path.islink(host):
            shutil.rmtree(host)
            prefix = f"{path}/"
            self._ready = {name for name in self._ready if name != path and not name.startswith(prefix)}
            self._times = {
                name: times
                for name, times in self._times.items()
                if name != path and not name.startswith(prefix)
            }
        with contextlib.suppress(FileNotFoundError):
            os.unlink(host)
        return host

    def finish(
        self,
        host: str,
        owner: Owner,
        mode: int | None,
        mtime: int,
        xattrs: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Owner, mode, extended attributes and time (nanoseconds) of something that `place` made room for."""
        self._finish(host, owner, mode)
        for name, value in (xattrs or {}).items():
            if not os.fsdecode(name).startswith(_DROPPED_XATTRS):
                os.setxattr(host, name, value, follow_symlinks=False)
        self._set_times(host, mtime)

    def replace_with_directory(self, path: str) -> None:
        """Put a directory where a file or link is."""
        host = f"{self.path}/{path}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(host)
        os.mkdir(host)

    def set_directory(self, path: str, owner: Owner, mode: int) -> None:
        """Give a directory of the layer other metadata."""
        host = f"{self.path}/{path}"
        os.chown(host, owner.uid, owner.gid)
        os.chmod(host, mode)

    def set_directory_time(self, path: str, mtime: int) -> None:
        """Its time (nanoseconds), set when the layer is closed."""
        self._times[path] = (mtime, mtime)

    def add_hard_link(self, path: str, target: str) -> None:
        """Make *path* one more name of *target*, which is copied up when the image below has it.

        Raises:
            BuildError: There is no such target, or it is a directory.
        """
        found = self.merged.lstat(target)
        if found is None or stat.S_ISDIR(found.st_mode):
            raise BuildError(f"hard link /{path} has no target /{target}")
        if not os.path.lexists(f"{self.path}/{target}"):
            self.add_entry(
                target,
                self._lower.host_path(target),
                found,
                Owner(found.st_uid, found.st_gid),
                stat.S_IMODE(found.st_mode),
                xattrs=True,
            )
        os.link(f"{self.path}/{target}", self._place(path), follow_symlinks=False)

    def forget_links(self) -> None:
        """Hard links are kept within one source only."""
        self._links.clear()

    def close(self) -> None:
        """Set the times of directories, deepest first, and clamp everything that is too new."""
        for path in sorted(self._times, key=lambda path: path.count("/") + bool(path), reverse=True):
            os.utime(f"{self.path}/{path}", ns=self._times[path])
        if self.clamp is not None:
            clamp_times(self.path, self.clamp)

    def _place(self, path: str) -> str:
        if not path:
            raise BuildError("a file cannot take the place of the root directory")
        self.make_directories(path.rpartition("/")[0], Owner(0, 0), 0o755)
        found = self.merged.lstat(path)
        if found is not None and stat.S_ISDIR(found.st_mode):
            raise BuildError(f"/{path} is a directory: a file cannot replace it")
        host = f"{self.path}/{path}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(host)
        return host

    def _finish(self, host: str, owner: Owner, mode: int | None) -> None:
        os.chown(host, owner.uid, owner.gid, follow_symlinks=False)
        if mode is not None:
            os.chmod(host, mode)

    def _set_times(self, host: str, mtime: int) -> None:
        os.utime(host, ns=(mtime, mtime), follow_symlinks=False)


def copy_content(source: str, target: str, found: os.stat_result) -> None:
    """Copy a regular file's bytes; holes stay holes, and the file system may share the blocks."""
    reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(reading).st_mode):
            raise BuildError(f"{source} is no longer a regular file")
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if found.st_blocks * 512 < found.st_size:
                _copy_sparse(reading, writing, found.st_size)
            else:
                _copy_range(reading, writing, 0, None)
        finally:
            os.close(writing)
    finally:
        os.close(reading)


def _copy_sparse(reading: int, writing: int, size: int) -> None:
    position = 0
    while position < size:
        try:
            start = os.lseek(reading, position, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                break
            raise
        end = os.lseek(reading, start, os.SEEK_HOLE)
        _copy_range(reading, writing, start, end - start)
        position = end
    os.ftruncate(writing, size)


def _copy_range(reading: int, writing: int, start: int, length: int | None) -> None:
    """Copy *length* bytes (None: to the end) at *start*; copy_file_range(2), or read and write."""
    position = start
    left = length
    while left is None or left > 0:
        wanted = _CHUNK if left is None else min(left, _CHUNK)
        try:
            count = os.copy_file_range(reading, writing, wanted, position, position)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            data = os.pread(reading, min(wanted, 1 << 20), position)
            count = os.pwrite(writing, data, position) if data else 0
        if not count:
            return
        position += count
        left = None if left is None else left - count


def copy_xattrs(source: str, target: str) -> None:
    """Copy extended attributes, except those that belong to overlayfs or to this machine's labels."""
    try:
        names = os.listxattr(source, follow_symlinks=False)
    except OSError:
        return
    for name in names:
        if not name.startswith(_DROPPED_XATTRS):
            value = os.getxattr(source, name, follow_symlinks=False)
            os.setxattr(target, name, value, follow_symlinks=False)


def clamp_times(root: str, limit: int) -> None:
    """Set every modification time below *root* that is later than *limit* (seconds) to it."""
    nanoseconds = limit * 1_000_000_000
    for directory, names, files in os.walk(root, topdown=False):
        for name in (*names, *files):
            path = f"{directory}/{name}"
            if os.lstat(path).st_mtime_ns > nanoseconds:
                os.utime(path, ns=(nanoseconds, nanoseconds), follow_symlinks=False)
    if os.lstat(root).st_mtime_ns > nanoseconds:
        os.utime(root, ns=(nanoseconds, nanoseconds))
