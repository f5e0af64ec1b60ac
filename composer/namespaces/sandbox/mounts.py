"""Mounts of a container: made detached outside, attached inside, each at a target the kernel resolved.

A mount is a dictionary of the launch document (`composer.namespaces.launch`):

    {"kind": "fs", "fstype": ..., "target": ..., "options": [[key, value], ...], "attributes": MOUNT_ATTR_*}
    {"kind": "bind", "source": host path, "target": ..., "read_only": bool, "recursive": bool,
     "propagation": MS_*, "subpath": ..., "path": YAML path}
    {"kind": "tree", "layers": [...], "target": ..., "subpath": ...}       another image, read-only
    {"kind": "cgroup1", "target": ..., "controllers": {...}}               one directory per v1 hierarchy
"""

from __future__ import annotations

import errno
import os
import stat

from composer.namespaces.kernel import constants as c
from composer.namespaces.kernel import syscalls as sys_
from composer.namespaces.kernel.errors import KernelError, LaunchError
from composer.namespaces.sandbox import borrow, overlay, paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PROC_FILES = frozenset(
    f"/proc/{name}"
    for name in ("cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo")
)


def open_source(mount: dict[str, Any]) -> int:
    """Make the detached mount of a bind or an image tree, in the host's view.

    Raises:
        LaunchError: The source is missing.
    """
    where = mount.get("path", "")
    if mount["kind"] == "tree":
        tree = overlay.open_root(mount["layers"], "", "")
        return _below(tree, mount, where) if mount.get("subpath") else tree
    if "within" in mount:
        return _from_container(mount["within"], mount["source"])
    source = mount["source"]
    flags = c.OPEN_TREE_CLONE | (c.AT_RECURSIVE if mount.get("recursive", True) else 0)
    try:
        if subpath := mount.get("subpath"):
            base = os.open(source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                inner = paths.open_inside(base, subpath, os.O_PATH)
            finally:
                os.close(base)
            try:
                detached = sys_.open_tree(inner, "", flags | c.AT_EMPTY_PATH)
            finally:
                os.close(inner)
        else:
            detached = sys_.open_tree(c.AT_FDCWD, source, flags)
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise LaunchError(
                f"bind source path does not exist: {os.path.join(source, mount.get('subpath') or '')}",
                errno=errno.ENOENT,
                path=where,
            ) from error
        raise
    attributes = c.MOUNT_ATTR_RDONLY if mount.get("read_only") else 0
    attributes |= mount.get("attributes", 0)
    propagation = mount.get("propagation", c.MS_PRIVATE)
    recursive = c.AT_RECURSIVE if mount.get("recursive", True) else 0
    sys_.mount_setattr(detached, "", c.AT_EMPTY_PATH | recursive, add=attributes, propagation=propagation)
    return detached


def _from_container(pid: int, path: str) -> int:
    """A detached copy of a mount in the mount namespace of *pid*."""
    target = os.pidfd_open(pid)

    def copy() -> int:
        sys_.setns(target, c.CLONE_NEWNS)
        return sys_.open_tree(c.AT_FDCWD, path, c.OPEN_TREE_CLONE)

    try:
        return borrow.from_child(copy, flags=0, call="open_tree", path=path)
    finally:
        os.close(target)


def _below(tree: int, mount: dict[str, Any], where: str) -> int:
    """A detached copy of a directory of *tree*, which is closed.

    A tree that is attached nowhere can be cloned since Linux 6.15 only, hence the child that attaches it.
    """
    subpath = mount["subpath"]

    def copy() -> int:
        sys_.mount("", "/", "", c.MS_REC | c.MS_PRIVATE)
        root = os.open("/tmp", os.O_PATH | os.O_DIRECTORY)  # noqa: S108 - nobody else sees this place
        sys_.move_mount(tree, root)
        inner = paths.open_inside(tree, subpath, os.O_PATH)
        return sys_.open_tree(inner, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH)

    try:
        return borrow.from_child(copy, flags=c.CLONE_NEWNS, call="openat2", path=subpath)
    except KernelError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EXDEV):
            raise
        raise LaunchError(
            f"{subpath} does not exist in the image", errno=error.errno or 0, path=where
        ) from error
    finally:
        os.close(tree)


def attach(root: int, detached: int, mount: dict[str, Any]) -> None:
    """Attach *detached* at the mount's target below *root*, and close it.

    Raises:
        LaunchError: The target is not allowed, or a file where a directory is needed.
    """
    target = os.path.normpath("/" + mount["target"].lstrip("/"))
    check_target(target, mount)
    directory = stat.S_ISDIR(os.fstat(detached).st_mode)
    at = paths.make_directory(root, target) if directory else paths.make_file(root, target)
    try:
        if not directory and stat.S_ISDIR(os.fstat(at).st_mode):
            raise LaunchError(
                f"{target} is a directory in the container, but a file is mounted there",
                path=mount.get("path", ""),
                hint="mount a file on a file and a directory on a directory",
            )
        sys_.move_mount(detached, at)
    finally:
        os.close(at)
        os.close(detached)


def check_target(target: str, mount: dict[str, Any]) -> None:
    """Refuse targets that would let a mount replace the container's root or its /proc.

    Raises:
        LaunchError: See above.
    """
    own = mount["kind"] == "fs" and mount["fstype"] == "proc" and target == "/proc"
    inside_proc = (target == "/proc" or target.startswith("/proc/")) and target not in _PROC_FILES
    if target == "/" or (inside_proc and not own):
        raise LaunchError(
            f"invalid mount target {target}: it cannot be mounted over", path=mount.get("path", "")
        )


