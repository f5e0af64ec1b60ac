"""The life of one container: start, output, end, restart by policy, and how it is taken down.

States are those of `engine.ContainerStatus`. Whoever asked for the start hears first whether it happened.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress

from composer.namespaces.cgroups import open_cgroup
from composer.namespaces.kernel import syscalls as sys_
from composer.namespaces.kernel.errors import LaunchError, describe
from composer.namespaces.network import endpoint
from composer.namespaces.shim import log, runner, starter
from composer.namespaces.shim.probe import Prober
from composer.namespaces.shim.state import FIRST_DELAY, LONGEST_DELAY, StateFile, start_time
from composer.namespaces.shim.streams import Streams

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from typing import Any

    from composer.namespaces.cgroups import Cgroup
    from composer.namespaces.shim.loop import Loop, Timer
    from composer.namespaces.shim.starter import Held

LONG_RUN = 10.0
DRAIN = 1.0
_OOM_LATER = 0.1  # the alarm of cgroup v1 comes before the kill


class Container:
    """One container and everything the shim holds for it.

    Args:
        loop: The shim's loop.
        launch: The launch document.
        tell: Called with the action's name after each change of state.
    """

    def __init__(self, loop: Loop, launch: dict[str, Any], tell: Callable[[str], None]) -> None:
        self.loop = loop
        self.launch = launch
        self.state = StateFile(launch["run"], launch["directory"], launch["state"])
        self.setups: list[dict[str, Any]] = launch["network"]["setups"]
        self.init: runner.Running | None = None
        self.warnings: list[str] = []
        self._tell = tell
        self.held: Held | None = None
        self._log = log.from_config(f"{launch['directory']}/container.log", launch["log"])
        self.streams = Streams(loop, self._log)
        check = launch["healthcheck"]
        self._prober = Prober(loop, self, check) if check else None
        self._delay = FIRST_DELAY
        self._started = 0.0
        self._oom_seen = 0
        self._oom_look: Timer | None = None
        self._restart_timer: Timer | None = None
        self._kill_timer: Timer | None = None
        self._stop_waiters: list[Callable[[], None]] = []
        self.leaving = False
        self.over = False

    def start_first(self) -> None:
        """Make network and cgroup, then start the command.

        Raises:
            LaunchError: See `runner.start_init`; whatever was made is removed again.
        """
        try:
            self._start()
        except BaseException:
            self._release()
            raise

    @property
    def cgroup(self) -> Cgroup:
        """Its control group; looked up when it is needed, which for most containers is once."""
        return open_cgroup(self.launch["cgroup"]["path"])

    def _start(self) -> None:
        process = self.launch["process"]
        stdio = [] if process["terminal"] else self.streams.make_pipes(stdin=process["stdin_open"])
        try:
            started, held = starter.start(self.launch, self.held, stdio)
        except BaseException:
            self.streams.close()
            raise
        if held is not self.held:
            self.held = held
            if held.alarm_events:
                self.loop.watch(held.alarm, lambda _: self._alarmed(held.alarm), held.alarm_events)
        init = started.init
        self.warnings = started.warnings
        self._oom_seen = started.oom_kills
        self.init = init
        if process["terminal"]:
            self.streams.take_master(init.master)
        self.loop.watch(init.pidfd, lambda _: self._ended())
        self._started = time.monotonic()
        self.state.values["shim"]["init"] = [init.pid, start_time(init.pid)]
        self.state.values["shim"]["asked"] = ""
        self.state.update(
            status="running",
            pid=init.pid,
            started_at=time.time(),
            exit_code=0,
            oom_killed=False,
            error="",
            health="starting" if self._prober else "none",
            failing_streak=0,
        )
        self._tell("start")
        if self._prober:
            self._prober.start()

    def clone_exec(self, process: dict[str, Any], stdio: list[int]) -> runner.Running:
        """Start a command in the running container; *stdio* is closed here.

        Raises:
            LaunchError: The container does not run, or is paused.
        """
        status = self.state["status"]
        if self.init is None or self.held is None or status not in ("running", "stopping"):
            for fd in stdio:
                os.close(fd)
            words = "is paused" if status == "paused" else "is not running"
            raise LaunchError(f"container {self.state['name']} {words}", kind="conflict")
        return runner.start_exec(self.launch, process, self.init, self.held.procs, self.held.born, stdio)

    def health_changed(self, health: str, streak: int, output: str) -> None:
        """The prober's verdict; told to everybody when it differs from the last."""
        before = self.state["health"]
        if (health, streak, output) == (before, self.state["failing_streak"], self.state["health_log"]):
            return
        self.state.update(health=health, failing_streak=streak, health_log=output)
        if health != before:
            self._tell("health_status")

    def signal(self, number: int) -> None:
        """Send a signal to pid 1.

        Raises:
            LaunchError: It does not run.
        """
        if self.init is None:
            if number == 9 and self._restart_timer:
                self._cancel_restart()
                return
            raise LaunchError(f"container {self.state['name']} is not running", kind="conflict")
        if number in (9, self.launch["stop_signal"]):
            # Whoever sends these means it to end, whatever the restart policy; as Docker has it.
            self.state.values["stopped_by_user"] = True
            self.state.values["shim"]["asked"] = "kill"
            if self.state["status"] == "paused":
                self.cgroup.thaw()
        sys_.pidfd_send_signal(self.init.pidfd, number)

    def stop(self, timeout: float | None, done: Callable[[], None]) -> None:
        """Stop it for good: signal, grace, kill of all that is left; *done* is called when it is over."""
        self._stop_waiters.append(done)
        self.state.values["stopped_by_user"] = True
        self.state.values["shim"]["asked"] = "stop"
        self._end(timeout)

    def shut_down(self) -> None:
        """The machine goes down: as `stop`, but nobody decided that it shall stay down afterwards."""
        self.leaving = True
        self._end(None)

    def _end(self, timeout: float | None) -> None:
        if self.init is None:
            self._cancel_restart()
            return
        if self.state["status"] == "paused":
            self.cgroup.thaw()
        self.state.update(status="stopping")
        grace = self.launch["stop_timeout"] if timeout is None else timeout
        try:
            sys_.pidfd_send_signal(self.init.pidfd, self.launch["stop_signal"])
        except OSError:
            return  # it has ended by itself; the loop is about to learn it
        if self._kill_timer:
            self._kill_timer.cancel()
        if grace >= 0:
            self._kill_timer = self.loop.call_later(grace, self.kill_all)

    def kill_all(self) -> None:
        """SIGKILL to everything in the container's cgroup."""
        if self.init is not None:
            with suppress(OSError):
                sys_.pidfd_send_signal(self.init.pidfd, 9)
        self.cgroup.kill()

    def pause(self) -> None:
        """Freeze it."""
        if self.state["status"] != "running":
            raise LaunchError(f"container {self.state['name']} is not running", kind="conflict")
        if self._prober:
            self._prober.stop()
        self.cgroup.freeze()
        self.state.update(status="paused")
        self._tell("pause")

    def unpause(self) -> None:
        """Thaw it."""
        if self.state["status"] != "paused":
            raise LaunchError(f"container {self.state['name']} is not paused", kind="conflict")
        self.cgroup.thaw()
        self.state.update(status="running")
        if self._prober:
            self._prober.start()
        self._tell("unpause")

    def connect(self, setup: dict[str, Any], described: dict[str, Any]) -> None:
        """Join a further network."""
        if not self.launch["network"]["own"] or self.held is None:
            raise LaunchError("a container with a shared network cannot join another", kind="conflict")
        starter.in_network(self.held.namespace, lambda host: endpoint.setup_endpoints([setup], host))
        self.setups.append(setup)
        self.state.update(endpoints=[*self.state["endpoints"], described])
        self._tell("connect")

    def disconnect(self, network: str) -> None:
        """Leave a network."""
        gone = [setup for setup in self.setups if setup["network"] == network]

        def leave(host: socket.socket) -> None:
            for setup in gone:
                endpoint.remove_endpoint(setup, host)

        self._in_network(leave)
        for setup in gone:
            self.setups.remove(setup)
        self.state.update(
            endpoints=[entry for entry in self.state["endpoints"] if entry["network"] != network]
        )
        self._tell("disconnect")

    def set_gateways(self, setups: list[dict[str, Any]]) -> None:
        """The default routes that are due after a network was joined or left."""
        self._in_network(lambda _: endpoint.set_gateways(setups))

    def _in_network(self, call: Callable[[socket.socket], None]) -> None:
        if self.launch["network"]["own"] and self.held is not None:
            starter.in_network(self.held.namespace, call)

    def _ended(self) -> None:
        init = self.init
        if init is None:
            return
        self.loop.forget(init.pidfd)
        self.init = None
        if self._kill_timer:
            self._kill_timer.cancel()
            self._kill_timer = None
        if self._prober:
            self._prober.stop()
        code = init.exit_code()
        if self.launch["pid_namespace"]:
            self.cgroup.kill()  # nobody else ends what it left behind in a shared pid namespace
        self.streams.drain(DRAIN)
        self._look_for_oom()
        self.state.values.update(pid=0, exit_code=code, finished_at=time.time(), health_log="")
        self.state.values["shim"]["init"] = [0, 0]
        self._after_end(code)

    def _alarmed(self, alarm: int) -> None:
        """The kernel ran out of this container's memory, and is killing or about to."""
        try:
            self.cgroup.heard(alarm)
        except OSError:
            self.loop.forget(alarm)  # the group is gone
            return
        self._look_for_oom()
        if self._oom_look is None:
            self._oom_look = self.loop.call_later(_OOM_LATER, self._look_again)

    def _look_again(self) -> None:
        self._oom_look = None
        self._look_for_oom()

    def _look_for_oom(self) -> None:
        """Tell of processes that the OOM killer ended since the last look."""
        try:
            kills = self.cgroup.oom_kills()
        except OSError:
            return
        if kills > self._oom_seen:
            self._oom_seen = kills
            self.state.update(oom_killed=True)
            self._tell("oom")

    def _after_end(self, code: int) -> None:
        if time.monotonic() - self._started >= LONG_RUN:
            self._delay = FIRST_DELAY
        if not self._wants_restart(code):
            self._finish()
            return
        delay = self._delay
        self._delay = min(self._delay * 2, LONGEST_DELAY)
        self.state.update(
            status="restarting", health="none" if not self._prober else "starting", failing_streak=0
        )
        self._tell("die")
        self._restart_timer = self.loop.call_later(delay, self._restart)

    def _wants_restart(self, code: int) -> bool:
        policy = self.launch["restart"]
        if self.state["stopped_by_user"] or self.leaving or policy["name"] == "no":
            return False
        if not os.path.isdir(self.launch["directory"]):
            return False  # its state was removed by hand: nobody could find what would be started
        if policy["name"] == "on-failure":
            limit = policy["max_retries"]
            return code != 0 and (not limit or self.state["restart_count"] < limit)
        return True

    def _restart(self) -> None:
        self._restart_timer = None
        self.state.values["restart_count"] += 1
        try:
            self._start()
        except (LaunchError, OSError) as error:
            report = describe(error)
            code = {"not-found": 127, "cannot-invoke": 126}.get(report["kind"], 125)
            self.state.values.update(error=report["message"], exit_code=code, finished_at=time.time())
            self._after_end(code)
            return
        self._tell("restart")

    def _cancel_restart(self) -> None:
        if self._restart_timer:
            self._restart_timer.cancel()
            self._restart_timer = None
            self._finish()

    def _finish(self) -> None:
        """It is over: say so, then give everything back."""
        self.state.values["shim"]["over"] = True
        self.state.update(status="exited", pid=0, health="none")
        self._tell("die")
        for done in self._stop_waiters:
            done()
        self._stop_waiters.clear()
        self._release()
        self.over = True
        self.loop.stop()

    def _release(self) -> None:
        # The veths end with the namespace, when this process does: the kernel tears down many namespaces
        # together in 15 ms, while deleting one link by hand takes 11-22 ms under its big network lock.
        self._log.close()
        with suppress(OSError):  # it was never made
            self.cgroup.kill()
        with suppress(OSError):  # what cannot be removed now is removed with the container
            self.cgroup.remove()
