"""Whether this process lives in a chroot(2), which no container can be kept in."""

from __future__ import annotations

import os

from composer.namespaces.kernel import constants as c
from composer.namespaces.kernel import syscalls


def leave_chroot() -> bool:
    """Make the mount namespace's own root this process's root and working directory, as setns(2) does.

    Returns:
        Whether that is another directory than before. A container made there has the outer directories
        above its root, where `exec` would begin.

    Raises:
        OSError: CAP_SYS_CHROOT or CAP_SYS_ADMIN is missing.
    """
    before = _mount_of_root()
    namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(namespace, c.CLONE_NEWNS)
    finally:
        os.close(namespace)
    return _mount_of_root() != before


def _mount_of_root() -> bytes:
    """What /proc says of the root directory opened: the number of its mount is in it; see proc(5), fdinfo."""
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        with open(f"/proc/self/fdinfo/{root}", "rb", buffering=0) as file:
            return file.read()
    finally:
        os.close(root)