def make_filesystem(mount: dict[str, Any]) -> int:
    """A new file system (proc, tmpfs, devpts, ...) as a detached mount."""
    context = sys_.fsopen(mount["fstype"])
    try:
        sys_.fsconfig_string(context, "source", mount.get("source") or mount["fstype"])
        for key, value in mount.get("options", ()):
            if value is None:
                sys_.fsconfig_flag(context, key)
            else:
                sys_.fsconfig_string(context, key, value)
        return sys_.fsmount(context, mount.get("attributes", 0))
    except KernelError as error:
        if error.errno == errno.EINVAL and mount.get("path"):
            raise LaunchError(
                f"{mount['fstype']} at {mount['target']}: {error}", errno=errno.EINVAL, path=mount["path"]
            ) from error
        raise
    finally:
        os.close(context)


def mount_filesystem(root: int, mount: dict[str, Any]) -> None:
    """Make and attach a new file system; a plain tmpfs takes mode and owner of the directory it covers."""
    target = mount["target"]
    if mount.get("like_target"):
        try:
            fd = paths.open_inside(root, target, os.O_PATH | os.O_DIRECTORY)
        except KernelError:
            pass
        else:
            found = os.fstat(fd)
            os.close(fd)
            keys = {key for key, _ in mount.get("options", ())}
            own = [
                ("mode", f"{stat.S_IMODE(found.st_mode):o}"),
                ("uid", str(found.st_uid)),
                ("gid", str(found.st_gid)),
            ]
            options = [*mount.get("options", ()), *([k, v] for k, v in own if k not in keys)]
            mount = {**mount, "options": options}
    if mount["fstype"] in ("proc", "sysfs"):
        _refuse_link(root, target)
    attach(root, make_filesystem(mount), mount)


def _refuse_link(root: int, target: str) -> None:
    """/proc and /sys must be real directories: a link in the image would send them elsewhere."""
    try:
        found = os.stat(target.lstrip("/"), dir_fd=root, follow_symlinks=False)
    except OSError:
        return
    if not stat.S_ISDIR(found.st_mode):
        raise LaunchError(f"{target} is not a directory in the image")


def mask(root: int, masked: list[str], null: int) -> None:
    """Hide paths: a directory below an empty read-only tmpfs, a file below /dev/null.

    Args:
        root: The container's root directory.
        masked: Absolute paths; those that do not exist are skipped.
        null: A descriptor that was checked to be the null device.
    """
    empty = -1
    for path in masked:
        try:
            at = paths.open_inside(root, path, os.O_PATH)
        except KernelError:
            continue
        if stat.S_ISDIR(os.fstat(at).st_mode):
            if empty < 0:
                empty = make_filesystem(
                    {
                        "fstype": "tmpfs",
                        "options": [["nr_blocks", "1"], ["nr_inodes", "2"], ["mode", "755"]],
                        "attributes": c.MOUNT_ATTR_RDONLY
                        | c.MOUNT_ATTR_NOSUID
                        | c.MOUNT_ATTR_NODEV
                        | c.MOUNT_ATTR_NOEXEC,
                    }
                )
                # The first goes in itself: before Linux 6.15 only an attached mount can be cloned.
                cover = os.dup(empty)
            else:
                cover = sys_.open_tree(empty, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH)
        else:
            cover = sys_.open_tree(null, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH)
        sys_.move_mount(cover, at)
        os.close(cover)
        os.close(at)
    if empty >= 0:
        os.close(empty)


def make_read_only(root: int, read_only: list[str]) -> None:
    """Bind paths onto themselves, read-only; those that do not exist are skipped."""
    for path in read_only:
        try:
            at = paths.open_inside(root, path, os.O_PATH)
        except KernelError:
            continue
        copy = sys_.open_tree(at, "", c.OPEN_TREE_CLONE | c.AT_EMPTY_PATH | c.AT_RECURSIVE)
        sys_.mount_setattr(copy, "", c.AT_EMPTY_PATH | c.AT_RECURSIVE, add=c.MOUNT_ATTR_RDONLY)
        sys_.move_mount(copy, at)
        os.close(copy)
        os.close(at)


def mount_cgroup1(root: int, mount: dict[str, Any]) -> None:
    """/sys/fs/cgroup of a v1 host: a tmpfs with one cgroup mount per hierarchy, all read-only.

    The caller is in its own cgroup namespace, so each mount shows the container's own directory as root.
    """
    common = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC
    target = mount["target"]
    attach(
        root,
        make_filesystem({"fstype": "tmpfs", "options": [["mode", "755"]], "attributes": common}),
        mount,
    )
    for name, controllers in mount["hierarchies"]:
        options: list[list[str | None]] = [[key, None] for key in controllers if "=" not in key]
        options += [[key.partition("=")[0], key.partition("=")[2]] for key in controllers if "=" in key]
        single = {
            "kind": "fs",
            "fstype": "cgroup2" if name == "unified" else "cgroup",
            "target": f"{target}/{name}",
            "options": [] if name == "unified" else options,
            "attributes": common | mount["read_only"],
        }
        attach(root, make_filesystem(single), single)
    top = paths.open_inside(root, target, os.O_PATH | os.O_DIRECTORY)
    if mount["read_only"]:
        sys_.mount_setattr(top, "", c.AT_EMPTY_PATH, add=c.MOUNT_ATTR_RDONLY)
    os.close(top)
