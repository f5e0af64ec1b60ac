"""Try what a container needs, in a child process whose namespaces vanish with it.

Reading `/proc` tells what a kernel was built with; only trying tells what this process may do on it. The
child unshares a mount and a network namespace first, so that nothing it makes is seen outside.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
from typing import TYPE_CHECKING

from composer.namespaces.kernel import constants as c
from composer.namespaces.kernel import syscalls
from composer.namespaces.kernel.chroot import leave_chroot

if TYPE_CHECKING:
    from collections.abc import Callable

_TIMEOUT = 20  # seconds; loading kernel modules takes some

_NFT_RULES = """
add table inet probe
add chain inet probe nat { type nat hook prerouting priority dstnat; }
add chain inet probe post { type nat hook postrouting priority srcnat; }
add map inet probe ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
add rule inet probe nat dnat ip to meta l4proto . th dport map @ports
add rule inet probe post masquerade
"""


def probe() -> dict[str, str]:
    """What was tried, each with an empty string (it works) or the reason why it does not.

    Keys: `namespaces`, `root`, `overlay`, `bridge`, `nftables`. A key whose precondition failed is missing.
    """
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(receive)
        signal.alarm(_TIMEOUT)
        code = 1
        try:
            os.write(send, json.dumps(_inside()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(send)
    with os.fdopen(receive, "rb") as stream:
        answer = stream.read()
    os.waitpid(pid, 0)
    if not answer:
        return {"namespaces": f"the probe did not end within {_TIMEOUT} seconds"}
    found: dict[str, str] = json.loads(answer)
    return found


def _inside() -> dict[str, str]:
    # Now, since a mount below may cover the directory that this program is installed in.
    from composer.namespaces.network import links, netlink, nft  # noqa: F401

    found: dict[str, str] = {}

    def attempt(what: str, call: Callable[[], None]) -> bool:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            found[what] = str(error)
            return False
        found[what] = ""
        return True

    if attempt("namespaces", _namespaces) and attempt("root", _root):
        attempt("overlay", _overlay)
        attempt("bridge", _bridge)
        attempt("nftables", _nftables)
    return found


def _namespaces() -> None:
    syscalls.unshare(c.CLONE_NEWNS | c.CLONE_NEWNET | c.CLONE_NEWUTS | c.CLONE_NEWIPC | c.CLONE_NEWPID)
    syscalls.mount("", "/", "", c.MS_REC | c.MS_PRIVATE)


def _root() -> None:
    if leave_chroot():
        raise OSError("it is a chroot, which containers could leave")


def _overlay() -> None:
    directory = tempfile.gettempdir()
    syscalls.mount("tmpfs", directory, "tmpfs", 0)
    for name in ("lower", "upper", "work", "merged"):
        os.mkdir(f"{directory}/{name}")
    layers = f"lowerdir={directory}/lower,upperdir={directory}/upper,workdir={directory}/work"
    syscalls.mount("overlay", f"{directory}/merged", "overlay", 0, layers)
    os.mkdir(f"{directory}/merged/made")
    os.rmdir(f"{directory}/merged/made")


def _bridge() -> None:
    from composer.namespaces.network import links, netlink

    with netlink.open_netlink() as sock:
        batch = netlink.Batch()
        links.add_bridge(batch, "br-probe", "02:00:00:00:00:01", 0)
        batch.run(sock)
        batch = netlink.Batch()
        namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        master = links.index_of(sock, "br-probe")
        links.add_veth(batch, "probe0", master, "probe1", "02:00:00:00:00:02", 0, namespace)
        batch.run(sock)


def _nftables() -> None:
    from composer.namespaces.network.nft import Nftables

    Nftables().run(_NFT_RULES)
