"""`init: true`: a small pid 1 that forwards signals to the command, reaps, and ends with its exit code.

What tini and catatonit do. It is this process after all rights were given up: no capabilities beyond the
container's, the seccomp filter on, not dumpable.
"""

from __future__ import annotations

import os
import signal

from composer.namespaces.kernel import constants as c
from composer.namespaces.kernel import syscalls as sys_
from composer.namespaces.kernel import title

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket

_NAME = b"composer-init"
_NOT_FORWARDED = frozenset(
    {signal.SIGCHLD, signal.SIGKILL, signal.SIGSTOP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGTSTP}
)


def split(channel: socket.socket, arguments: list[bytes]) -> None:
    """Fork: the child returns and executes *arguments*, this process stays as pid 1 and never returns."""
    everything = signal.valid_signals()
    signal.pthread_sigmask(signal.SIG_BLOCK, everything)
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        try:
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            os.tcsetpgrp(0, os.getpid())
        except OSError:
            pass  # standard input is no terminal
        signal.signal(signal.SIGTTOU, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        return
    channel.close()
    sys_.prctl(c.PR_SET_DUMPABLE, 0)
    title.change(_NAME, b" ".join([_NAME, b"--", *arguments]), forget_environment=True)
    for fd in (0, 1, 2):
        os.close(fd)
    while True:
        number = signal.sigwait(everything)
        if number == signal.SIGCHLD:
            _reap(pid)
        elif number not in _NOT_FORWARDED:
            try:
                os.kill(-pid, number)
            except ProcessLookupError:
                _reap(pid)


def _reap(main: int) -> None:
    """Collect every ended child; end with the command's own status when it is among them."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if pid == main:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)
