"""Starting processes: the container's init, and commands in it.

The shim prepares what needs the host's view, clones once, and reads one channel: a message is a failure or
the terminal, end of file means that execve happened.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket

from composer.namespaces.kernel import constants as c
from composer.namespaces.kernel import syscalls as sys_
from composer.namespaces.kernel.errors import KernelError, LaunchError
from composer.namespaces.sandbox import child, fill, mounts, overlay, paths
from composer.namespaces.sandbox.child import Prepared
from composer.namespaces.shim.messages import socket_receive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from composer.namespaces.cgroups import Cgroup


_SYS_PTRACE = 1 << 19


class Running:
    """A process of the container.

    Attributes:
        pid: Host pid.
        pidfd: Becomes readable when it ends.
        channel: Where its child half reports until execve; None when that is over.
        master: Master of its terminal, or -1.
        ours: It is this process's child, to be reaped here.
    """

    __slots__ = ("channel", "master", "ours", "pid", "pidfd")

    def __init__(self, pid: int, pidfd: int, channel: socket.socket | None, *, ours: bool = True) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.channel: Any = channel
        self.master = -1
        self.ours = ours

    def receive(self) -> bool:
        """Take one message of the channel; False at end of file, which means that the command runs.

        Raises:
            LaunchError: The command could not be started; the process has been reaped.
        """
        data, ancillary, _, _ = socket_receive(self.channel)
        for fd in ancillary:
            if self.master < 0:
                self.master = fd
            else:
                os.close(fd)
        if not data:
            self.channel.close()
            return False
        message = json.loads(data)
        if pid := message.get("pid"):
            # It forked once more, as our child, and the first half is done.
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
            os.close(self.pidfd)
            self.pid = pid
            self.pidfd = os.pidfd_open(pid)
            return True
        if failure := message.get("error"):
            self.channel.close()
            self._reap()
            raise LaunchError.from_json(failure)
        return True

    def _reap(self) -> None:
        if self.master >= 0:
            os.close(self.master)
            self.master = -1
        if self.ours:
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        os.close(self.pidfd)
        self.pidfd = -1

    def exit_code(self) -> int:
        """Reap it; 128+n when signal n ended it."""
        info = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        os.close(self.pidfd)
        self.pidfd = -1
        if info is None:
            return 255
        return info.si_status if info.si_code == os.CLD_EXITED else 128 + info.si_status


def open_sources(launch: dict[str, Any], root: int) -> dict[int, int]:
    """Detached mounts of everything that comes from the host, filling empty volumes from the image first."""
    sources: dict[int, int] = {}
    try:
        for index, mount in enumerate(launch["mounts"]):
            if mount["kind"] not in ("bind", "tree"):
                continue
            if mount.get("create"):
                os.makedirs(mount["source"], mode=0o755, exist_ok=True)
            if mount.get("fill"):
                _fill(root, mount)
            sources[index] = mounts.open_source(mount)
    except BaseException:
        for fd in sources.values():
            os.close(fd)
        raise
    return sources


def _fill(root: int, mount: dict[str, Any]) -> None:
    """Give a new volume what the image has at its place."""
    try:
        place = paths.open_inside(root, mount["target"], os.O_RDONLY | os.O_DIRECTORY)
    except KernelError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return  # nothing there
        raise
    try:
        fill.fill_volume(os.path.dirname(mount["source"]), f"/proc/self/fd/{place}/.")
    finally:
        os.close(place)


def start_init(launch: dict[str, Any], cgroup: Cgroup, stdio: list[int]) -> Running:
    """Clone the container's first process and wait until its command has been executed.

    Raises:
        LaunchError: It could not be started.
        OSError: The kernel refused a preparation.
    """
    running = clone_init(launch, cgroup, stdio, for_parent=False)
    while running.receive():
        pass
    return running


def clone_init(
    launch: dict[str, Any], cgroup: Cgroup, stdio: list[int], *, for_parent: bool = True
) -> Running:
    """Clone the container's first process; its channel tells, later, whether the command runs.

    Args:
        launch: The launch document.
        cgroup: Where it belongs.
        stdio: Descriptors for 0, 1, 2, closed here; ignored when it makes a terminal.
        for_parent: It becomes a child of this process's parent.

    Raises:
        LaunchError: Something that it needs is missing.
        OSError: The kernel refused a preparation.
    """
    prepared = Prepared(-1, {}, [], stdio)
    born = -1
    try:
        prepared.root = overlay.open_root(
            launch["layers"], launch["upper"], launch["work"], volatile=launch.get("volatile", False)
        )
        prepared.sources = open_sources(launch, prepared.root)
        for path, flag in launch["joins"]:
            join(path, flag)
        prepared.procs = cgroup.procs_fds()
        born = cgroup.directory_fd()
        return _clone(
            launch["clone"] | (c.CLONE_PARENT if for_parent else 0),
            born,
            launch["pid_namespace"],
            lambda channel: child.run_init(launch, prepared, channel),
        )
    finally:
        prepared.close()
        if born >= 0:
            os.close(born)


def start_exec(
    launch: dict[str, Any],
    process: dict[str, Any],
    init: Running,
    procs: list[int],
    born: int,
    stdio: list[int],
) -> Running:
    """Clone a process that joins the container; its channel tells, later, whether the command runs.

    Args:
        launch: The launch document.
        process: Its process part, changed for this command.
        init: Whose namespaces are joined.
        procs: What a process writes "0" to in order to join the cgroup; stays open.
        born: Directory of the cgroup that it is born in, or -1; stays open.
        stdio: Descriptors for 0, 1, 2, closed here.
    """
    prepared = Prepared(-1, {}, procs, stdio)
    try:
        return _clone(
            0,
            born,
            "" if launch["process"]["capabilities"] & _SYS_PTRACE else f"/proc/{init.pid}/ns/pid",
            lambda channel: child.run_exec(launch, process, init.pidfd, prepared, channel),
        )
    finally:
        prepared.procs = []
        prepared.close()


def _clone(flags: int, cgroup: int, pid_namespace: str, run: Any) -> Running:
    """clone3 once; the child runs *run* and never returns."""
    parent, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    own = -1
    try:
        if pid_namespace and pid_namespace != "host":
            own = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            join(pid_namespace, c.CLONE_NEWPID)
        try:
            adopted = flags & c.CLONE_PARENT
            pid, pidfd = sys_.clone3(flags, cgroup=cgroup, exit_signal=0 if adopted else signal.SIGCHLD)
            if pid == 0:
                run(channel)
                os._exit(126)
        finally:
            if own >= 0:
                sys_.setns(own, c.CLONE_NEWPID)
                os.close(own)
    except KernelError as error:
        parent.close()
        if error.errno == errno.EAGAIN:
            raise LaunchError(f"cannot fork: {error.strerror}", errno=errno.EAGAIN) from error
        raise
    finally:
        channel.close()
    return Running(pid, pidfd, parent, ours=not flags & c.CLONE_PARENT)


def join(path: str, flag: int) -> None:
    """Enter the namespace file *path*.

    Raises:
        LaunchError: The process that the namespace belongs to is gone.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise LaunchError(
            f"cannot join namespace {path}: the container it belongs to is not running",
            errno=error.errno or 0,
        ) from error
    try:
        sys_.setns(fd, flag)
    finally:
        os.close(fd)
