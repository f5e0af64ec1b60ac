"""Which cgroup hierarchies this machine has and where they are mounted."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Mode = Literal["unified", "hybrid", "legacy", "none"]

ROOT = "/sys/fs/cgroup"
V1_CONTROLLERS = ("cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids")


class Layout:
    """The hierarchies of a machine.

    Attributes:
        mode: `unified` (v2 only), `hybrid` (v1 controllers beside a v2 tree), `legacy` (v1 only) or `none`.
        unified: Mount point of the v2 tree, or empty.
        controllers: v1 controller to mount point; co-mounted controllers share one.
    """

    __slots__ = ("controllers", "mode", "unified")

    def __init__(self, mode: Mode, unified: str, controllers: dict[str, str]) -> None:
        self.mode = mode
        self.unified = unified
        self.controllers = controllers

    @property
    def hierarchies(self) -> list[str]:
        """Every distinct mount point a process must be put into."""
        mounts = list(dict.fromkeys(self.controllers.values()))
        return [*mounts, self.unified] if self.unified else mounts


def detect(root: str = ROOT, mountinfo: str = "/proc/self/mountinfo") -> Layout:
    """Read the mount table, see proc_pid_mountinfo(5).

    Args:
        root: Only hierarchies mounted at or below this directory count.
        mountinfo: The table to read.
    """
    unified = ""
    controllers: dict[str, str] = {}
    with open(mountinfo, "rb") as file:
        table = os.fsdecode(file.read())
    for line in table.splitlines():
        fields, _, tail = line.partition(" - ")
        kind, _, super_options = tail.split(" ", 2)
        mount_point = fields.split(" ")[4]
        if mount_point != root and not mount_point.startswith(root + "/"):
            continue
        if kind == "cgroup2":
            unified = unified or mount_point
        elif kind == "cgroup":
            for option in super_options.split(","):
                if option in V1_CONTROLLERS:
                    controllers.setdefault(option, mount_point)
    if controllers:
        return Layout("hybrid" if unified else "legacy", unified, controllers)
    return Layout("unified" if unified else "none", unified, {})
