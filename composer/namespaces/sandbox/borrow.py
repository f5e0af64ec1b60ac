"""A detached mount that only a process elsewhere can make: a child makes it and hands the descriptor back.

open_tree(2) clones what lies in the caller's own mount namespace, and mount(2) attaches there. A child in
another namespace does both without the host ever seeing a mount, and its namespace goes when it ends.
"""

from __future__ import annotations

import errno
import os
import socket

from composer.namespaces.kernel import syscalls as sys_
from composer.namespaces.kernel.errors import KernelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def from_child(make: Callable[[], int], *, flags: int, call: str, path: str) -> int:
    """The descriptor that *make* returns in a forked child.

    Args:
        make: Runs in the child, returns an open descriptor or raises OSError.
        flags: `CLONE_NEW*` for the child (clone3(2)).
        call: What failed, for the error: a system call's name.
        path: On what, for the error.

    Raises:
        KernelError: *make* failed, with its errno; EIO when the child died.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    child, pidfd = sys_.clone3(flags)
    if child == 0:
        try:
            socket.send_fds(theirs, [b"0"], [make()])
        except OSError as error:
            theirs.send(str(error.errno or errno.EIO).encode())
        finally:
            os._exit(0)
    theirs.close()
    try:
        message, fds, _, _ = socket.recv_fds(ours, 4096, 1)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    finally:
        ours.close()
        os.close(pidfd)
    if not fds:
        raise KernelError(int(message or b"0") or errno.EIO, call, path)
    os.set_inheritable(fds[0], False)
    return fds[0]
