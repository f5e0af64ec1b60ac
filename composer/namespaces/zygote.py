"""The process that forks shims: single-threaded, few modules, a child of whoever opened the engine.

It runs `python -I -S` from a read-only mount of the interpreter (CVE-2019-5736), imports all that a shim will
need, and then answers one kind of message: a launch document and descriptors. It ends when its socket
does; shims live on.
"""

from __future__ import annotations

import gc
import os
import signal
import socket
import sys

from composer.namespaces.cgroups import machine, v1, v2
from composer.namespaces.kernel import constants, syscalls, title
from composer.namespaces.sandbox import child
from composer.namespaces.shim import main as shim
from composer.namespaces.shim.messages import socket_receive
from composer.namespaces.step_process import main as step_main
from composer.namespaces.zygote_protocol import MESSAGE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

_SOCKET = 3
_NOFILE = 7
_SIGCHLD = 17
_preloaded = (child, constants, v1, v2)


def serve(sock: socket.socket) -> NoReturn:
    """Fork for each message: `shim DOCUMENT` with [control, held ports...], `step DOCUMENT` with two."""
    machine()
    gc.collect()
    gc.freeze()
    gc.disable()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # shims are nobody's business here: no zombies
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # for the shims, which inherit it; here the socket decides
    while True:
        try:
            data, fds, _, _ = socket_receive(sock, MESSAGE)
        except ConnectionResetError:
            os._exit(0)
        if not data:
            os._exit(0)
        if os.fork() == 0:
            sock.close()
            os.setsid()
            _become(data, fds)
        for fd in fds:
            os.close(fd)


def _become(data: bytes, fds: list[int]) -> NoReturn:
    syscalls.default_action(_SIGCHLD)
    kind, _, document = data.partition(b" ")
    control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=fds[0])
    if kind == b"step":
        step_main(document, control, fds[1])
    shim.main(document, control, fds[1:])


def main() -> NoReturn:
    """Entry: the environment names the socket's descriptor; every other one but stdio is closed."""
    fd = int(os.environ.pop("ZYGOTE_FD"))
    if fd != _SOCKET:
        os.dup2(fd, _SOCKET, inheritable=False)
    os.set_inheritable(_SOCKET, False)
    syscalls.close_range(_SOCKET + 1)
    hard = syscalls.getrlimit(_NOFILE)[1]
    syscalls.prlimit(0, _NOFILE, hard, hard)  # a shim may hold many ports
    os.umask(0o022)
    os.chdir("/")
    syscalls.prctl(constants.PR_SET_DUMPABLE, 0)
    title.remember()
    title.change(b"composer-zygote", b"composer-zygote")
    sys.stdin = sys.stdout = None
    serve(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, fileno=_SOCKET))
