"""The mounts of a container as the launch document has them; see runtime-reference A.3.6."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from composer.errors import EngineError
from composer.namespaces.kernel import constants as c

if TYPE_CHECKING:
    from collections.abc import Mapping

    from composer.engine import ContainerConfig, Mount
    from composer.state.paths import Paths

_QUIET = c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NODEV | c.MOUNT_ATTR_NOEXEC
_PROPAGATION = {
    "private": c.MS_PRIVATE,
    "rprivate": c.MS_PRIVATE,
    "slave": c.MS_SLAVE,
    "rslave": c.MS_SLAVE,
    "shared": c.MS_SHARED,
    "rshared": c.MS_SHARED,
}
_TMPFS_ATTRIBUTES = {
    "ro": (c.MOUNT_ATTR_RDONLY, 0),
    "rw": (0, c.MOUNT_ATTR_RDONLY),
    "nosuid": (c.MOUNT_ATTR_NOSUID, 0),
    "suid": (0, c.MOUNT_ATTR_NOSUID),
    "nodev": (c.MOUNT_ATTR_NODEV, 0),
    "dev": (0, c.MOUNT_ATTR_NODEV),
    "noexec": (c.MOUNT_ATTR_NOEXEC, 0),
    "exec": (0, c.MOUNT_ATTR_NOEXEC),
}
_TMPFS_KEYS = ("size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol", "huge")


def compile_mounts(
    config: ContainerConfig,
    paths: Paths,
    *,
    volumes: Mapping[str, str],
    pids: Mapping[str, int],
) -> tuple[list[dict[str, Any]], bool]:
    """All mounts in the order in which they are made, and whether /dev is our own tmpfs.

    Raises:
        EngineError: A tmpfs option or a propagation word is unknown.
    """
    wanted = [
        compile_mount(index, mount, config, paths, volumes) for index, mount in enumerate(config.mounts)
    ]
    taken = {mount["target"] for mount in wanted}
    if "/dev" in taken:
        taken |= {"/dev/pts", "/dev/shm", "/dev/mqueue"}  # noqa: S108 - targets in the container
    default = [mount for mount in default_mounts(config, pids) if mount["target"] not in taken]
    for name in ("resolv.conf", "hostname", "hosts"):
        target = f"/etc/{name}"
        if target not in taken:
            default.append(_bind(str(_files(config, paths) / name), target, read_only=config.read_only))
    return [*default, *wanted], "/dev" not in taken


def _files(config: ContainerConfig, paths: Paths) -> Any:
    """Directory of hosts, hostname and resolv.conf; containers that share a network share them."""
    mode, _, other = config.network_mode.partition(":")
    return paths.container(other if mode == "container" else config.id)


def default_mounts(config: ContainerConfig, pids: Mapping[str, int]) -> list[dict[str, Any]]:
    """/proc, /dev, /sys and what belongs below them."""
    read_only = 0 if config.privileged else c.MOUNT_ATTR_RDONLY
    found = [
        _fs("proc", "/proc", _QUIET),
        _fs("tmpfs", "/dev", c.MOUNT_ATTR_NOSUID, mode="755", size="65536k"),
        _fs(
            "devpts",
            "/dev/pts",
            c.MOUNT_ATTR_NOSUID | c.MOUNT_ATTR_NOEXEC,
            newinstance=None,
            ptmxmode="0666",
            mode="0620",
            gid="5",
        ),
    ]
    if config.network_mode == "host":
        found.append({**_bind("/sys", "/sys", read_only=bool(read_only)), "attributes": _QUIET})
    else:
        found.append(_fs("sysfs", "/sys", _QUIET | read_only))
    found.append(_cgroup_mount(read_only))
    if config.ipc_mode.startswith("container:"):
        found.append(_fs("mqueue", "/dev/mqueue", _QUIET))
        shm = "/dev/shm"  # noqa: S108 - the other container's, see `within`
        found.append({**_bind(shm, shm), "within": pids[config.ipc_mode.partition(":")[2]]})
    elif config.ipc_mode == "host":
        found.append(_fs("mqueue", "/dev/mqueue", _QUIET))
        shm = "/dev/shm"  # noqa: S108 - the host's, on purpose
        found.append(_bind(shm, shm))
    else:
        found.append(_fs("mqueue", "/dev/mqueue", _QUIET))
        if config.ipc_mode != "none":
            size = str(config.shm_size or 64 * 1024 * 1024)
            found.append(_fs("tmpfs", "/dev/shm", _QUIET, source="shm", mode="1777", size=size))  # noqa: S108
    return found


def _cgroup_mount(read_only: int) -> dict[str, Any]:
    hierarchies = cgroup_hierarchies()
    if not hierarchies:
        return _fs("cgroup2", "/sys/fs/cgroup", _QUIET | read_only)
    return {"kind": "cgroup1", "target": "/sys/fs/cgroup", "hierarchies": hierarchies, "read_only": read_only}


_hierarchies: list[list[Any]] | None = None


def cgroup_hierarchies() -> list[list[Any]]:
    """`[directory name, [mount options]]` of each cgroup v1 hierarchy of this machine; empty on pure v2."""
    global _hierarchies  # noqa: PLW0603 - does not change while the machine runs
    if _hierarchies is None:
        found = []
        with open("/proc/self/mountinfo", encoding="utf-8") as file:
            for line in file:
                before, _, after = line.partition(" - ")
                point = before.split(" ")[4]
                fstype, _, options = after.rstrip("\n").split(" ", 2)
                if not point.startswith("/sys/fs/cgroup/"):
                    continue
                name = os.path.basename(point)
                if fstype == "cgroup":
                    drop = ("rw", "ro", "xattr", "clone_children", "noprefix")
                    found.append(
                        [
                            name,
                            [
                                o
                                for o in options.split(",")
                                if o not in drop and not o.startswith("release_agent")
                            ],
                        ]
                    )
                elif fstype == "cgroup2" and name == "unified":
                    found.append([name, []])
        _hierarchies = found if any(name != "unified" for name, _ in found) else []
    return _hierarchies


def compile_mount(
    index: int, mount: Mount, config: ContainerConfig, paths: Paths, volumes: Mapping[str, str]
) -> dict[str, Any]:
    """One mount that the configuration asks for.

    Raises:
        EngineError: See `compile_mounts`.
    """
    target = os.path.normpath("/" + mount.target.lstrip("/"))
    if not mount.target.startswith("/"):
        raise EngineError(f"mount target {mount.target!r} is not an absolute path", path=mount.path)
    if mount.type == "tmpfs":
        return {**_tmpfs(mount), "target": target, "path": mount.path}
    if mount.type == "image":
        return {
            "kind": "tree",
            "layers": list(mount.layers),
            "target": target,
            "subpath": mount.subpath,
            "path": mount.path,
        }
    if mount.propagation not in _PROPAGATION:
        raise EngineError(f"unknown bind propagation {mount.propagation!r}", path=mount.path)
    found: dict[str, Any] = {
        **_bind(mount.source, target, read_only=mount.read_only),
        "recursive": mount.recursive,
        "propagation": _PROPAGATION[mount.propagation],
        "path": mount.path,
    }
    if mount.type == "content":
        found["source"] = str(paths.container(config.id) / "content" / str(index))
    elif mount.type == "volume":
        found["source"] = volumes[mount.source]
        # A volume that is somebody's directory (`o: bind`) is taken as it is.
        own = found["source"] == str(paths.volumes / mount.source / "_data")
        found["fill"] = own and not mount.no_copy and not mount.subpath
        found["subpath"] = mount.subpath
    else:
        found["subpath"] = mount.subpath
        if mount.create_source and not os.path.lexists(mount.source):
            found["create"] = True
    return found


def _tmpfs(mount: Mount) -> dict[str, Any]:
    attributes = _QUIET | (c.MOUNT_ATTR_RDONLY if mount.read_only else 0)
    options: list[list[str | None]] = []
    for text in mount.options:
        for option in text.split(","):
            key, equals, value = option.strip().partition("=")
            if key in _TMPFS_ATTRIBUTES and not equals:
                add, clear = _TMPFS_ATTRIBUTES[key]
                attributes = attributes & ~clear | add
            elif key in _TMPFS_KEYS and value:
                options.append([key, value])
            elif key:
                raise EngineError(f"unknown tmpfs option {option!r}", path=mount.path)
    return {
        "kind": "fs",
        "fstype": "tmpfs",
        "options": options,
        "attributes": attributes,
        "like_target": True,
    }


def _fs(fstype: str, target: str, attributes: int, source: str = "", **options: str | None) -> dict[str, Any]:
    return {
        "kind": "fs",
        "fstype": fstype,
        "source": source or fstype,
        "target": target,
        "attributes": attributes,
        "options": [[key, value] for key, value in options.items()],
    }


def _bind(source: str, target: str, *, read_only: bool = False) -> dict[str, Any]:
    return {"kind": "bind", "source": source, "target": target, "read_only": read_only}
