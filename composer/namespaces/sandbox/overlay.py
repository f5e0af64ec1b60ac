"""The root file system: image layers below, the container's own writable directory on top.

See the kernel's Documentation/filesystems/overlayfs.rst. The mount is made detached, before the container's
process exists, and attached inside its mount namespace: the host never sees it, and a crash leaves nothing.
"""

from __future__ import annotations

import errno
import os

from composer.namespaces.kernel import constants as c
from composer.namespaces.kernel import syscalls as sys_
from composer.namespaces.kernel.errors import KernelError, LaunchError

MAX_LAYERS = 500
_MAX_STRING = 255
_OPTIONS = ("index=off", "xino=off", "metacopy=off", "redirect_dir=off")


def open_root(layers: list[str], upper: str, work: str, *, volatile: bool = False) -> int:
    """Mount *layers* (lowest first) with *upper* on top; returns the detached mount.

    Args:
        layers: Directories, at least one.
        upper: Directory that takes the changes; empty for a read-only tree.
        work: Empty directory on the file system of *upper*.
        volatile: Never sync; what a crash interrupts must be thrown away.

    Raises:
        LaunchError: A layer is missing, or there are more than the kernel can stack.
        KernelError: The kernel refused.
    """
    if len(layers) > MAX_LAYERS:
        raise LaunchError(f"the image has {len(layers)} layers, the kernel stacks at most {MAX_LAYERS}")
    for layer in layers:
        if not os.path.isdir(layer):
            raise LaunchError(
                f"image layer {layer} is missing", hint="pull or import the image again", errno=errno.ENOENT
            )
    if len(layers) == 1 and not upper:
        mount = sys_.open_tree(c.AT_FDCWD, layers[0], c.OPEN_TREE_CLONE)
        sys_.mount_setattr(mount, "", c.AT_EMPTY_PATH, add=c.MOUNT_ATTR_RDONLY, propagation=c.MS_PRIVATE)
        return mount
    opened: list[int] = []
    context = sys_.fsopen("overlay")
    try:
        sys_.fsconfig_string(context, "source", "overlay")
        for layer in reversed(layers):
            sys_.fsconfig_string(context, "lowerdir+", _short(layer, opened))
        if upper:
            sys_.fsconfig_string(context, "upperdir", _short(upper, opened))
            sys_.fsconfig_string(context, "workdir", _short(work, opened))
        for option in _OPTIONS:
            key, _, value = option.partition("=")
            sys_.fsconfig_string(context, key, value)
        if volatile and upper:
            sys_.fsconfig_flag(context, "volatile")
        return sys_.fsmount(context)
    except KernelError as error:
        if error.errno in (errno.EINVAL, errno.ENOSYS) and "lowerdir+" in error.subject:
            raise LaunchError(
                "this kernel's overlayfs takes no single layers",
                kind="unsupported",
                errno=error.errno,
                hint="composer needs Linux 6.7 or later",
            ) from error
        raise
    finally:
        os.close(context)
        for fd in opened:
            os.close(fd)


def _short(path: str, opened: list[int]) -> str:
    """*path*, or its name in /proc when it is too long for fsconfig(2)."""
    if len(os.fsencode(path)) <= _MAX_STRING:
        return path
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    opened.append(fd)
    return f"/proc/self/fd/{fd}"
