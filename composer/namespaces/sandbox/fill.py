"""Fill an empty volume with what the image has at its mount point, as it is there.

Owners, modes, times, extended attributes, symbolic and hard links and device nodes are kept. The copy is
made in place, under a lock, and a marker beside the data tells an interrupted copy from a finished one.
Lean: this runs in the shim, where the image is mounted.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

_CHUNK = 1 << 24


def fill_volume(directory: str, source: str) -> bool:
    """Copy the tree *source* into the volume whose own directory is *directory*, if it is empty.

    Args:
        directory: The volume's directory; its data is in `_data` below it.
        source: A directory in the image; must be resolved already, it is not followed as a link.

    Returns:
        Whether anything was copied.

    Raises:
        OSError: The disk is full, or *source* cannot be read.
    """
    data, marker = f"{directory}/_data", f"{directory}/filling"
    lock = os.open(f"{directory}/lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.exists(marker):
            _clear(data)
        elif _has_entries(data):
            return False
        status = os.lstat(source)
        if not stat.S_ISDIR(status.st_mode):
            return False
        os.close(os.open(marker, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
        copy_tree(source, data)
        os.unlink(marker)
        return True
    finally:
        os.close(lock)


def copy_tree(source: str, destination: str) -> None:
    """Copy what the directory *source* holds, and its metadata, into the existing *destination*."""
    _copy_directory(source, destination, {})


def _copy_directory(source: str, destination: str, seen: dict[tuple[int, int], str]) -> None:
    with os.scandir(source) as entries:
        for entry in entries:
            _copy_entry(entry.path, f"{destination}/{entry.name}", seen)
    _copy_metadata(source, destination, os.lstat(source))


def _copy_entry(source: str, target: str, seen: dict[tuple[int, int], str]) -> None:
    status = os.lstat(source)
    kind = stat.S_IFMT(status.st_mode)
    identity = (status.st_dev, status.st_ino)
    if kind != stat.S_IFDIR and status.st_nlink > 1:
        if identity in seen:
            os.link(seen[identity], target, follow_symlinks=False)
            return
        seen[identity] = target
    if kind == stat.S_IFDIR:
        os.mkdir(target, 0o700)
        _copy_directory(source, target, seen)
        return
    if kind == stat.S_IFREG:
        _copy_content(source, target)
    elif kind == stat.S_IFLNK:
        os.symlink(os.readlink(source), target)
    elif kind == stat.S_IFSOCK:
        return  # a socket without its server is nothing
    else:
        os.mknod(target, status.st_mode, status.st_rdev)
    _copy_metadata(source, target, status)


def _copy_content(source: str, target: str) -> None:
    reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        writer = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            while _copy_chunk(reader, writer):
                pass
        finally:
            os.close(writer)
    finally:
        os.close(reader)


def _copy_chunk(reader: int, writer: int) -> int:
    try:
        return os.copy_file_range(reader, writer, _CHUNK)
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        return os.sendfile(writer, reader, None, _CHUNK)


def _copy_metadata(source: str, target: str, status: os.stat_result) -> None:
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source, follow_symlinks=False):
        if name.startswith("trusted.overlay."):
            continue
        try:
            os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
        except OSError as error:
            # What the volume's file system does not know cannot be kept there.
            if error.errno not in (errno.EOPNOTSUPP, errno.EPERM):
                raise
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns), follow_symlinks=False)


def _has_entries(directory: str) -> bool:
    with os.scandir(directory) as entries:
        return next(entries, None) is not None


def _clear(directory: str) -> None:
    for current, directories, files in os.walk(directory, topdown=False):
        for name in files:
            os.unlink(f"{current}/{name}")
        for name in directories:
            path = f"{current}/{name}"
            if os.path.islink(path):
                os.unlink(path)
            else:
                os.rmdir(path)
