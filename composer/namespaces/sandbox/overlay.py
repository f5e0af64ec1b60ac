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
from composer.namespaces.sandbox import borrow

MAX_LAYERS = 500
_MAX_STRING = 255
_LOWERDIR_ADD = (6, 7)
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
    if not _single_layers():
        return _classic(layers, upper, work, volatile=volatile)
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
    finally:
        os.close(context)
        for fd in opened:
            os.close(fd)


def _single_layers() -> bool:
    """Whether overlayfs takes layers one by one (`lowerdir+`): since Linux 6.7."""
    numbers = ["".join(filter(str.isdigit, part)) for part in os.uname().release.split(".")[:2]]
    return tuple(map(int, numbers)) >= _LOWERDIR_ADD


def _short(path: str, opened: list[int]) -> str:
    """*path*, or its name in /proc when it is too long for fsconfig(2)."""
    if len(os.fsencode(path)) <= _MAX_STRING:
        return path
    return _descriptor(path, opened)


def _classic(layers: list[str], upper: str, work: str, *, volatile: bool) -> int:
    """The same by mount(2), whose options are one page: a child mounts in a namespace of its own."""

    def mount() -> int:
        sys_.mount("", "/", "", c.MS_REC | c.MS_PRIVATE)
        return _mount_here(layers, upper, work, volatile=volatile)

    try:
        return borrow.from_child(mount, flags=c.CLONE_NEWNS, call="mount", path="overlay")
    except KernelError as error:
        if error.errno != errno.E2BIG:
            raise
        raise LaunchError(
            f"this kernel cannot stack {len(layers)} layers",
            kind="unsupported",
            hint="use Linux 6.7 or later",
        ) from error


def _mount_here(layers: list[str], upper: str, work: str, *, volatile: bool) -> int:
    """Mount in this process's own namespace, by descriptors opened in it: their names are short."""
    opened: list[int] = []
    lower = ":".join(_descriptor(layer, opened) for layer in reversed(layers))
    options = [f"lowerdir={lower}", *_OPTIONS]
    if upper:
        options += [f"upperdir={_descriptor(upper, opened)}", f"workdir={_descriptor(work, opened)}"]
    if volatile and upper:
        options.append("volatile")
    data = ",".join(options)
    if len(data) >= os.sysconf("SC_PAGE_SIZE"):
        raise OSError(errno.E2BIG, "too many layers")
    sys_.mount("overlay", "/tmp", "overlay", 0, data)  # noqa: S108 - nobody else sees this place
    return sys_.open_tree(c.AT_FDCWD, "/tmp", c.OPEN_TREE_CLONE)  # noqa: S108


def _descriptor(path: str, opened: list[int]) -> str:
    fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    opened.append(fd)
    return f"/proc/self/fd/{fd}"
