"""Self-repair: when somebody changes the machine's firewall, see that our part is still there.

An administrator's `nft flush ruleset`, a `firewall-cmd --reload` or a Docker that starts later would cut
containers off. The kernel announces each change of nftables to who listens, so nothing is polled.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import anyio

from composer.errors import ComposerError
from composer.namespaces.network.netlink import NETLINK_NETFILTER, open_netlink

if TYPE_CHECKING:
    import socket

    from composer.namespaces.network.manager import NetworkManager

_NFNLGRP_NFTABLES = 7
_QUIET_SECONDS = 0.3
"""After the last change of a series; our own changes come through here too."""


async def watch(manager: NetworkManager) -> None:
    """Reconcile now and after every change of nftables by anybody, until cancelled."""
    with open_netlink(NETLINK_NETFILTER, group=_NFNLGRP_NFTABLES) as sock:
        sock.setblocking(False)
        while True:
            # What cannot be repaired now is reported by the next command that needs it.
            with contextlib.suppress(ComposerError):
                manager.reconcile()
            await anyio.wait_readable(sock)
            while _drain(sock):
                with anyio.move_on_after(_QUIET_SECONDS):
                    await anyio.wait_readable(sock)


def _drain(sock: socket.socket) -> bool:
    """Read everything that is there; whether there was something."""
    found = False
    while True:
        try:
            sock.recv(1 << 16)
        except BlockingIOError:
            return found
        except OSError:  # ENOBUFS: more happened than fits, which is all there is to know
            pass
        found = True
