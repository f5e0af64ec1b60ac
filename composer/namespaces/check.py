"""What this machine offers for containers, what is missing, what that costs and how to get it.

`examine` changes nothing that outlasts it. It is what `composer system check` prints.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import shutil
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from composer.namespaces.cgroups import detect
from composer.namespaces.kernel import constants as c

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Verdict: TypeAlias = Literal["ok", "limited", "missing"]

_CAPABILITIES = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "SETUID": 7,
    "NET_ADMIN": 12,
    "SYS_CHROOT": 18,
    "SYS_PTRACE": 19,
    "SYS_ADMIN": 21,
    "MKNOD": 27,
}
_CONTROLLERS_V1 = {
    "memory": "mem_limit is not enforced",
    "pids": "pids_limit is not enforced",
    "cpu": "cpus and cpu_shares are not enforced",
    "cpuset": "cpuset is not enforced",
    "devices": "devices cannot be kept from a container",
    "freezer": "pause is refused",
    "blkio": "blkio_config is not enforced",
}
_CONTROLLERS_V2 = {
    "memory": _CONTROLLERS_V1["memory"],
    "pids": _CONTROLLERS_V1["pids"],
    "cpu": _CONTROLLERS_V1["cpu"],
    "cpuset": _CONTROLLERS_V1["cpuset"],
    "io": _CONTROLLERS_V1["blkio"],
}
_OVERLAY_MAGIC = 0x794C7630
_LOW_SPACE = 1 << 30


class Finding(NamedTuple):
    """One line of the table.

    Attributes:
        what: What was looked at.
        verdict: `ok`; `limited`: composer works, with a cost; `missing`: containers cannot be made.
        found: What there is.
        cost: What does not work, empty when all does.
        remedy: What to do about it, in the imperative, empty when nothing needs doing.
    """

    what: str
    verdict: Verdict
    found: str
    cost: str = ""
    remedy: str = ""


def examine(root: Path) -> list[Finding]:
    """Look at the whole machine.

    Args:
        root: composer's lasting directory; it need not exist yet.
    """
    tried = _try()
    return [
        *_privileges(),
        *_kernel(),
        *_tried(tried),
        *_cgroups(),
        *_seccomp(),
        *_network(nftables=tried.get("nftables") == ""),
        *_storage(root),
        *_security_modules(),
        *_rootless(),
    ]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""


def _privileges() -> Iterator[Finding]:
    if os.geteuid() != 0:
        yield Finding(
            "privileges",
            "missing",
            f"user {os.geteuid()}",
            "containers cannot be made",
            "run composer as root, for example with sudo",
        )
        return
    line = next((row for row in _read("/proc/self/status").splitlines() if row.startswith("CapEff:")), "")
    effective = int(line.partition(":")[2].strip() or "0", 16)
    lacking = [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]
    if lacking:
        yield Finding(
            "privileges",
            "missing",
            f"root without {', '.join(lacking)}",
            "containers cannot be made",
            "run composer outside of a container, or give that one --privileged",
        )
    else:
        yield Finding("privileges", "ok", "root with all capabilities that are needed")


def _kernel() -> Iterator[Finding]:
    release = f"Linux {platform.release()} {platform.machine()}"
    libc = ctypes.CDLL(None, use_errno=True)
    calls = {
        "clone3": c.NR_CLONE3,
        "openat2": c.NR_OPENAT2,
        "close_range": c.NR_CLOSE_RANGE,
        "mount_setattr": c.NR_MOUNT_SETATTR,
        "fsopen": c.NR_FSOPEN,
    }
    absent = []
    for name, number in calls.items():
        # Nonsense arguments: a call that exists says EINVAL, EFAULT or EBADF, and does nothing.
        bad = ctypes.c_long(-1)
        if libc.syscall(ctypes.c_long(number), bad, None, bad, bad, bad) < 0 and ctypes.get_errno() in (
            errno.ENOSYS,
            errno.EPERM,
        ):
            absent.append(name)
    if absent:
        yield Finding(
            "kernel",
            "missing",
            f"{release} without {', '.join(absent)}",
            "containers cannot be made",
            "use Linux 5.12 or newer, outside of other containers",
        )
    else:
        yield Finding("kernel", "ok", release)
    kinds = {"pid", "mnt", "uts", "ipc", "net", "cgroup", "user"}
    lacking = sorted(kinds - set(os.listdir("/proc/self/ns")))
    if lacking:
        yield Finding(
            "namespaces",
            "missing",
            f"no {', '.join(lacking)}",
            "containers cannot be made",
            "use a kernel with CONFIG_NAMESPACES and its parts",
        )
    else:
        yield Finding("namespaces", "ok", "pid mnt uts ipc net cgroup user")


def _try() -> dict[str, str]:
    if os.geteuid() != 0:
        return {}
    from composer.namespaces.probe import probe

    return probe()


def _tried(found: dict[str, str]) -> Iterator[Finding]:
    """What only an attempt tells; see `probe`."""
    rows = {
        "namespaces": (
            "unshare",
            "new namespaces were made",
            "containers cannot be made",
            "run composer outside of a container that forbids it",
        ),
        "root": (
            "root directory",
            "the mount namespace's own",
            "containers cannot be made",
            "run composer outside, or enter that directory with systemd-nspawn",
        ),
        "overlay": (
            "overlay",
            "a file system was mounted",
            "containers cannot be made",
            "load the kernel module: modprobe overlay",
        ),
        "bridge": (
            "bridge and veth",
            "a bridge and a pair were made",
            "only network_mode none and host work",
            "load the kernel modules: modprobe -a bridge veth",
        ),
        "nftables": (
            "nftables",
            "rules with nat were loaded",
            "no published ports, no way out of networks",
            "install nftables, and: modprobe -a nf_tables nft_chain_nat nft_masq",
        ),
    }
    for key, (what, works, cost, remedy) in rows.items():
        if key not in found:
            continue
        if found[key]:
            verdict: Verdict = "missing" if key in ("namespaces", "root", "overlay") else "limited"
            yield Finding(what, verdict, found[key], cost, remedy)
        elif key not in ("namespaces", "root"):
            yield Finding(what, "ok", works)


def _cgroups() -> Iterator[Finding]:
    layout = detect()
    if layout.mode == "none":
        yield Finding(
            "cgroup",
            "missing",
            "no hierarchy is mounted below /sys/fs/cgroup",
            "containers cannot be made",
            "mount -t cgroup2 none /sys/fs/cgroup",
        )
        return
    if layout.mode == "unified":
        found = "version 2"
        have = set(_read(f"{layout.unified}/cgroup.controllers").split())
        costs = _CONTROLLERS_V2
        remedy = "delegate the controllers, or remove cgroup_disable= from the kernel's command line"
    else:
        found = f"version 1 ({layout.mode})"
        have = set(layout.controllers)
        costs = _CONTROLLERS_V1
        remedy = "mount the missing controllers, or boot with systemd.unified_cgroup_hierarchy=1"
    lacking = [name for name in costs if name not in have]
    if lacking:
        cost = "; ".join(costs[name] for name in lacking)
        yield Finding("cgroup", "limited", f"{found} without {', '.join(lacking)}", cost, remedy)
    else:
        yield Finding("cgroup", "ok", f"{found}: {' '.join(sorted(have))}")
    if layout.unified and not os.access(layout.unified, os.W_OK):
        yield Finding(
            "cgroup write",
            "missing",
            f"{layout.unified} is read-only",
            "containers cannot be made",
            "run composer outside of a container, or with a writable cgroup tree",
        )
    if os.path.exists("/proc/pressure/memory"):
        yield Finding("pressure", "ok", "PSI is on")
    else:
        yield Finding("pressure", "limited", "PSI is off", "stats shows no pressure", "boot with psi=1")


def _seccomp() -> Iterator[Finding]:
    actions = _read("/proc/sys/kernel/seccomp/actions_avail")
    if "errno" in actions:
        yield Finding("seccomp", "ok", actions)
    else:
        yield Finding(
            "seccomp",
            "limited",
            "the kernel has no seccomp filters",
            "only seccomp:unconfined starts",
            "use a kernel with CONFIG_SECCOMP_FILTER",
        )


def _network(*, nftables: bool) -> Iterator[Finding]:
    if os.path.exists("/proc/net/if_inet6"):
        yield Finding("IPv6", "ok", "on")
    else:
        yield Finding(
            "IPv6", "limited", "off", "networks with enable_ipv6 are refused", "remove ipv6.disable=1"
        )
    if _read("/proc/sys/net/bridge/bridge-nf-call-iptables") == "1":
        yield Finding("br_netfilter", "ok", "loaded: the firewall sees traffic inside a network")
    chains = _nft_chains() if nftables else ""
    beside = [
        name
        for name, mark in (("Docker", "DOCKER"), ("firewalld", "firewalld"), ("ufw", "ufw"))
        if mark in chains
    ]
    if beside:
        yield Finding(
            "other firewalls", "ok", f"{', '.join(beside)}: composer adds rules of its own beside them"
        )


def _nft_chains() -> str:
    """The rule set's chains, to see whose they are; empty when nobody may look."""
    from composer.errors import ComposerError
    from composer.namespaces.network.nft import Nftables

    try:
        return Nftables().run("list chains")
    except ComposerError:
        return ""


