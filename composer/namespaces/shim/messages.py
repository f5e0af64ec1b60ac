"""Messages with descriptors alongside, as all sockets between agent, zygote, shim and container carry them.

Apart from what else a shim does, because the agent imports it, too.
"""

from __future__ import annotations

import array
import json
import socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_FDS = 253
"""Descriptors that one message can carry, SCM_MAX_FD of the kernel."""


def socket_receive(sock: socket.socket, size: int = 65536) -> tuple[bytes, list[int], int, Any]:
    """Receive with the descriptors that came along, all close-on-exec."""
    space = socket.CMSG_LEN(MAX_FDS * 4)
    data, ancillary, flags, address = sock.recvmsg(size, space, socket.MSG_CMSG_CLOEXEC)
    fds = array.array("i")
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(payload[: len(payload) - len(payload) % 4])
    return data, list(fds), flags, address


def send_fds(sock: socket.socket, message: dict[str, Any], fds: list[int]) -> None:
    """Send *message* with descriptors alongside."""
    rights = array.array("i", fds)
    sock.sendmsg(
        [json.dumps(message).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if fds else []
    )
