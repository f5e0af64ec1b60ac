"""Make peace with systemd: a delegated scope per project, in which all its control groups live.

On a machine whose cgroup v2 tree belongs to systemd, groups made beside its own may lose their controllers
at the next `systemctl daemon-reload`. A scope with `Delegate=yes` is ours below its top; it belongs to the
system manager, so it outlives the login session of whoever ran `up`. One call of the bus per project, not per
container. See systemd.scope(5) and https://systemd.io/CGROUP_DELEGATION.
"""

from __future__ import annotations

import os
import subprocess
import time

from composer.namespaces.cgroups.base import write_file
from composer.namespaces.cgroups.layout import Layout, detect
from composer.namespaces.kernel.errors import KernelError

SLICE = "composer.slice"
_PRIVATE = "agent"  # the leaf for our own processes: a group with controllers may hold none itself
_SECONDS = 5.0


def manages_cgroups(layout: Layout | None = None) -> bool:
    """Whether systemd runs this machine and its control groups are a unified tree."""
    return os.path.isdir("/run/systemd/system") and (layout or detect()).mode == "unified"


def enter_scope(project: str, *, suffix: str = "", pid: int | None = None) -> str:
    """Move a process into the project's scope, making the scope if there is none.

    What the process forks later starts its life there too.

    Args:
        project: Project name; part of the unit's name.
        suffix: Tells installations apart (`Paths.suffix`).
        pid: The process; default: the caller.

    Returns:
        The scope's control group, such as `/composer.slice/composer-shop.scope`, for `open_cgroup` paths
        below it; empty where systemd does not manage a unified tree, or refuses.
    """
    layout = detect()
    if not manages_cgroups(layout):
        return ""
    process = os.getpid() if pid is None else pid
    unit = f"composer{suffix}-{_escape(project)}.scope"
    path = f"/{SLICE}/{unit}"
    directory = layout.unified + path
    if not os.path.isdir(directory) and not _start(unit, process, directory):
        return ""
    try:
        os.makedirs(f"{directory}/{_PRIVATE}", exist_ok=True)
        write_file(f"{directory}/{_PRIVATE}/cgroup.procs", str(process))
    except (OSError, KernelError):
        return ""
    return path


def _escape(name: str) -> str:
    """systemd-escape(1) of what a project name may hold: `-` would nest slices, in a scope it is kept."""
    return "".join(char if char.isalnum() or char in "_-" else f"\\x{ord(char):02x}" for char in name)


def _start(unit: str, process: int, directory: str) -> bool:
    properties = [
        "Description", "s", "composer project",
        "PIDs", "au", "1", str(process),
        "Slice", "s", SLICE,
        "Delegate", "b", "true",
        "CollectMode", "s", "inactive-or-failed",
    ]  # fmt: skip
    command = [
        "busctl", "call", "--quiet", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager", "StartTransientUnit", "ssa(sv)a(sa(sv))",
        unit, "fail", "5", *properties, "0",
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return False
    if done.returncode:
        # A second agent may have been faster; then the scope is there.
        return os.path.isdir(directory)
    # The answer is a queued job; the group appears when systemd has carried it out.
    deadline = time.monotonic() + _SECONDS
    while time.monotonic() < deadline:
        if _inside(process, directory):
            return True
        time.sleep(0.002)
    return False


def _inside(process: int, directory: str) -> bool:
    try:
        with open(f"/proc/{process}/cgroup", encoding="ascii", errors="replace") as file:
            return directory.endswith(file.read().strip().removeprefix("0::"))
    except OSError:
        return False
