"""The agent's side of the zygote: start it, ask it for shims, start another when it died."""

from __future__ import annotations

import marshal
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import composer
from composer.errors import EngineError, UnsupportedError
from composer.namespaces.kernel import constants as c
from composer.namespaces.kernel import syscalls as sys_
from composer.namespaces.zygote_protocol import MESSAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

_SNDBUFFORCE = 32
_CODE = "import sys; sys.path.insert(0, sys.argv[1]); from composer.namespaces.zygote import main; main()"


class Zygote:
    """A running zygote. Not safe for threads; a fork request takes a few microseconds here."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._sock: socket.socket | None = None

    def start(self) -> None:
        """Start it; returns at once, requests wait in its socket until it is ready.

        Raises:
            UnsupportedError: No root privileges.
        """
        if os.geteuid() != 0:
            raise UnsupportedError(
                "the namespace engine needs root privileges",
                hint="run composer with sudo; rootless mode is not available yet",
            )
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        package = str(Path(composer.__file__).parent.parent)
        interpreter = _sealed_interpreter()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-OO", "-c", _CODE, package],
                executable=f"/proc/self/fd/{interpreter}" if interpreter >= 0 else sys.executable,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=None,
                pass_fds=(theirs.fileno(), *([interpreter] if interpreter >= 0 else [])),
                env={"ZYGOTE_FD": str(theirs.fileno()), **os.environ},
                start_new_session=True,
            )
        finally:
            theirs.close()
            if interpreter >= 0:
                os.close(interpreter)
        ours.setsockopt(socket.SOL_SOCKET, _SNDBUFFORCE, 4 * MESSAGE)
        self._sock = ours

    @property
    def pid(self) -> int:
        """Its process id, 0 when there is none."""
        return self._process.pid if self._process else 0

    def fork(self, kind: str, launch: dict[str, Any], fds: Sequence[int]) -> None:
        """Fork a `shim` or `step` for a launch document, handing over *fds*.

        Raises:
            EngineError: It cannot be reached, even after it was started anew.
        """
        # Version 2 has no interned strings: making them grew a table of the shim by 300 KiB.
        message = kind.encode() + b" " + marshal.dumps(launch, 2)
        if len(message) > MESSAGE:
            raise EngineError(
                f"the configuration of container {launch['name']} is too large: {len(message)} bytes",
                hint="put large values into files and mount them",
            )
        for attempt in (1, 2):
            try:
                if self._sock is None:
                    self.start()
                sock = self._sock
                if sock is None:
                    continue
                socket.send_fds(sock, [message], list(fds))
            except (BrokenPipeError, ConnectionResetError) as error:
                self.close()
                if attempt == 2:
                    raise EngineError(f"the zygote cannot be started: {error}") from error
                continue
            return

    def close(self) -> None:
        """End it; shims live on."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None
        if self._process is not None:
            self._process.wait()
            self._process = None


def _sealed_interpreter() -> int:
    """A descriptor of the interpreter on a read-only mount of its own, or -1 where the kernel has none.

    /proc/PID/exe of a shim or a joining process then leads to a file that nobody can open for writing.
    """
    try:
        mount = sys_.open_tree(c.AT_FDCWD, os.path.realpath(sys.executable), c.OPEN_TREE_CLONE)
        sys_.mount_setattr(mount, "", c.AT_EMPTY_PATH, add=c.MOUNT_ATTR_RDONLY)
    except OSError:
        return -1
    return mount