def _storage(root: Path) -> Iterator[Finding]:
    from composer.namespaces.kernel import syscalls

    existing = str(root)
    while not os.path.isdir(existing):
        existing = os.path.dirname(existing)
    fd = os.open(existing, os.O_RDONLY | os.O_DIRECTORY)
    try:
        magic = syscalls.fs_magic(fd)
    finally:
        os.close(fd)
    if magic == _OVERLAY_MAGIC:
        yield Finding(
            "storage",
            "missing",
            f"{existing} is on an overlay file system itself",
            "containers cannot be made",
            "set COMPOSER_HOME to a directory on a disk or a volume",
        )
    free = shutil.disk_usage(existing).free
    if free < _LOW_SPACE:
        yield Finding(
            "space",
            "limited",
            f"{free >> 20} MiB free at {existing}",
            "pulls and builds may not fit",
            "make room, or set COMPOSER_HOME to another disk",
        )
    else:
        yield Finding("space", "ok", f"{free >> 30} GiB free at {existing}")


def _security_modules() -> Iterator[Finding]:
    active = _read("/sys/kernel/security/lsm")
    named = [name for name in ("apparmor", "selinux") if name in active]
    found = f"{', '.join(named)}: containers run without a profile" if named else "no AppArmor, no SELinux"
    yield Finding("security modules", "ok", found)


def _rootless() -> Iterator[Finding]:
    limit = _read("/proc/sys/user/max_user_namespaces")
    if limit == "0" or _read("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        yield Finding(
            "user namespaces",
            "limited",
            "only for root",
            "userns_mode needs root's own namespaces",
            "sysctl user.max_user_namespaces=15000 kernel.unprivileged_userns_clone=1",
        )
    else:
        yield Finding("user namespaces", "ok", f"up to {limit}" if limit else "on")
