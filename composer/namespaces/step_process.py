"""A build step's process: like a shim, but without policy, log, or a socket of its own.

One container, run once, its output on a given descriptor; the control connection carries the end.
"""

from __future__ import annotations

import json
import marshal
import os

from composer.namespaces.cgroups import open_cgroup
from composer.namespaces.cgroups.devices import DEFAULT_RULES
from composer.namespaces.kernel import constants as c
from composer.namespaces.kernel import syscalls as sys_
from composer.namespaces.kernel.errors import describe
from composer.namespaces.network import endpoint
from composer.namespaces.network.netlink import open_netlink
from composer.namespaces.shim import runner
from composer.namespaces.shim.loop import Loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any, NoReturn


def main(document: bytes, control: socket.socket, output: int) -> NoReturn:
    """Run the step of a launch document; never returns.

    One message on *control*: `{"exit": code}` or `{"failed": {...}}`. When the other side closes it,
    everything in the step is killed.
    """
    try:
        launch = marshal.loads(document)  # noqa: S302 - from our own agent
        answer: dict[str, Any] = {"exit": _run(launch, control, output)}
    except BaseException as error:  # noqa: BLE001 - told to whoever asked, whatever it is
        answer = {"failed": describe(error)}
    try:
        control.send(json.dumps(answer).encode())
    finally:
        os._exit(0)


def _run(launch: dict[str, Any], control: socket.socket, output: int) -> int:
    cgroup = open_cgroup(launch["cgroup"]["path"])
    network = launch["network"]
    try:
        if network["namespace"]:
            runner.join(network["namespace"], c.CLONE_NEWNET)
        elif network["own"]:
            netlink = open_netlink()
            sys_.unshare(c.CLONE_NEWNET)
            endpoint.setup_endpoints(network["setups"], netlink)
        cgroup.create()
        resources = launch["cgroup"]["resources"]
        devices = resources.pop("devices")
        cgroup.apply(resources, [*DEFAULT_RULES, *devices])
        null = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        running = runner.start_init(launch, cgroup, [null, os.dup(output), os.dup(output)])
        return _wait(running, control, cgroup)
    finally:
        try:
            cgroup.kill()
            cgroup.remove()
        except OSError:
            pass  # it was never made, or is removed by the next look for leftovers


def _wait(running: runner.Running, control: socket.socket, cgroup: Any) -> int:
    loop = Loop()

    def given_up(_events: int) -> None:
        loop.forget(control.fileno())
        cgroup.kill()

    loop.watch(running.pidfd, lambda _: loop.stop())
    loop.watch(control.fileno(), given_up)
    loop.run()
    return running.exit_code()
