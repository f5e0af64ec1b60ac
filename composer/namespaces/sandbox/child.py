"""What runs between clone3 and execve: the process that becomes the container's init, or an exec in it.

It has one way to speak: the channel, a socket that closes at execve. A JSON message on it is a failure (or
hands over the terminal's master); end of file without one means that the command runs.
"""

from __future__ import annotations

import array
import errno
import fcntl
import json
import os
import signal
import socket
import sys

from composer.namespaces.kernel import constants as c
from composer.namespaces.kernel import syscalls as sys_
from composer.namespaces.kernel.chroot import leave_chroot
from composer.namespaces.kernel.errors import LaunchError, describe
from composer.namespaces.sandbox import devices, identity, mounts, paths, reaper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CHANNEL = 3
_HIGH = 512
_SYS_PTRACE = 1 << 19


class Prepared:
    """What the shim made before the clone: descriptors that the child attaches or inherits.

    Attributes:
        root: Detached mount of the root file system.
        sources: Detached mounts by index into the launch document's `mounts`.
        procs: Descriptors of `cgroup.procs` that take the child into its cgroups (v1).
        stdio: Descriptors for 0, 1, 2; empty when the child makes a terminal.
    """

    __slots__ = ("procs", "root", "sources", "stdio")

    def __init__(self, root: int, sources: dict[int, int], procs: list[int], stdio: list[int]) -> None:
        self.root = root
        self.sources = sources
        self.procs = procs
        self.stdio = stdio

    def close(self) -> None:
        """Close everything in the parent, once the child has it."""
        for fd in (self.root, *self.sources.values(), *self.procs, *self.stdio):
            if fd >= 0:
                os.close(fd)
        self.root = -1
        self.sources = {}
        self.procs = []
        self.stdio = []


def run_init(launch: dict[str, Any], prepared: Prepared, channel: socket.socket) -> NoReturn:
    """Become the container's first process; never returns."""
    try:
        _seal()
        _init(launch, prepared, channel)
    except BaseException as error:  # noqa: BLE001 - the only way out is the channel
        _fail(channel, error)


def run_exec(
    launch: dict[str, Any],
    process: dict[str, Any],
    pidfd: int,
    prepared: Prepared,
    channel: socket.socket,
) -> NoReturn:
    """Join a running container's namespaces and execute a command in it; never returns."""
    try:
        _seal()
        _join(launch, process, pidfd, prepared, channel)
    except BaseException as error:  # noqa: BLE001 - the only way out is the channel
        _fail(channel, error)


def _seal() -> None:
    """From here on nothing may be imported: paths would soon lead into the image (CVE-2019-14271)."""
    sys.path[:] = []
    sys.meta_path[:] = []
    sys.path_hooks[:] = []
    sys_.prctl(c.PR_SET_DUMPABLE, 0)
    sys_.prctl(c.PR_SET_PDEATHSIG, 9)
    signal.set_wakeup_fd(-1)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o022)


def _fail(channel: socket.socket, error: BaseException) -> NoReturn:
    report = describe(error)
    report["message"] = report["message"][:3000]
    try:
        channel.send(json.dumps({"error": report}).encode())
    finally:
        os._exit(126)


def _init(launch: dict[str, Any], prepared: Prepared, channel: socket.socket) -> NoReturn:
    process = launch["process"]
    _join_cgroups(prepared.procs)
    os.setsid()
    identity.set_limits(process)
    unshare = launch["unshare"]
    if unshare:
        sys_.unshare(unshare)
    if leave_chroot():
        raise LaunchError(
            "composer runs in a chroot, which containers could leave",
            kind="unsupported",
            hint="run it outside, or enter that directory with systemd-nspawn",
        )
    sys_.join_session_keyring()
    sys_.mount("", "/", "", c.MS_REC | c.MS_SLAVE)
    root = _mount_root(launch, prepared)
    _mount_all(launch, prepared, root)
    slave = -1
    if process["terminal"]:
        slave = _terminal(root, channel, console=True)
    else:
        _stdio(prepared.stdio)
    null = devices.open_null(root) if launch["masked"] else -1
    _sysctls(root, launch["sysctls"])
    mounts.make_read_only(root, launch["readonly"])
    if launch["masked"]:
        mounts.mask(root, launch["masked"], null)
        os.close(null)
    os.close(paths.make_directory(root, process["cwd"]))
    who = identity.find(root, process)
    os.fchdir(root)
    sys_.pivot_root(".", ".")
    sys_.umount2(".", c.MNT_DETACH)
    os.chdir("/")
    if launch["read_only"]:
        sys_.mount_setattr(c.AT_FDCWD, "/", 0, add=c.MOUNT_ATTR_RDONLY)
    if launch["hostname"]:
        sys_.sethostname(launch["hostname"])
    if launch["domainname"]:
        sys_.setdomainname(launch["domainname"])
    if slave >= 0:
        _control(slave)
    _execute(launch, process, who, channel)


