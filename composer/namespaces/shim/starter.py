"""A start is made by a helper: a fork of the shim that makes network, cgroup and mounts, and then is gone.

What the helper touches of the interpreter's memory costs only while it lives (a third of a shim's memory);
the shim keeps descriptors: the network namespace, the DNS sockets, the cgroup's doors, the terminal. The
helper clones the container's init as a child of the shim (CLONE_PARENT), which so learns how it ends.
"""

from __future__ import annotations

import json
import os
import socket

from composer.namespaces.cgroups import open_cgroup
from composer.namespaces.cgroups.devices import DEFAULT_RULES
from composer.namespaces.kernel import constants as c
from composer.namespaces.kernel import syscalls as sys_
from composer.namespaces.kernel.errors import LaunchError, describe
from composer.namespaces.network import endpoint
from composer.namespaces.network.netlink import open_netlink
from composer.namespaces.shim import runner
from composer.namespaces.shim.messages import send_fds, socket_receive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Held:
    """Descriptors that the shim keeps from the first start on.

    Attributes:
        namespace: The container's network namespace, or -1 where it has none of its own.
        dns: UDP and TCP socket on which the container asks for names; may be empty.
        procs: What a process writes "0" to in order to join the cgroup (v1).
        born: The cgroup's directory for CLONE_INTO_CGROUP, or -1.
        alarm: Tells of OOM kills, see `Cgroup.oom_alarm`; or -1.
        alarm_events: What to poll it for.
    """

    __slots__ = ("alarm", "alarm_events", "born", "dns", "namespace", "procs")

    def __init__(self) -> None:
        self.namespace = -1
        self.dns: list[int] = []
        self.procs: list[int] = []
        self.born = -1
        self.alarm = -1
        self.alarm_events = 0


class Started:
    """What a start gave: the process, and what the kernel could not do or had counted before."""

    __slots__ = ("init", "oom_kills", "warnings")

    def __init__(self, init: runner.Running, warnings: list[str], oom_kills: int) -> None:
        self.init = init
        self.warnings = warnings
        self.oom_kills = oom_kills


def start(launch: dict[str, Any], held: Held | None, stdio: list[int]) -> tuple[Started, Held]:
    """Start the container's command; returns when it has been executed.

    Args:
        launch: The launch document.
        held: What an earlier start gave; None makes network and cgroup first.
        stdio: Descriptors for 0, 1, 2, closed here; empty when the command gets a terminal.

    Raises:
        LaunchError: It could not be started.
        OSError: The kernel refused.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        pid, pidfd = sys_.clone3(0)
        if pid == 0:
            _help(launch, held, stdio, theirs)
    finally:
        theirs.close()
        for fd in stdio:
            os.close(fd)
    try:
        data, fds, _, _ = socket_receive(ours, 1 << 20)
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    finally:
        os.close(pidfd)
        ours.close()
    if not data:
        raise LaunchError("the process that starts the container was killed")
    message = json.loads(data)
    if failure := message.get("error"):
        if message["pid"]:
            os.waitid(os.P_PID, message["pid"], os.WEXITED)
        raise LaunchError.from_json(failure)
    init = runner.Running(message["pid"], os.pidfd_open(message["pid"]), None)
    if message["master"]:
        init.master = fds.pop()
    if held is None:
        held = Held()
        held.namespace = fds.pop(0)
        held.dns = [fds.pop(0) for _ in range(message["dns"])]
        held.born = fds.pop(0) if message["born"] else -1
        held.alarm_events = message["alarm"]
        held.alarm = fds.pop(0) if held.alarm_events else -1
        held.procs = fds
    return Started(init, message["warnings"], message["oom_kills"]), held


def _help(launch: dict[str, Any], held: Held | None, stdio: list[int], channel: socket.socket) -> None:
    """The helper: never returns."""
    running: runner.Running | None = None
    try:
        message: dict[str, Any] = {"warnings": [], "dns": 0, "born": False, "alarm": 0}
        fds: list[int] = []
        cgroup = open_cgroup(launch["cgroup"]["path"])
        if held is None:
            dns = _make_network(launch["network"])
            cgroup.create()
            resources = dict(launch["cgroup"]["resources"])
            devices = resources.pop("devices")
            message["warnings"] = cgroup.apply(resources, [*DEFAULT_RULES, *devices])
            born = cgroup.directory_fd()
            fds = [os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC), *dns]
            fds += [born] if born >= 0 else []
            alarm, message["alarm"] = cgroup.oom_alarm()
            fds += [alarm] if message["alarm"] else []
            fds += cgroup.procs_fds()
            message["dns"] = len(dns)
            message["born"] = born >= 0
        else:
            sys_.setns(held.namespace, c.CLONE_NEWNET)
        message["oom_kills"] = cgroup.oom_kills()
        running = runner.clone_init(launch, cgroup, stdio)
        while running.receive():
            pass
        message["pid"] = running.pid
        message["master"] = running.master >= 0
        fds += [running.master] if running.master >= 0 else []
        send_fds(channel, message, fds)
    except BaseException as error:  # noqa: BLE001 - the only way out is the channel
        pid = running.pid if running is not None else 0
        channel.send(json.dumps({"error": describe(error), "pid": pid}).encode())
    finally:
        os._exit(0)


def _make_network(network: dict[str, Any]) -> list[int]:
    """Enter the container's network namespace, made or joined; returns the DNS sockets."""
    if network["namespace"]:
        runner.join(network["namespace"], c.CLONE_NEWNET)
    elif network["own"]:
        host = open_netlink()
        sys_.unshare(c.CLONE_NEWNET)
        endpoint.setup_endpoints(network["setups"], host)
        if network["dns"]:
            return [sock.detach() for sock in endpoint.dns_sockets()]
    return []


def in_network(namespace: int, call: Callable[[socket.socket], None]) -> None:
    """Run *call* in a network namespace, with a netlink socket of the host's, in a helper.

    Raises:
        LaunchError: It failed.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid, pidfd = sys_.clone3(0)
    if pid == 0:
        answer = b"{}"
        try:
            host = open_netlink()
            sys_.setns(namespace, c.CLONE_NEWNET)
            call(host)
        except BaseException as error:  # noqa: BLE001 - the only way out is the channel
            answer = json.dumps(describe(error)).encode()
        finally:
            theirs.send(answer)
            os._exit(0)
    theirs.close()
    try:
        failure = json.loads(ours.recv(65536) or b"{}")
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED)
    finally:
        os.close(pidfd)
        ours.close()
    if failure:
        raise LaunchError(failure["message"], errno=failure["errno"])
