"""Carries a plan out: whatever has nothing to wait for runs, all at once; it decides nothing.

The first failure cancels the rest. What is half made then is finished or undone here when that takes
moments, and otherwise found by the next command, because every operation is idempotent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from composer.controller import plan as ops
from composer.controller.blame import blamed
from composer.controller.gates import verdict
from composer.controller.operations import Operations
from composer.errors import ComposerError, DependencyFailedError, OperationTimeoutError
from composer.events import Event
from composer.graph import COMPLETED

if TYPE_CHECKING:
    from composer.controller.gates import Verdict
    from composer.controller.plan import Operation, Plan
    from composer.controller.world import World
    from composer.events import Kind, Report

CLEANUP_SECONDS = 10.0
"""How long undoing may take after a failure or a cancellation."""


class Executor:
    """Runs one plan.

    Args:
        world: What there is, and what the operations make; see `World`.
        report: Takes the events.
        parallel: Most operations at once, 0 without limit; waiting does not count.
        wait_timeout: Seconds for the waits of `--wait`, None without limit.
    """

    def __init__(
        self, world: World, report: Report, *, parallel: int = 0, wait_timeout: float | None = None
    ) -> None:
        self._world = world
        self._report = _without_repetition(report)
        self._operations = Operations(world, self._report)
        self._limit = anyio.CapacityLimiter(parallel) if parallel > 0 else None
        self._wait_timeout = wait_timeout
        self._failure: BaseException | None = None

    async def run(self, plan: Plan) -> None:
        """Carry out *plan*.

        Raises:
            ComposerError: An operation failed; the others were cancelled.
            DependencyFailedError: A dependency became unhealthy, exited, or did not complete.
            OperationTimeoutError: `wait_timeout` is over.
        """
        for service, name in plan.unchanged:
            self._report(Event("container", name, "Running", "done", service=service))
        for warning in plan.warnings:
            self._report(Event("warning", plan.project, text=warning))
        self._world.begin(plan)
        try:
            await self._run_all(plan)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(CLEANUP_SECONDS, shield=True):
                await self._operations.settle()
        if self._failure is not None:
            raise self._failure

    async def _run_all(self, plan: Plan) -> None:
        known = {operation.key for operation in plan}
        missing = {operation.key: len(known.intersection(operation.after)) for operation in plan}
        dependants: dict[str, list[Operation]] = {}
        for operation in plan:
            for key in known.intersection(operation.after):
                dependants.setdefault(key, []).append(operation)

        async with anyio.create_task_group() as group:

            async def chain(first: Operation) -> None:
                """One operation, then what waited for it: a container starts before the next is made."""
                operation: Operation | None = first
                while operation is not None:
                    try:
                        await self._perform(operation)
                    except Exception as error:  # noqa: BLE001 - reported, and raised by run()
                        if self._failure is None:
                            self._failure = self._blame(operation, error)
                        group.cancel_scope.cancel()
                        return
                    ready = []
                    for dependant in dependants.get(operation.key, ()):
                        missing[dependant.key] -= 1
                        if not missing[dependant.key]:
                            ready.append(dependant)
                    operation = ready.pop(0) if ready else None
                    for other in ready:
                        group.start_soon(chain, other)

            for operation in [item for item in plan if not missing[item.key]]:
                group.start_soon(chain, operation)

    async def _perform(self, operation: Operation) -> None:
        if isinstance(operation, ops.WaitFor):
            await self._wait(operation)
        elif self._limit is None:
            await self._operations.perform(operation)
        else:
            async with self._limit:
                await self._operations.perform(operation)

    def _blame(self, operation: Operation, error: Exception) -> Exception:
        """Report the failure, and point at the place in the file where there is one."""
        if isinstance(error, ComposerError):
            project = self._world.project
            if not isinstance(error, DependencyFailedError):
                error.path = blamed(error, operation, project)
            if project is not None and error.where is None and error.path:
                error.where = project.locate(error.path)
        if isinstance(operation, ops.WaitFor):
            return error  # the container in question has been reported
        kind: Kind = operation.kind  # type: ignore[assignment]
        text = str(getattr(error, "message", error))
        for said in (f"{kind} {operation.name}: ", f"cannot pull {operation.name}: "):
            text = text.removeprefix(said)  # the event names it already
        self._report(Event(kind, operation.name, "Error", "error", service=operation.service, text=text))
        return error

    # Waiting

    async def _wait(self, operation: ops.WaitFor) -> None:
        world = self._world
        ids = [world.resolve(reference) for reference in operation.containers]
        names = [world.name(container) for container in ids]
        for name in names:
            self._report(Event("container", name, "Waiting", "working", service=operation.service))

        def check() -> Verdict | None:
            return verdict(
                operation.condition,
                operation.name,
                names,
                [world.watcher.states.get(container) for container in ids],
                dependency=operation.dependency,
            )

        timeout = None if operation.dependency else self._wait_timeout
        with anyio.move_on_after(timeout) as scope:
            result = await world.watcher.until(check)
        if scope.cancelled_caught:
            raise OperationTimeoutError(
                f"application not healthy after {timeout:g}s: service {operation.name} is not ready",
                hint=f"look at `composer logs {operation.name}`",
            )
        if result.failure:
            self._failed(operation, result)
            return
        word = "Exited" if operation.condition == COMPLETED else "Healthy"
        for container, name in zip(ids, names, strict=True):
            state = world.watcher.states.get(container)
            shown = "Running" if state is not None and state.health == "none" and word == "Healthy" else word
            self._report(Event("container", name, shown, "done", service=operation.service))

    def _failed(self, operation: ops.WaitFor, result: Verdict) -> None:
        """Raise, or warn when the dependency is not required."""
        text = result.failure
        output = result.output.strip()
        if not operation.required:
            self._report(
                Event(
                    "warning",
                    operation.name,
                    service=operation.service,
                    text=f'optional dependency "{operation.name}" failed to start: {text}',
                )
            )
            return
        if result.container:
            self._report(
                Event("container", result.container, "Error", "error", service=operation.service, text=text)
            )
        hint = f"its probe said: {_last_line(output)}" if output else f"see `composer logs {operation.name}`"
        raise DependencyFailedError(text, hint=hint)


def _without_repetition(report: Report) -> Report:
    """Two waits for one container are one thing to look at."""
    last: dict[tuple[str, str], tuple[str, str]] = {}

    def once(event: Event) -> None:
        subject, said = (event.kind, event.name), (event.action, event.text)
        if event.kind == "warning" or last.get(subject) != said:
            last[subject] = said
            report(event)

    return once


def _last_line(text: str) -> str:
    line = text.splitlines()[-1].strip() if text else ""
    return line if len(line) <= 200 else f"{line[:197]}..."
