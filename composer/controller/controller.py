"""The controller: one method per command, each observes, plans, and carries the plan out."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from composer.controller import preparation
from composer.controller.applied import load_applied, save_applied
from composer.controller.containers import container_config
from composer.controller.down import plan_down
from composer.controller.executor import Executor
from composer.controller.image_source import image_name, plan_images
from composer.controller.mounts import check_sources
from composer.controller.observe import Observed, observe
from composer.controller.options import UpOptions
from composer.controller.plan import CreateContainer, CreateNetwork, CreateVolume, Plan, StartContainer, then
from composer.controller.reconcile import reconcile
from composer.controller.teardown import (
    plan_kill,
    plan_pause,
    plan_remove,
    plan_restart,
    plan_start,
    plan_start_known,
    plan_stop,
)
from composer.controller.watcher import Watcher
from composer.controller.world import World, new_id
from composer.errors import NotFoundError, UsageError, unknown_service
from composer.events import Event, discard
from composer.graph import Graph

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from composer.controller.image_source import ImageSource
    from composer.controller.options import DownOptions, RunOptions, SelectOptions
    from composer.engine import ContainerState, Engine
    from composer.events import Report
    from composer.images.store import Image
    from composer.spec.model import Project
    from composer.state.paths import Paths


class Controller:
    """Brings one project to what is asked for.

    Args:
        engine: The engine.
        images: Where images come from.
        paths: Where the last applied project is remembered.
        project: The project's name.
        watcher: One that follows the project already (the agent's); else each command has its own.
    """

    def __init__(
        self,
        engine: Engine,
        images: ImageSource,
        paths: Paths,
        project: str,
        *,
        watcher: Watcher | None = None,
    ) -> None:
        self.engine = engine
        self.images = images
        self.paths = paths
        self.name = project
        self._watcher = watcher

    # up and its sisters

    async def plan_up(self, project: Project, options: UpOptions) -> Plan:
        """What `up` would do, without doing it.

        Raises:
            ComposerError: As `up` would before it changes anything.
        """
        preparation.refuse_unsupported(project)
        graph = Graph.of(project)
        order = preparation.chosen_services(project, graph, options)
        observed = await self.observe()
        present = await preparation.present_images(self.images, project, order)
        images = plan_images(project, order, present, pull=options.pull, build=options.build, now=time.time())
        facts = preparation.facts_of(project, order, present)
        return then([images, reconcile(project, graph, observed, facts, options)], project.name)

    async def plan_run(self, project: Project, options: RunOptions) -> Plan:
        """What `run` would do, without doing it.

        Raises:
            ComposerError: As `run` would before it changes anything.
        """
        up = _needed_for_run(project, options)
        plans = [await self.plan_up(project, up)] if up.services else []
        name = options.name or f"{project.name}-{options.service}-run"
        create = CreateContainer(key=f"create {name}", name=name, service=options.service, reason="run")
        start = StartContainer(
            key=f"start {name}", name=name, service=options.service, container=create.key, after=(create.key,)
        )
        return then([*plans, Plan(project.name, (create, start))], project.name)

    async def up(self, project: Project, options: UpOptions, report: Report = discard) -> Plan:
        """Make the project as its file says.

        Raises:
            ComposerError: Something is wrong with the file, or an operation failed.
        """
        preparation.refuse_unsupported(project)
        graph = Graph.of(project)
        order = preparation.chosen_services(project, graph, options)
        preparation.warn(project, order, report)
        async with self.images.using() as all_made, self._watching() as watcher:
            present = await self._provide_images(project, order, options, report)
            facts = preparation.facts_of(project, order, present)
            services = [project.services[name] for name in order]
            observed = await self.observe()
            plan = reconcile(project, graph, observed, facts, options)
            if plan.changes:
                await preparation.check_ports(self.engine, project, plan, observed)
            world = World(
                self.engine,
                self.images,
                watcher,
                observed,
                project,
                service_images=preparation.by_service(project, present),
                mounted_images=preparation.by_mount(project, present),
                others=await preparation.other_containers(self.engine, services),
                all_made=all_made,
            )
            executor = Executor(world, report, parallel=options.parallel, wait_timeout=options.wait_timeout)
            await executor.run(plan)
        save_applied(self.paths, project)
        return plan

    async def run(self, project: Project, options: RunOptions, report: Report = discard) -> ContainerState:
        """Make, and unless told otherwise start, one container for one command.

        Raises:
            ComposerError: Something is wrong with the file, or an operation failed.
        """
        from composer.controller.run import run_identity, run_service

        preparation.refuse_unsupported(project)
        up = _needed_for_run(project, options)
        if up.services:
            await self.up(project, up, report)
        service = run_service(project, options)
        check_sources(project, service)
        async with self.images.using() as all_made, self._watching() as watcher:
            present = await self._provide_images(project, (options.service,), up, report)
            observed = await self._with_resources(project, options.service, report)
            world = World(
                self.engine,
                self.images,
                watcher,
                observed,
                project,
                service_images=preparation.by_service(project, present),
                mounted_images=preparation.by_mount(project, present),
                others=await preparation.other_containers(self.engine, [service]),
            )
            config, anonymous = container_config(
                world.surroundings(),
                service,
                run_identity(project, options),
                new_volume=new_id,
                aliases=options.use_aliases,
            )
            config = replace(config, auto_remove=options.remove)
            for volume in anonymous:
                await self.engine.create_volume(volume)
            report(Event("container", config.name, "Creating", "working", service=service.name))
            state = await self.engine.create(config)
            all_made()
            report(Event("container", config.name, "Created", "done", service=service.name, id=state.id))
            return await self.engine.start(state.id) if options.start else state

    async def _with_resources(self, project: Project, service: str, report: Report) -> Observed:
        """What there is, after the networks and volumes of *service* that are missing have been made."""
        from composer.controller.resources import plan_networks, plan_volumes

        observed = await self.observe()
        networks = plan_networks(project, observed, (service,))
        volumes = plan_volumes(project, observed, (service,), recreate=False)
        missing = tuple(
            item
            for item in (*networks.operations, *volumes.operations)
            if isinstance(item, CreateNetwork | CreateVolume) and not item.after
        )
        if not missing:
            return observed
        world = World(self.engine, self.images, Watcher(self.engine, self.name), observed, project)
        await Executor(world, report).run(Plan(project.name, missing))
        return await self.observe()

    # The others

    async def down(
        self, options: DownOptions, report: Report = discard, project: Project | None = None
    ) -> Plan:
        """Stop and remove.

        Raises:
            NotFoundError: A named service does not exist.
            ComposerError: An operation failed.
        """
        plan = await self._carry_out(
            lambda observed: plan_down(observed, options, project), report, project, options.parallel
        )
        if not options.services:
            (self.paths.project(self.name) / "applied.json").unlink(missing_ok=True)
        return plan

    async def start(self, project: Project | None, options: SelectOptions, report: Report = discard) -> Plan:
        """Start existing containers, in order and gated like `up`; without a file as their labels say.

        Raises:
            NotFoundError: There is none.
            ComposerError: An operation failed.
        """
        return await self._carry_out(
            self.planner("start", options, project),
            report,
            project,
            options.parallel,
            options.wait_timeout,
        )

    async def select(
        self, op: str, options: SelectOptions, report: Report = discard, project: Project | None = None
    ) -> Plan:
        """`stop`, `restart`, `kill`, `rm`, `pause` or `unpause`, which need no Compose file.

        Raises:
            NotFoundError: A named service does not exist.
            ComposerError: An operation failed.
        """
        return await self._carry_out(self.planner(op, options, project), report, project, options.parallel)

    def planner(self, op: str, options: SelectOptions, project: Project | None) -> Callable[[Observed], Plan]:
        """The pure function that plans *op*.

        Raises:
            UsageError: There is no such operation, or it needs a Compose file.
        """
        if op == "start" and project is not None:
            up = UpOptions(services=options.services, no_deps=options.no_deps, wait=options.wait)
            graph = Graph.of(project)
            return lambda observed: plan_start(project, graph, observed, options, up)
        planners: dict[str, Callable[[Observed], Plan]] = {
            "start": lambda observed: plan_start_known(observed, options),
            "stop": lambda observed: plan_stop(observed, options, project),
            "restart": lambda observed: plan_restart(observed, options, project),
            "kill": lambda observed: plan_kill(observed, options, project),
            "rm": lambda observed: plan_remove(observed, options, project),
            "pause": lambda observed: plan_pause(observed, options, project),
            "unpause": lambda observed: plan_pause(observed, options, project, thaw=True),
        }
        if op not in planners:
            raise UsageError(f"{op} needs a Compose file")
        return planners[op]

    async def observe(self) -> Observed:
        """The snapshot that plans are made from."""
        return await observe(self.engine, self.name, load_applied(self.paths, self.name))

    # Parts

    async def _carry_out(
        self,
        planner: Callable[[Observed], Plan],
        report: Report,
        project: Project | None,
        parallel: int = 0,
        wait_timeout: float | None = None,
    ) -> Plan:
        async with self._watching() as watcher:
            observed = await self.observe()
            plan = planner(observed)
            world = World(self.engine, self.images, watcher, observed, project)
            await Executor(world, report, parallel=parallel, wait_timeout=wait_timeout).run(plan)
        return plan

    @asynccontextmanager
    async def _watching(self) -> AsyncIterator[Watcher]:
        if self._watcher is not None:
            yield self._watcher
            return
        async with Watcher(self.engine, self.name).following() as watcher:
            yield watcher

    async def _provide_images(
        self, project: Project, services: tuple[str, ...], options: UpOptions, report: Report
    ) -> dict[str, Image | None]:
        present = await preparation.present_images(self.images, project, services)
        plan = plan_images(
            project, services, present, pull=options.pull, build=options.build, now=time.time()
        )
        if not plan.operations:
            preparation.check_platforms(project, services, present)
            return present
        world = World(
            self.engine, self.images, Watcher(self.engine, self.name), Observed(project.name), project
        )

        def quietly(event: Event) -> None:
            hidden = {"layer"} if options.quiet_pull else set()
            hidden |= {"step"} if options.quiet_build else set()
            if event.kind not in hidden:
                report(event)

        await Executor(world, quietly, parallel=options.parallel).run(plan)
        present = await preparation.present_images(self.images, project, services)
        for name in services:
            image = image_name(project, project.services[name])
            if present.get(image) is None:
                raise NotFoundError(f"no such image: {image}", path=f"services.{name}.image")
        preparation.check_platforms(project, services, present)
        return present


def _needed_for_run(project: Project, options: RunOptions) -> UpOptions:
    """How the services that `run` needs are brought up; none when `services` is empty.

    Raises:
        NotFoundError: There is no such service.
    """
    if options.service not in project.services:
        raise unknown_service(options.service, project.services)
    edges = () if options.no_deps else Graph.of(project).needs(options.service)
    return UpOptions(
        services=tuple(edge.needs for edge in edges),
        recreate="never",
        recreate_dependencies="never",
        gate_for=options.service,
        build=options.build,
        pull=options.pull,
        remove_orphans=options.remove_orphans,
        ignore_orphans=not options.remove_orphans,
        parallel=options.parallel,
        quiet_pull=options.quiet_pull,
        quiet_build=options.quiet_build,
    )
