"""`up` with its output: create, start, follow the logs, end as the containers or the user want.

The agent starts containers while this process already shows what they write; a thread reads the agent's
events meanwhile, and everything meets in one select. Logs come from the log files (see `follow`), hence also
from containers that somebody else restarts or recreates.
"""

from __future__ import annotations

import os
import select
import signal
import threading
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from composer.cli.follow import Follower
from composer.cli.main import report_error
from composer.cli.operate import connect, operate
from composer.cli.render import make_renderer
from composer.cli.render.base import BaseRenderer
from composer.cli.render.logs import LogPrinter
from composer.cli.snapshot import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from composer.agent.client import Client
    from composer.cli.context import Context
    from composer.cli.follow import Change
    from composer.cli.snapshot import Container
    from composer.events import Event
    from composer.spec import LoadedProject


class Choice(NamedTuple):
    """Whose output is shown, and when everything stops.

    Attributes:
        services: Only these; empty: all.
        without: Not these.
        abort: Stop everything at the first `exit`, or the first `failure`.
        code_from: Return this service's exit code.
    """

    services: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    abort: Literal["", "exit", "failure"] = ""
    code_from: str = ""


class _Warnings(BaseRenderer):
    """Shows only what must not be missed while logs have the screen."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def handle(self, event: Event) -> None:
        if event.kind == "warning":
            self._context.warn(event.text)


class _Request(threading.Thread):
    """One operation of the agent, in a thread; `wake` gets a byte when it has ended."""

    def __init__(
        self,
        context: Context,
        op: str,
        options: Mapping[str, Any],
        loaded: LoadedProject,
        wake: int,
        *,
        show: bool,
        client: Client | None = None,
    ) -> None:
        super().__init__(daemon=True)
        self._arguments = (context, op, options)
        self._loaded = loaded
        self._wake = wake
        self._show = show
        self._client = client
        self.done = False
        self.error: BaseException | None = None

    def run(self) -> None:
        context, op, options = self._arguments
        # The live table would paint over the logs.
        renderer = make_renderer(context, live=False) if self._show else _Warnings(context)
        try:
            operate(context, op, options, loaded=self._loaded, renderer=renderer, client=self._client)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            self.error = error
        self.done = True
        os.write(self._wake, b"d")


class Attached:
    """One attached `up`.

    Args:
        context: Options, streams.
        loaded: The project.
        options: `UpOptions` as JSON.
        choice: What is shown, and when it ends.
        watch: Watch source files too, in a child process.
    """

    def __init__(
        self,
        context: Context,
        loaded: LoadedProject,
        options: Mapping[str, Any],
        choice: Choice,
        *,
        watch: bool = False,
    ) -> None:
        self._context = context
        self._loaded = loaded
        self._options = dict(options)
        self._choice = choice
        self._watch = watch
        self._go = -1
        self._interrupts = 0
        self._stopping: _Request | None = None
        self._code = 0
        self._decided = False

    def run(self, *, prefix: bool, colour: bool, timestamps: bool) -> int:
        """Do it and return the exit code."""
        # One connection for both passes: the agent stays while it is open.
        with connect(self._context, self._loaded) as client:
            return self._run(client, prefix=prefix, colour=colour, timestamps=timestamps)

    def _run(self, client: Client, *, prefix: bool, colour: bool, timestamps: bool) -> int:
        context = self._context
        made = {**self._options, "start": False}
        operate(context, "up", made, loaded=self._loaded, title="up", client=client)
        # Before there is a thread: only the thread that forks lives on in a child.
        watcher = self._start_watching() if self._watch else 0
        printer = LogPrinter(
            context.stdout, context.stderr, colour=colour, prefix=prefix, timestamps=timestamps
        )
        read, write = os.pipe()
        os.set_blocking(write, False)
        handlers = {
            number: signal.signal(number, self._interrupted) for number in (signal.SIGINT, signal.SIGTERM)
        }
        previous = signal.set_wakeup_fd(write)
        try:
            with Follower(context.paths, self._loaded.name, self._wanted) as follower:
                names = sorted(container.short_name for container in follower.containers)
                printer.register(names)
                context.print(f"Attaching to {', '.join(names)}")
                context.stdout.flush()
                # The second pass only starts what the first one made.
                start = {
                    **self._options,
                    "recreate": "never",
                    "recreate_dependencies": "never",
                    "renew_volumes": False,
                    "ignore_orphans": True,
                    "remove_orphans": False,
                    "build": "never",
                    "pull": "never",
                }
                starting = self._request("up", start, write, show=False, client=client)
                self._follow(follower, printer, starting, read, write)
        finally:
            if watcher:
                os.kill(watcher, signal.SIGTERM)
                os.waitpid(watcher, 0)
            signal.set_wakeup_fd(previous)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.close(read)
            os.close(write)
        return 130 if self._interrupts else self._code

    def _start_watching(self) -> int:
        """A child that watches source files as soon as everything has been started; returns its pid."""
        from composer.cli.watcher import watch_project

        wait, self._go = os.pipe()
        child = os.fork()
        if child:
            os.close(wait)
            return child
        code = 1
        try:
            os.close(self._go)
            # What changes before the containers run could be copied nowhere.
            if not os.read(wait, 1):
                os._exit(0)
            watch_project(self._context, self._loaded, self._options["services"])
        except KeyboardInterrupt:
            code = 130
        except BaseException as error:  # noqa: BLE001 - the end of this process
            code = report_error(error, debug=self._context.options.debug)
        finally:
            self._context.stderr.flush()
            os._exit(code)

    def _wanted(self, container: Container) -> bool:
        choice = self._choice
        if container.oneoff or container.service in choice.without:
            return False
        if choice.code_from == container.service:
            return True
        return not choice.services or container.service in choice.services

    def _interrupted(self, _number: int, _frame: object) -> None:
        self._interrupts += 1

    def _request(
        self,
        op: str,
        options: Mapping[str, Any],
        wake: int,
        *,
        show: bool,
        client: Client | None = None,
    ) -> _Request:
        request = _Request(self._context, op, options, self._loaded, wake, show=show, client=client)
        request.start()
        return request

    def _follow(
        self, follower: Follower, printer: LogPrinter, starting: _Request, read: int, write: int
    ) -> None:
        handled = 0
        while True:
            if starting.done and self._go >= 0:
                os.write(self._go, b"g")
                os.close(self._go)
                self._go = -1
            settled = starting.done and self._stopping is None and not self._watch
            patience = follower.patience() if settled else None
            ready, _, _ = select.select([follower.fd, read], [], [], patience)
            if read in ready:
                os.read(read, 64)
            for change in follower.changes(0):
                self._show(change, follower, printer, write)
            while handled < self._interrupts:
                handled += 1
                self._stop_for_user(handled, write)
            if starting.error is not None and not self._interrupts and self._stopping is None:
                raise starting.error
            if self._stopping is not None:
                if not self._stopping.done:
                    continue
                for change in follower.changes(0):
                    self._show(change, follower, printer, write)
                # A container that ended by itself cannot be killed, and need not be.
                if self._stopping.error is not None and follower.patience() is None:
                    raise self._stopping.error
                return
            if settled and follower.patience() == 0:
                return

    def _stop_for_user(self, count: int, write: int) -> None:
        err = self._context.stderr
        if count == 1:
            err.write("\nGracefully stopping... (press Ctrl+C again to force)\n")
            self._stop("stop", write)
        elif count == 2:
            err.write("\nKilling...\n")
            self._stop("kill", write)

    def _stop(self, op: str, write: int) -> None:
        services = sorted(self._loaded.service_names)
        timeout = {"timeout": self._options.get("timeout")} if op == "stop" else {}
        self._stopping = self._request(op, {"services": services, **timeout}, write, show=True)

    def _show(self, change: Change, follower: Follower, printer: LogPrinter, write: int) -> None:
        container = change.container
        name = container.short_name
        if change.line is not None:
            printer.line(name, change.line.text, stream=change.line.stream, time=change.line.time)
            return
        if change.kind == "removed":
            if container.alive and _is_replaced(container, follower.containers):
                printer.status(name, "has been recreated")
            return
        before = change.before or {}
        ran = before.get("status") in ("running", "paused", "stopping")
        again = before.get("restart_count", 0) != container.state.get("restart_count", 0)
        if not ran or (container.status in ("running", "paused", "stopping") and not again):
            return
        if _is_replaced(container, follower.containers):
            printer.status(name, "has been recreated")
            return
        suffix = " (restarting)" if container.status in ("restarting", "running") else ""
        printer.status(name, f"exited with code {container.exit_code}{suffix}")
        if not suffix:
            self._ended(container, write)

    def _ended(self, container: Container, write: int) -> None:
        """Stop everything when this was the end that was waited for."""
        choice = self._choice
        if choice.code_from == container.service and not (self._decided and self._code):
            self._code = container.exit_code
            self._decided = True
        if not choice.abort or self._stopping is not None or self._interrupts:
            return
        if choice.abort == "failure" and container.exit_code == 0:
            return
        if not choice.code_from:
            self._code = container.exit_code
        self._context.stderr.write("Aborting on container exit...\n")
        self._stop("stop", write)


def _is_replaced(container: Container, others: Sequence[Container]) -> bool:
    """Whether a newer container was made to take its place: then its end is not the service's."""
    return any(
        other.labels.get(f"{PREFIX}replace") == container.name
        and other.config.get("created", 0.0) > container.config.get("created", 0.0)
        for other in others
    )
