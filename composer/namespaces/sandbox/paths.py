"""Paths inside a root that somebody else filled: every one is resolved by the kernel, inside that root.

See openat2(2) RESOLVE_IN_ROOT: absolute links and `..` end at the root, magic links are refused. A path
string is never opened twice; what was checked is the descriptor that is used.
"""

from __future__ import annotations

import errno
import os
import stat

from composer.namespaces.kernel import constants as c
from composer.namespaces.kernel import syscalls as sys_
from composer.namespaces.kernel.errors import KernelError, LaunchError

INSIDE = c.RESOLVE_IN_ROOT | c.RESOLVE_NO_MAGICLINKS


def open_inside(root: int, path: str, flags: int) -> int:
    """Open *path* below the directory *root*, following links inside it.

    Raises:
        KernelError: It does not exist, or leads through a magic link.
    """
    return sys_.openat2(root, path, flags, INSIDE)


def make_directory(root: int, path: str, mode: int = 0o755) -> int:
    """Open the directory *path* (O_PATH), making what is missing of it.

    Raises:
        LaunchError: A component is a file, or a link that leads nowhere.
    """
    flags = os.O_PATH | os.O_DIRECTORY
    clean = os.path.normpath("/" + path.lstrip("/"))
    try:
        return open_inside(root, clean, flags)
    except KernelError as error:
        if error.errno == errno.ENOTDIR:
            raise LaunchError(
                f"{path} is not a directory in the container, but something is mounted there that needs one",
                hint="mount a file on a file and a directory on a directory",
            ) from error
        if error.errno != errno.ENOENT:
            raise
    parent = make_directory(root, os.path.dirname(clean), mode)
    try:
        name = os.path.basename(clean)
        try:
            os.mkdir(name, mode, dir_fd=parent)
        except FileExistsError:
            if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise LaunchError(f"{clean} is a symbolic link to nothing in the container") from None
    finally:
        os.close(parent)
    return open_inside(root, clean, flags)


def make_file(root: int, path: str, mode: int = 0o644) -> int:
    """Open what is at *path* (O_PATH), making an empty file when nothing is there."""
    clean = os.path.normpath("/" + path.lstrip("/"))
    try:
        return open_inside(root, clean, os.O_PATH)
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise
    parent = make_directory(root, os.path.dirname(clean))
    try:
        name = os.path.basename(clean)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            os.close(os.open(name, flags, mode, dir_fd=parent))
        except FileExistsError:
            raise LaunchError(f"{clean} is a symbolic link to nothing in the container") from None
    finally:
        os.close(parent)
    return open_inside(root, clean, os.O_PATH)


def read_regular(root: int, path: str, limit: int = 1 << 20) -> bytes | None:
    """Content of a regular file below *root*, or None when it is missing, not regular, or over *limit*.

    Never blocks on a fifo and never reads a device: what a hostile image puts at /etc/passwd.
    """
    try:
        fd = open_inside(root, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except KernelError:
        return None
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            return None
        chunks = []
        size = 0
        while chunk := os.read(fd, 65536):
            size += len(chunk)
            if size > limit:
                return None
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(fd)
