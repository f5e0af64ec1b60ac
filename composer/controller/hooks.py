"""Hooks: post_start and pre_stop in a container, pre_start in one of its own; compose-reference.md 3.8."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from composer.controller.containers import Identity, container_config
from composer.controller.plan import PullImage
from composer.controller.world import new_id
from composer.engine import Process
from composer.errors import ComposerError, DependencyFailedError, NotFoundError, UnsupportedError
from composer.events import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from composer.controller.plan import RunHook
    from composer.controller.world import World
    from composer.engine import ContainerState, Engine
    from composer.events import Report
    from composer.spec.model import Hook, Service

OUTPUT_LINES = 10
OUTPUT_BYTES = 2048


async def run_exec_hooks(
    engine: Engine, state: ContainerState, service: Service, attribute: str, hooks: Sequence[Hook]
) -> None:
    """Run hooks one after the other in a running container, as its user unless they say otherwise.

    Raises:
        ComposerError: One ended with another code than 0; the message has the end of its output.
    """
    for position, hook in enumerate(hooks):
        base = state.config.process
        own = [f"{key}={value}" for key, value in hook.environment.items() if value is not None]
        process = Process(
            args=hook.command,
            env=(*base.env, *own),
            cwd=hook.working_dir or base.cwd,
            user=hook.user or base.user,
            groups=base.groups,
            capabilities=base.capabilities,
            privileged=hook.privileged,
            no_new_privileges=base.no_new_privileges,
            rlimits=base.rlimits,
        )
        path = f"services.{service.name}.{attribute}[{position}]"
        try:
            code, output = await engine.execute(state.id, process)
        except ComposerError as error:
            error.path = error.path or path
            raise
        if code != 0:
            text = tail(output)
            raise ComposerError(
                f"{attribute} hook of {state.name} exited with code {code}" + (f": {text}" if text else ""),
                path=path,
            )


def tail(output: bytes) -> str:
    """The last ten lines, at most 2048 bytes, as text."""
    lines = output[-OUTPUT_BYTES:].decode("utf-8", "replace").strip().splitlines()
    return "\n".join(lines[-OUTPUT_LINES:])


async def run_pre_start(world: World, operation: RunHook, report: Report) -> None:
    """Run one pre_start hook in a container with the service's networks and volumes; a failed one is kept.

    Raises:
        DependencyFailedError: It ended with another code than 0.
        UnsupportedError: `per_replica`.
    """
    project = world.project
    if project is None:
        raise AssertionError("a hook needs a project")
    service = project.services[operation.service]
    hook = service.pre_start[operation.index]
    path = f"services.{service.name}.pre_start[{operation.index}]"
    if hook.per_replica:
        raise UnsupportedError("pre_start with per_replica: true is not supported", path=path)
    surroundings = world.surroundings()
    if hook.image and hook.image != service.image:
        image = await world.images.find(hook.image)
        if image is None:
            pull = PullImage(key=f"pull {hook.image}", name=hook.image, service=service.name)
            report(Event("image", pull.name, "Pulling", "working", service=service.name))
            image = await world.images.pull(hook.image, platform=service.platform, report=report)
            report(Event("image", pull.name, "Pulled", "done", service=service.name))
        surroundings = replace(surroundings, images={**surroundings.images, service.name: image})
    for left in await world.engine.containers(project.name):
        if left.name == operation.name:
            await world.engine.remove(left.id, force=True, volumes=True)
    altered = replace(
        service,
        entrypoint=hook.command,
        command=(),
        environment={**service.environment, **hook.environment},
        user=hook.user or service.user,
        working_dir=hook.working_dir or service.working_dir,
        privileged=hook.privileged or service.privileged,
        ports=(),
        restart="no",
        deploy=None,
        healthcheck=None,
        tty=False,
    )
    identity = Identity(id=new_id(), name=operation.name, slug=new_id(), hook="pre_start")
    config, anonymous = container_config(surroundings, altered, identity, new_volume=new_id, aliases=False)
    for volume in anonymous:
        await world.engine.create_volume(volume)
    report(Event("container", operation.name, "Starting", "working", service=service.name))
    await world.engine.create(replace(config, healthcheck=None))
    await world.engine.start(config.id)
    state = await world.engine.wait(config.id)
    if state.exit_code != 0:
        raise DependencyFailedError(
            f'pre_start hook of service "{service.name}" exited with code {state.exit_code}',
            hint=f"its container is kept as {operation.name}",
            path=path,
        )
    try:
        await world.engine.remove(config.id, volumes=True)
    except NotFoundError:
        return
    finally:
        report(Event("container", operation.name, "Exited", "done", service=service.name))