def _mount_root(launch: dict[str, Any], prepared: Prepared) -> int:
    """Attach the root at its mount point, which is then private; returns it opened."""
    point = os.open(launch["mountpoint"], os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    # pivot_root refuses a new root whose parent mount is shared.
    sys_.mount_setattr(prepared.root, "", c.AT_EMPTY_PATH, propagation=c.MS_PRIVATE)
    sys_.move_mount(prepared.root, point)
    os.close(point)
    return prepared.root


def _mount_all(launch: dict[str, Any], prepared: Prepared, root: int) -> None:
    for index, mount in enumerate(launch["mounts"]):
        kind = mount["kind"]
        if kind == "fs":
            mounts.mount_filesystem(root, mount)
            if mount["target"] == "/dev":
                devices.fill_dev(root, launch["devices"])
        elif kind == "cgroup1":
            mounts.mount_cgroup1(root, mount)
        else:
            mounts.attach(root, prepared.sources[index], mount)
    if launch["devices"] and not launch["own_dev"]:
        for device in launch["devices"]:
            devices.make(root, device)


def _join(
    launch: dict[str, Any],
    process: dict[str, Any],
    pidfd: int,
    prepared: Prepared,
    channel: socket.socket,
) -> NoReturn:
    _join_cgroups(prepared.procs)
    identity.set_limits(process)
    sys_.join_session_keyring()
    sys_.setns(pidfd, launch["join"])
    if launch["process"]["capabilities"] & _SYS_PTRACE:
        channel = _enter_unseen(pidfd, prepared, channel)
    else:
        os.close(pidfd)
    os.setsid()
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    slave = -1
    if process["terminal"]:
        slave = _terminal(root, channel, console=False)
        _control(slave)
    else:
        _stdio(prepared.stdio)
    who = identity.find(root, process)
    os.close(root)
    _execute(launch, process, who, channel)


def _join_cgroups(procs: list[int]) -> None:
    for fd in procs:
        try:
            os.write(fd, b"0")
        except OSError as error:
            hint = ""
            if error.errno == errno.EINVAL:
                hint = "a process with real-time scheduling cannot enter a cgroup v1 cpu group"
            raise LaunchError(
                f"cannot join control group {os.path.dirname(os.readlink(f'/proc/self/fd/{fd}'))}:"
                f" {error.strerror}",
                errno=error.errno or 0,
                hint=hint,
            ) from error


def _enter_unseen(pidfd: int, prepared: Prepared, channel: socket.socket) -> socket.socket:
    """Enter the pid namespace last, by one more fork, as a process that holds nothing of the host.

    A container with CAP_SYS_PTRACE may follow /proc/PID/root, cwd and fd even of an undumpable process, so
    it must not see this one before all of them lead into the container (CVE-2016-9962). The shim becomes
    the new process's parent too.
    """
    sys_.setns(pidfd, c.CLONE_NEWPID)
    os.chdir("/")
    kept = [channel.fileno(), *prepared.stdio]
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH) for fd in kept]
    os.dup2(os.open("/", os.O_PATH | os.O_CLOEXEC), 0)
    os.dup2(0, 1)
    os.dup2(0, 2)
    sys_.close_range(_CHANNEL, _HIGH - 1)
    channel.detach()
    channel = socket.socket(fileno=high[0], family=socket.AF_UNIX, type=socket.SOCK_SEQPACKET)
    prepared.stdio = high[1:]
    pid, _ = sys_.clone3(c.CLONE_PARENT, exit_signal=0)
    if pid:
        channel.send(json.dumps({"pid": pid}).encode())
        os._exit(0)
    sys_.prctl(c.PR_SET_PDEATHSIG, 9)
    return channel


