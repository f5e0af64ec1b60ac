"""A new volume takes what the image has at its place: files, owners, modes, times, xattrs, links.

Read through the image's own tree by descriptors, before the container exists, and at most once: the copy is
made under a lock on the volume, and only when the volume is empty.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from composer.namespaces.kernel.errors import KernelError
from composer.namespaces.sandbox import paths

_BLOCK = 1 << 20


def fill_volume(root: int, target: str, volume: str) -> bool:
    """Copy the directory *target* of the tree *root* into *volume* when that is empty.

    Returns:
        Whether anything was copied.
    """
    with_names = os.open(volume, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(with_names, fcntl.LOCK_EX)
        if os.listdir(with_names):
            return False
        try:
            source = paths.open_inside(root, target, os.O_RDONLY | os.O_DIRECTORY)
        except KernelError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return False
            raise
        try:
            copied = _copy_tree(source, with_names)
            _copy_attributes(source, with_names)
        finally:
            os.close(source)
        return copied
    finally:
        os.close(with_names)


def _copy_tree(source: int, target: int) -> bool:
    names = os.listdir(source)
    for name in names:
        found = os.stat(name, dir_fd=source, follow_symlinks=False)
        kind = stat.S_IFMT(found.st_mode)
        if kind == stat.S_IFDIR:
            inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
            os.mkdir(name, 0o700, dir_fd=target)
            made = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target)
            try:
                _copy_tree(inner, made)
                _copy_attributes(inner, made)
            finally:
                os.close(inner)
                os.close(made)
        elif kind == stat.S_IFLNK:
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
        elif kind == stat.S_IFREG:
            _copy_file(source, target, name)
        elif kind in (stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK):
            os.mknod(name, found.st_mode, found.st_rdev, dir_fd=target)
            os.chown(name, found.st_uid, found.st_gid, dir_fd=target, follow_symlinks=False)
    return bool(names)


def _copy_file(source: int, target: int, name: str) -> None:
    reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    writer = os.open(name, flags, 0o600, dir_fd=target)
    try:
        while os.sendfile(writer, reader, None, _BLOCK):
            pass
        _copy_attributes(reader, writer)
    finally:
        os.close(reader)
        os.close(writer)


def _copy_attributes(source: int, target: int) -> None:
    found = os.fstat(source)
    os.fchown(target, found.st_uid, found.st_gid)
    os.fchmod(target, stat.S_IMODE(found.st_mode))
    for name in os.listxattr(source):
        if name.startswith("trusted.overlay."):
            continue
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EPERM):
                raise
    os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))
