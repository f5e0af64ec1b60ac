"""What an agent can be asked for: one function per operation, JSON in, JSON out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.controller.options import DownOptions, RunOptions, SelectOptions, UpOptions
from composer.errors import ComposerError, UsageError
from composer.spec.model import Project
from composer.values import from_json, to_json

if TYPE_CHECKING:
    from composer.controller.controller import Controller
    from composer.events import Event, Report

STOPPING = frozenset({"stop", "kill", "down"})
"""Operations that do not wait for the one that is running, but end it."""

READING = frozenset({"plan", "ping"})
"""Operations that change nothing, and wait for nobody."""


async def carry_out(
    controller: Controller, op: str, request: dict[str, Any], report: Report
) -> dict[str, Any]:
    """Carry out *op* and return its result.

    Args:
        controller: The project's controller.
        op: `up`, `create`, `scale`, `down`, `start`, `stop`, `restart`, `kill`, `rm`, `pause`, `unpause`,
            `run`, `start_container`, `remove_container`, `plan` or `ping`.
        request: `options` as in `composer.controller.options`, and `project` as the arguments of
            `Project.from_canonical`.
        report: Takes the events.

    Raises:
        ComposerError: It failed.
    """
    options = dict(request.get("options") or {})
    project = _project(request)
    match op:
        case "ping":
            return {}
        case "plan":
            return await _plan(controller, options, project)
        case "up" | "create" | "scale":
            up = _options(UpOptions, options)
            plan = await controller.up(_needed(project, op), up, report)
            return {"changes": len(plan.changes)}
        case "down":
            plan = await controller.down(_options(DownOptions, options), report, project)
            return {"changes": len(plan.changes)}
        case "run":
            run = _options(RunOptions, options)
            state = await controller.run(_needed(project, op), run, report)
            return {"id": state.id, "name": state.name}
        case "start":
            select = _options(SelectOptions, options)
            plan = await controller.start(project, select, report)
            return {"changes": len(plan.changes)}
        case "start_container":
            state = await controller.engine.start(options["id"])
            return {"id": state.id, "name": state.name, "status": state.status}
        case "remove_container":
            await controller.engine.remove(
                options["id"],
                force=bool(options.get("force")),
                volumes=bool(options.get("volumes")),
            )
            return {}
        case _:
            select = _options(SelectOptions, options)
            plan = await controller.select(op, select, report, project)
            return {"changes": len(plan.changes)}


async def _plan(controller: Controller, options: dict[str, Any], project: Project | None) -> dict[str, Any]:
    from composer.controller.down import plan_down

    op = options.pop("op", "up")
    match op:
        case "up" | "create" | "scale":
            plan = await controller.plan_up(_needed(project, op), _options(UpOptions, options))
        case "run":
            run = _options(RunOptions, options)
            plan = await controller.plan_run(_needed(project, op), run)
        case "down":
            plan = plan_down(await controller.observe(), _options(DownOptions, options), project)
        case _:
            select = _options(SelectOptions, options)
            plan = controller.planner(op, select, project)(await controller.observe())
    return {"plan": plan.to_json(), "text": plan.describe()}


def _options(kind: Any, values: dict[str, Any]) -> Any:
    try:
        return from_json(kind, values)
    except TypeError as error:
        raise UsageError(f"malformed request: {error}") from error


def _project(request: dict[str, Any]) -> Project | None:
    values = request.get("project")
    if values is None:
        return None
    return Project.from_canonical(
        values["document"],
        disabled=values.get("disabled"),
        locations=values.get("locations"),
        working_dir=values.get("working_dir", "/"),
        config_files=tuple(values.get("config_files", ())),
        env_files=tuple(values.get("env_files", ())),
        environment=values.get("environment"),
        profiles=tuple(values.get("profiles", ())),
    )


def _needed(project: Project | None, op: str) -> Project:
    if project is None:
        raise UsageError(f"{op} needs a Compose file")
    return project


def event_to_json(event: Event) -> dict[str, Any]:
    """An event as it crosses the socket."""
    values: dict[str, Any] = to_json(event)
    values["time"] = event.time
    return values


def error_to_json(error: BaseException, *, trace: str = "") -> dict[str, Any]:
    """An error as it crosses the socket; what is not a `ComposerError` is a defect of ours, and says so."""
    if not isinstance(error, ComposerError):
        return {
            "kind": "ComposerError",
            "message": f"internal error: {type(error).__name__}: {error}",
            "hint": "this is a defect of composer; please report it with the agent's log",
            "trace": trace,
        }
    return {
        "kind": type(error).__name__,
        "message": error.message,
        "hint": error.hint,
        "where": list(error.where) if error.where else None,
        "path": error.path,
        "errno": getattr(error, "errno", 0),
        "trace": trace,
    }
