"""Device nodes and the pseudo terminal; see runtime-reference A.3.7 and mknod(2), pts(4)."""

from __future__ import annotations

import fcntl
import os
import stat
import struct

from composer.namespaces.kernel import constants as c
from composer.namespaces.kernel import syscalls as sys_
from composer.namespaces.kernel.errors import KernelError, LaunchError
from composer.namespaces.sandbox import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NODES = (
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
)
_LINKS = (
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
)


def fill_dev(root: int, extra: list[dict[str, Any]]) -> None:
    """Make the default nodes and links in the fresh tmpfs at /dev, then the devices that were asked for."""
    dev = paths.open_inside(root, "/dev", os.O_RDONLY | os.O_DIRECTORY)
    umask = os.umask(0)
    try:
        for name, major, minor in NODES:
            os.mknod(name, stat.S_IFCHR | 0o666, os.makedev(major, minor), dir_fd=dev)
        for target, name in _LINKS:
            os.symlink(target, name, dir_fd=dev)
        if os.path.exists("/proc/kcore"):
            os.symlink("/proc/kcore", "core", dir_fd=dev)
        for device in extra:
            make(root, device)
    finally:
        os.umask(umask)
        os.close(dev)


def make(root: int, device: dict[str, Any]) -> None:
    """Make one device node that was asked for, replacing what is there."""
    target = os.path.normpath(device["target"])
    parent = paths.make_directory(root, os.path.dirname(target))
    kind = stat.S_IFBLK if device["type"] == "b" else stat.S_IFCHR
    name = os.path.basename(target)
    try:
        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            raise LaunchError(f"device target {target} is a directory in the container") from None
        os.mknod(name, kind | device["mode"], os.makedev(device["major"], device["minor"]), dir_fd=parent)
        os.chown(name, device["uid"], device["gid"], dir_fd=parent, follow_symlinks=False)
    finally:
        os.close(parent)


def open_null(root: int) -> int:
    """The container's null device, checked to be one: masks are made of it."""
    fd = paths.open_inside(root, "/dev/null", os.O_PATH)
    found = os.fstat(fd)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != os.makedev(1, 3):
        os.close(fd)
        raise LaunchError("/dev/null in the container is not the null device")
    return fd


def open_terminal(root: int) -> tuple[int, int]:
    """(master, slave) of a new pseudo terminal of the container's own devpts.

    The slave comes from the master by TIOCGPTPEER: no path that the container could change is opened.
    """
    try:
        ptmx = sys_.openat2(
            root, "dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY, c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS
        )
    except KernelError as error:
        raise LaunchError(f"no pseudo terminal: {error}", errno=error.errno or 0) from error
    fcntl.ioctl(ptmx, c.TIOCSPTLCK, struct.pack("i", 0))
    slave = fcntl.ioctl(ptmx, c.TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY)
    return ptmx, int(slave)


def bind_console(root: int, slave: int) -> None:
    """Put the terminal's slave on /dev/console."""
    at = paths.make_file(root, "/dev/console", 0o600)
    copy = sys_.open_tree(slave, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH)
    try:
        sys_.move_mount(copy, at)
    finally:
        os.close(copy)
        os.close(at)
