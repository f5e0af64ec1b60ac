"""Asking the project's agent to change something, and showing what it reports meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from composer.agent.client import Client
    from composer.cli.context import Context
    from composer.cli.render.base import Renderer
    from composer.spec import LoadedProject


def document(context: Context, services: Sequence[str] = ()) -> LoadedProject | None:
    """The project's files, or None when its name is known otherwise (`-p`) and there are none, or wrong ones.

    Somebody who gives a name and no file means the project on this machine; what a file in the directory
    says then helps, but must not stand in the way of taking the project down.

    Raises:
        SpecError: A file is wrong, or there is none, and only it can tell which project is meant.
    """
    options = context.options
    try:
        return context.load(services)
    except SpecError as error:
        if options.files or context.environ.get("COMPOSE_FILE"):
            raise
        if error.where is not None and options.project_name:
            context.warn(f"going by what is on this machine, because the Compose file is wrong: {error}")
            return None
        named = options.project_name or context.environ.get("COMPOSE_PROJECT_NAME")
        if error.where is not None or not named or "no configuration file" not in error.message:
            raise
        return None


def start_agent(context: Context) -> None:
    """Let an agent do its imports while this process parses arguments and reads Compose files."""
    if context.options.dry_run:
        return
    from composer.agent.client import start_early
    from composer.cli.project import quick_name

    given = context.options.project_name or context.environ.get("COMPOSE_PROJECT_NAME", "")
    start_early(context.paths, given or quick_name(context), fork=context.alone)


def up(context: Context, options: Mapping[str, Any], loaded: LoadedProject, *, title: str = "up") -> int:
    """`up` without attaching."""
    operate(context, "up", options, loaded=loaded, title=title)
    return 0


def plan(
    context: Context, op: str, options: Mapping[str, Any], loaded: LoadedProject | None
) -> dict[str, Any]:
    """What *op* would do: `{"plan": {...}, "text": ...}`."""
    return operate(context, "plan", {"op": op, **options}, loaded=loaded, quiet=True)


def select(context: Context, op: str, services: Sequence[str], **options: Any) -> dict[str, Any]:
    """`start`, `stop`, `restart`, `kill`, `rm`, `pause` or `unpause`, with its options."""
    from composer.cli.arguments import parallel

    loaded = document(context, services)
    return operate(
        context, op, {"services": list(services), "parallel": parallel(context), **options}, loaded=loaded
    )


def operate(
    context: Context,
    op: str,
    options: Mapping[str, Any],
    *,
    loaded: LoadedProject | None = None,
    title: str = "",
    quiet: bool = False,
    renderer: Renderer | None = None,
    client: Client | None = None,
) -> dict[str, Any]:
    """Carry out *op* in the project's agent and return its result; with `--dry-run` only print the plan.

    Args:
        context: Options, streams.
        op: One of the agent's operations.
        options: What `composer.controller.options` has for it, as JSON.
        loaded: The project; None when the operation goes by what is known of it.
        title: Head of the live table, default *op*.
        quiet: Show no progress.
        renderer: Use this one instead of a new one.
        client: Use this connection, and leave it open: while one is there, the agent stays.

    Raises:
        ComposerError: Whatever went wrong in the agent, as it was raised there.
    """
    if context.options.dry_run and op != "plan":
        context.print(plan(context, op, options, loaded)["text"], end="")
        return {}
    connection = client or connect(context, loaded)
    try:
        if renderer is not None:
            return _drain(connection, op, options, loaded, renderer)
        with context.renderer(title or op, quiet=quiet) as fresh:
            return _drain(connection, op, options, loaded, fresh)
    finally:
        if client is None:
            connection.close()


def connect(context: Context, loaded: LoadedProject | None = None) -> Client:
    """A connection to the project's agent, which is started if there is none."""
    from composer.agent.client import connect_or_start

    return connect_or_start(context.paths, loaded.name if loaded else context.project_name)


def _drain(
    client: Client, op: str, options: Mapping[str, Any], loaded: LoadedProject | None, renderer: Renderer
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for item in client.request(op, **fields(options, loaded)):
        if isinstance(item, dict):
            result = item
        else:
            renderer.handle(item)
    return result


def fields(options: Mapping[str, Any], loaded: LoadedProject | None) -> dict[str, Any]:
    """What a request carries besides its name."""
    if loaded is None:
        return {"options": dict(options)}
    return {"options": dict(options), "project": wire(loaded)}


def wire(loaded: LoadedProject) -> dict[str, Any]:
    """The arguments of `Project.from_canonical`, as JSON."""
    return {
        "document": loaded.document,
        "disabled": loaded.disabled,
        "locations": loaded.locations,
        "working_dir": loaded.working_dir,
        "config_files": list(loaded.config_files),
        "env_files": list(loaded.env_files),
        "environment": dict(loaded.environment),
        "profiles": list(loaded.profiles),
    }
