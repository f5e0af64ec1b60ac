"""Takes out of a RUN's upper directory what the runtime put there: mount points that had to be made.

The step's process may have changed anything below its root, so nothing here follows a link, and only empty
directories and empty files are removed.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from composer.build.tree import LayeredTree, Tree, is_opaque, resolve
from composer.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable

RUNTIME_PATHS = (
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/mtab",
)
"""What an engine may make in any container."""

_IGNORED_XATTRS = ("trusted.overlay.", "user.overlay.", "security.selinux")


def made_paths(tree: Tree, targets: Iterable[str]) -> list[str]:
    """Paths that the image lacks, and that making these mount points will create; deepest first.

    Args:
        tree: The image.
        targets: Mount points besides those of every container.
    """
    made: dict[str, None] = {}
    for target in (*RUNTIME_PATHS, *targets):
        try:
            path = resolve(tree, target)
        except BuildError:
            continue
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            part = "/".join(parts[:depth])
            if tree.lstat(part) is None:
                made[part] = None
    return sorted(made, key=lambda path: path.count("/"), reverse=True)


def tidy(upper: str, tree: LayeredTree, made: Iterable[str]) -> None:
    """Remove *made* from *upper* where it is still empty, and parents that were only copied up for it."""
    root = os.open(upper, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        parents = {path.rpartition("/")[0] for path in made} | {"etc"}
        for path in made:
            _remove_empty(root, path)
        for path in sorted(parents, key=lambda path: path.count("/"), reverse=True):
            current = path
            while current and _is_only_parent(root, upper, tree, current) and _remove_empty(root, current):
                current = current.rpartition("/")[0]
    finally:
        os.close(root)


def _open_parent(root: int, path: str) -> tuple[int, str] | None:
    """A descriptor of the directory that holds *path*, walking without following any link."""
    *parts, name = path.split("/")
    current = os.dup(root)
    for part in parts:
        try:
            following = os.open(
                part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current
            )
        except OSError:
            os.close(current)
            return None
        os.close(current)
        current = following
    return current, name


def _remove_empty(root: int, path: str) -> bool:
    opened = _open_parent(root, path)
    if opened is None:
        return False
    parent, name = opened
    try:
        found = os.lstat(name, dir_fd=parent)
        if stat.S_ISDIR(found.st_mode):
            os.rmdir(name, dir_fd=parent)
        elif stat.S_ISREG(found.st_mode) and not found.st_size:
            os.unlink(name, dir_fd=parent)
        else:
            return False
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY):
            return False
        raise
    else:
        return True
    finally:
        os.close(parent)


def _is_only_parent(root: int, upper: str, tree: LayeredTree, path: str) -> bool:
    """Whether an empty directory of the layer says nothing that the image does not say already."""
    opened = _open_parent(root, path)
    if opened is None:
        return False
    parent, name = opened
    try:
        found = os.lstat(name, dir_fd=parent)
    except OSError:
        return False
    finally:
        os.close(parent)
    below = tree.lstat(path)
    if below is None or not stat.S_ISDIR(found.st_mode) or not stat.S_ISDIR(below.st_mode):
        return False
    same = (found.st_mode, found.st_uid, found.st_gid) == (below.st_mode, below.st_uid, below.st_gid)
    host = f"{upper}/{path}"
    return same and not is_opaque(host) and _xattrs(host) == _xattrs(tree.host_path(path))


def _xattrs(path: str) -> dict[str, bytes]:
    try:
        return {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in os.listxattr(path, follow_symlinks=False)
            if not name.startswith(_IGNORED_XATTRS)
        }
    except OSError:
        return {}
