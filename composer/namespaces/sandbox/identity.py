"""Limits, user, capabilities and the seccomp filter: the last things before execve, in their one right order.

See capabilities(7), credentials(7) and runtime-reference A.4. The inheritable and ambient sets stay empty.
"""

from __future__ import annotations

import errno
import os

from composer.namespaces.kernel import constants as c
from composer.namespaces.kernel import syscalls as sys_
from composer.namespaces.kernel.errors import KernelError, LaunchError
from composer.namespaces.sandbox import paths, userdb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ALL = (1 << 64) - 1


def find(root: int, process: dict[str, Any]) -> userdb.Identity:
    """Who the process is, by the container's own files."""
    user = process["user"]
    groups = process["groups"]
    passwd = paths.read_regular(root, "etc/passwd")
    group = paths.read_regular(root, "etc/group") if groups or user else None
    if not user and passwd is not None:
        group = paths.read_regular(root, "etc/group")
    return userdb.resolve(user, groups, passwd, group)


def set_limits(process: dict[str, Any]) -> None:
    """Apply rlimits and oom_score_adj of this process; needs CAP_SYS_RESOURCE to raise hard limits.

    Raises:
        LaunchError: A limit that the user asked for cannot be set; our own defaults are given up silently.
    """
    for number, soft, hard, wanted in process["rlimits"]:
        try:
            sys_.prlimit(0, number, soft, hard)
        except KernelError as error:
            if wanted:
                raise LaunchError(
                    f"cannot set ulimit {wanted} to {soft}:{hard}: {error.strerror}",
                    errno=error.errno or 0,
                    hint="raising a hard limit needs CAP_SYS_RESOURCE on the host",
                    about="process.rlimits",
                ) from error
            _lower(number, soft, hard)
    adjustment = process["oom_score_adj"]
    if adjustment is not None:
        fd = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, str(adjustment).encode())
        except OSError as error:
            raise LaunchError(
                f"cannot set oom_score_adj to {adjustment}: {error.strerror}",
                errno=error.errno or 0,
                about="process.oom_score_adj",
            ) from error
        finally:
            os.close(fd)


def _lower(number: int, soft: int, hard: int) -> None:
    """As much of a default limit as the present hard limit allows."""
    present = sys_.getrlimit(number)[1]
    if present >= 0 and (hard < 0 or hard > present):
        hard = present
    if soft < 0 or (hard >= 0 and soft > hard):
        soft = hard
    try:
        sys_.prlimit(0, number, soft, hard)
    except KernelError as error:
        if error.errno != errno.EPERM:
            raise


def own_stdio(identity: userdb.Identity) -> None:
    """Give the three standard descriptors to the user, or /dev/stderr cannot be opened by it."""
    if not identity.uid:
        return
    null = os.makedev(1, 3)
    for fd in (0, 1, 2):
        try:
            found = os.fstat(fd)
            if found.st_rdev != null and found.st_uid != identity.uid:
                os.fchown(fd, identity.uid, -1)
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EROFS, errno.EINVAL, errno.EBADF):
                raise


def become(identity: userdb.Identity, process: dict[str, Any], last_capability: int, cwd: str) -> None:
    """Turn into the user, with exactly the wanted capabilities, behind the filter.

    Args:
        identity: Who to become.
        process: The launch document's process: `capabilities` (mask), `no_new_privileges`, `seccomp`.
        last_capability: Highest capability that the kernel knows.
        cwd: Working directory, entered before rights are given up.

    Raises:
        LaunchError: The working directory cannot be entered, or lies outside the container.
        KernelError: The kernel refused.
    """
    wanted = process["capabilities"]
    held = sys_.capget()
    for number in range(last_capability + 1):
        if held >> number & 1 and not wanted >> number & 1:
            sys_.prctl(c.PR_CAPBSET_DROP, number)
    wanted &= held
    entered = _enter(cwd, final=identity.uid == 0)
    sys_.prctl(c.PR_SET_KEEPCAPS, 1)
    os.setgroups(identity.groups)
    os.setresgid(identity.gid, identity.gid, identity.gid)
    os.setresuid(identity.uid, identity.uid, identity.uid)
    sys_.prctl(c.PR_SET_KEEPCAPS, 0)
    if not entered:
        _enter(cwd, final=True)
    sys_.prctl(c.PR_SET_PDEATHSIG, 9)  # cleared by the change of user
    program = process["program"]
    if process["no_new_privileges"]:
        sys_.prctl(c.PR_SET_NO_NEW_PRIVS, 1)
        sys_.capset(wanted, wanted, 0)
        if program:
            sys_.seccomp_load(program)
        return
    if program:
        if identity.uid:
            sys_.capset(held, held, 0)  # permitted survived the change of user, effective did not
        sys_.seccomp_load(program)
    sys_.capset(wanted, wanted, 0)


def _enter(cwd: str, *, final: bool) -> bool:
    try:
        os.chdir(cwd)
    except OSError as error:
        if not final and error.errno in (errno.EPERM, errno.EACCES):
            return False
        raise LaunchError(
            f"cannot enter working directory {cwd}: {error.strerror}",
            kind="cannot-invoke",
            errno=error.errno or 0,
            about="process.cwd",
        ) from error
    try:
        inside = os.getcwd().startswith("/")
    except OSError:
        inside = False
    if not inside:
        raise LaunchError(f"working directory {cwd} is outside the container", kind="cannot-invoke")
    return True