def _terminal(root: int, channel: socket.socket, *, console: bool) -> int:
    """Make a terminal, hand its master to the shim, return the slave."""
    master, slave = devices.open_terminal(root)
    if console:
        devices.bind_console(root, slave)
    rights = array.array("i", [master])
    channel.sendmsg([b'{"master":true}'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
    os.close(master)
    return slave


def _control(slave: int) -> None:
    """Make the slave the controlling terminal and the standard descriptors."""
    fcntl.ioctl(slave, c.TIOCSCTTY, 0)
    _stdio([slave, slave, slave])


def _stdio(fds: list[int]) -> None:
    """Put *fds* on 0, 1 and 2, whatever numbers they have now."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in fds]
    for number, fd in enumerate(high):
        os.dup2(fd, number, inheritable=True)


def _own_null() -> None:
    """Replace the host's null device by the container's: it leads out by its mount."""
    for number in (0, 1, 2):
        try:
            if os.fstat(number).st_rdev != os.makedev(1, 3):
                continue
            fd = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue  # a container without /dev/null keeps what it was given
        if os.fstat(fd).st_rdev == os.makedev(1, 3):
            os.dup2(fd, number, inheritable=True)
        os.close(fd)


def _sysctls(root: int, sysctls: list[list[str]]) -> None:
    if not sysctls:
        return
    proc = paths.open_inside(root, "/proc/sys", os.O_PATH | os.O_DIRECTORY)
    try:
        if sys_.fs_magic(proc) != c.PROC_SUPER_MAGIC:
            raise LaunchError("/proc in the container is not procfs")
        for path, value in sysctls:
            _write_sysctl(proc, path, value)
    finally:
        os.close(proc)


def _write_sysctl(proc: int, path: str, value: str) -> None:
    name = path.replace("/", ".")
    try:
        fd = sys_.openat2(proc, path, os.O_WRONLY, c.RESOLVE_BENEATH | c.RESOLVE_NO_SYMLINKS)
        try:
            os.write(fd, value.encode())
        finally:
            os.close(fd)
    except OSError as error:
        raise LaunchError(
            f"sysctl {name}={value} cannot be set: {error.strerror}", errno=error.errno or 0, about="sysctls"
        ) from error


def _execute(launch: dict[str, Any], process: dict[str, Any], who: Any, channel: socket.socket) -> NoReturn:
    env = _environment(process["env"], launch["hostname"], who.home, terminal=process["terminal"])
    arguments = [os.fsencode(argument) for argument in process["args"]]
    search = env.get(b"PATH", DEFAULT_PATH.encode())
    _own_null()
    identity.own_stdio(who)
    # One descriptor besides stdio stays, and closes at execve: nothing of the host can be reached by number.
    os.dup2(channel.fileno(), _CHANNEL, inheritable=False)
    channel.detach()
    channel = socket.socket(fileno=_CHANNEL, family=socket.AF_UNIX, type=socket.SOCK_SEQPACKET)
    sys_.close_range(_CHANNEL + 1)
    try:
        identity.become(who, process, launch["last_capability"], process["cwd"])
        if launch.get("init") and process is launch["process"]:
            reaper.split(channel, arguments)
        _exec_path(arguments, env, search)
    except BaseException as error:  # noqa: BLE001 - the only way out is the channel
        _fail(channel, error)


def _environment(lines: list[str], hostname: str, home: str, *, terminal: bool) -> dict[bytes, bytes]:
    env: dict[bytes, bytes] = {b"PATH": DEFAULT_PATH.encode()}
    if hostname:
        env[b"HOSTNAME"] = os.fsencode(hostname)
    if terminal:
        env[b"TERM"] = b"xterm"
    for line in lines:
        key, _, value = line.partition("=")
        env[os.fsencode(key)] = os.fsencode(value)
    if not env.get(b"HOME"):
        env[b"HOME"] = os.fsencode(home)
    return env


def _exec_path(arguments: list[bytes], env: dict[bytes, bytes], search: bytes) -> NoReturn:
    """Execute *arguments*, looking its first one up in *search* with the user's own rights."""
    name = arguments[0]
    shown = name.decode("utf-8", "replace")
    candidates = [name] if b"/" in name else [(part or b".") + b"/" + name for part in search.split(b":")]
    denied = 0
    for candidate in candidates:
        try:
            os.execve(candidate, arguments, env)  # noqa: S606 - never a shell
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR) and b"/" not in name:
                continue
            if error.errno == errno.EACCES and b"/" not in name:
                denied = errno.EACCES
                continue
            raise _refusal(shown, error.errno or 0, env, arguments) from error
    if denied:
        raise _refusal(shown, denied, env, arguments)
    raise LaunchError(
        f'exec: "{shown}": executable file not found in $PATH', kind="not-found", errno=errno.ENOENT
    )


def _refusal(name: str, number: int, env: dict[bytes, bytes], arguments: list[bytes]) -> LaunchError:
    reason = os.strerror(number).lower()
    if number == errno.ENOENT:
        return LaunchError(f'exec: "{name}": no such file or directory', kind="not-found", errno=number)
    if number == errno.E2BIG:
        key = max(env, key=lambda item: len(env[item]))
        if env and len(env[key]) >= max(map(len, arguments)):
            reason = f"environment variable {key.decode('utf-8', 'replace')} is too long"
        else:
            reason = "the argument list is too long"
    if number == errno.ENOEXEC:
        reason = "exec format error"
    hint = (
        "is it a script without a #! line, or made for another processor?" if number == errno.ENOEXEC else ""
    )
    return LaunchError(f'exec: "{name}": {reason}', kind="cannot-invoke", errno=number, hint=hint)
