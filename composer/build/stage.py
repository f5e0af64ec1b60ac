"""One stage: its base, then its instructions in order, each from the cache or carried out."""

from __future__ import annotations

import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from composer.build.copying import Copier, CopyStep, Inline, check_local
from composer.build.dockerfile import instructions as ins
from composer.build.dockerfile.parser import parse_trigger
from composer.build.dockerfile.words import expand
from composer.build.modes import parse_owner
from composer.build.named import Material, material
from composer.build.progress import excerpt
from composer.build.records import step_key
from composer.build.remote import is_remote
from composer.build.run_plan import PlannedMount, RunStep, plan_run, select_mount
from composer.build.scope import host_platform
from composer.build.stages import base_origin, copy_origin, replacement
from composer.build.state import Snapshot, StageState
from composer.build.times import created_now, stamp
from composer.build.tree import LayeredTree, resolve
from composer.build.upper import Owner, UpperDirectory
from composer.errors import BuildError, ComposerError
from composer.images.config import ImageConfig
from composer.images.platforms import parse_platform

if TYPE_CHECKING:
    from collections.abc import Callable

    from composer.build.builder import Build
    from composer.build.digests import FileDigests
    from composer.build.dockerfile.heredocs import Heredoc
    from composer.images.layers import Layer

_LAYER_INSTRUCTIONS = (ins.Run, ins.Copy, ins.Workdir)


class StageBuilder:
    """Builds one stage.

    Args:
        build: The build it is part of.
        stage: What it consists of.
    """

    def __init__(self, build: Build, stage: ins.Stage) -> None:
        self._build = build
        self._stage = stage
        self._dockerfile = build.dockerfile
        self._state: StageState
        self._lookups = not build.request.no_cache and not any(
            name.lower() in (stage.name, str(stage.index)) for name in build.request.no_cache_filter if name
        )
        self._thread = build.schedule.thread
        self._told = False
        """Whether the step that failed has been shown with its line."""
        # Builds of several services run at once: their steps need different names.
        service = build.request.service
        self._title = f"{service} {stage.title}" if service else stage.title

    async def run(self) -> Snapshot:
        """Build it.

        Raises:
            BuildError: With the line of the instruction that failed.
        """
        replaced = replacement(self._stage, self._build.request.contexts)
        try:
            if replaced:
                return await self._context_base(replaced)
            base = await self._base()
        except ComposerError as error:
            raise self._placed(error, self._stage.start.node.first_line) from error
        triggers = self._triggers(base)
        if triggers:
            base = replace(base, config=replace(base.config, on_build=()))
        self._state = StageState(base, self._build.globals_, self._dockerfile.source.escape)
        instructions = [*triggers, *self._stage.instructions]
        total = 1 + sum(isinstance(entry, _LAYER_INSTRUCTIONS) for entry in instructions)
        number = 1
        for position, instruction in enumerate(instructions):
            number += isinstance(instruction, _LAYER_INSTRUCTIONS)
            await self._instruction(instruction, f"{number}/{total}", own=position >= len(triggers))
        return self._state.snapshot()

    async def _base(self) -> Snapshot:
        build = self._build
        start = self._stage.start
        origin = base_origin(self._dockerfile, self._stage, build.globals_, build.request.contexts)
        if origin.kind == "stage":
            return await build.schedule.stage(origin.stage)
        platform = expand(start.platform, build.globals_.values, escape=self._dockerfile.source.escape).text
        if start.platform and not platform:
            raise BuildError(f"--platform={start.platform} comes out blank")
        platform = str(parse_platform(platform)) if platform else ""
        if origin.kind == "scratch":
            system, architecture, *variant = (platform or build.platform).split("/")
            return Snapshot(
                ImageConfig(os=system, architecture=architecture, variant=variant[0] if variant else "")
            )
        if origin.kind == "context":
            return await self._context_base(origin.name)
        step = build.progress.step(f"[{self._title}] FROM {origin.name}").start()
        try:
            found_image = await build.bases.get(origin.name, platform)
        except ComposerError:
            step.failed(self._excerpt(start.node.first_line))
            raise
        step.done()
        return found_image

    async def _context_base(self, key: str) -> Snapshot:
        found = await self._build.named.get(key)
        return found.snapshot or await self._directory_base(found)

    async def _directory_base(self, found: Material) -> Snapshot:
        """A directory in place of a base image: its files become the first layer."""
        system, architecture, *variant = host_platform().split("/")
        config = ImageConfig(os=system, architecture=architecture, variant=variant[0] if variant else "")
        self._state = StageState(Snapshot(config), self._build.globals_, self._dockerfile.source.escape)
        step = CopyStep(found.tree, ("/",), "/", ())
        line = self._stage.start.node.first_line
        await self._copy_step(step, found, f"[{self._title}] FROM {self._stage.start.base}", line, "FROM")
        return self._state.snapshot()

    def _triggers(self, base: Snapshot) -> list[ins.Instruction]:
        name = f"ONBUILD of {self._stage.start.base}"
        return [parse_trigger(expression, name) for expression in base.config.on_build]

    async def _instruction(self, instruction: ins.Instruction, number: str, *, own: bool) -> None:
        node = instruction.node
        line = node.first_line if own else self._stage.start.node.first_line
        name = f"[{self._title} {number}] {_shown(node.original)}"
        try:
            if isinstance(instruction, ins.Run):
                await self._run(instruction, name, line)
            elif isinstance(instruction, ins.Copy):
                await self._copy(instruction, name, line)
            elif isinstance(instruction, ins.Workdir):
                await self._workdir(instruction, name, line)
            else:
                self._state.apply(instruction)
        except ComposerError as error:
            if not self._told:
                self._build.progress.step(name).failed(self._excerpt(line))
            raise self._placed(error, line) from error

    def _placed(self, error: ComposerError, line: int) -> ComposerError:
        """The error with its place in the Dockerfile; errors of other rooms become build errors."""
        where = error.where or self._dockerfile.location(line)
        if isinstance(error, BuildError):
            error.where = where
            return error
        return BuildError(error.message, hint=error.hint, where=where, path=error.path)

    # Instructions with layers

    async def _workdir(self, instruction: ins.Workdir, name: str, line: int) -> None:
        state = self._state
        path = state.absolute(state.scope.text(instruction.path))
        state.config = replace(state.config, working_dir=path)
        tree = LayeredTree(state.layers)

        def look() -> tuple[str, bool]:
            found = resolve(tree, path)
            status = tree.lstat(found) if found else None
            if status is not None and not stat.S_ISDIR(status.st_mode):
                raise BuildError(f"{path} exists, and is not a directory")
            return found, not found or status is not None

        _, there = await self._thread(look)
        if there:
            state.note(f"WORKDIR {path}")
            return
        owner = Owner(0, 0)
        if state.config.user:
            try:
                owner = await self._thread(lambda: parse_owner(state.config.user, tree, "USER"))
            except BuildError:
                owner = Owner(0, 0)
        key = step_key(
            kind="workdir", parent=state.chain, path=path, owner=[owner.uid, owner.gid], **self._key_extras()
        )

        def lay(upper: UpperDirectory) -> None:
            upper.make_directories(upper.resolve(path.lstrip("/")), owner, 0o755)
            upper.close()

        await self._layer(key, name, line, f"WORKDIR {path}", lay)

    async def _copy(self, instruction: ins.Copy, name: str, line: int) -> None:
        state = self._state
        build = self._build
        text = state.scope.text
        if instruction.source and instruction.add:
            raise BuildError("ADD has no --from")
        origin = copy_origin(self._dockerfile, self._stage, instruction.source, build.request.contexts)
        found = await self._material(origin.kind, origin.stage, origin.name)
        sources = [text(source) for source in instruction.sources]
        if any(not source for source in sources):
            raise BuildError(f"a source of {instruction.node.keyword.upper()} comes out empty")
        urls = [source for source in sources if is_remote(source)]
        if urls and not instruction.add:
            raise BuildError(f"COPY cannot fetch {urls[0]!r}", hint="use ADD")
        local = tuple(source for source in sources if source not in urls)
        checksum = text(instruction.checksum)
        check_local(local, checksum=checksum)
        if instruction.keep_git_dir and not urls:
            raise BuildError("--keep-git-dir goes with a repository")
        destination = text(instruction.destination)
        if not destination:
            raise BuildError(f"the destination of {instruction.node.keyword.upper()} comes out empty")
        absolute = state.absolute(destination)
        if destination.endswith(("/", "/.")) or destination == ".":
            absolute = absolute.rstrip("/") + "/"
        step = CopyStep(
            tree=found.tree,
            sources=local,
            destination=absolute,
            layers=state.layers,
            inline=tuple(self._inline(heredoc) for heredoc in instruction.heredocs),
            chown=text(instruction.chown),
            chmod=text(instruction.chmod),
            keep_owner=found.keep_owner,
            unpack=instruction.add and instruction.unpack is not False,
            link=instruction.link,
            parents=instruction.parents,
            excludes=instruction.excludes,
            mtime=None if build.epoch is None else build.epoch * 1_000_000_000,
        )
        if urls:
            build.schedule.works()
            from composer.build.fetching import fetch_sources

            fetched = await self._thread(
                lambda: fetch_sources(
                    urls,
                    build.scratch,
                    build.records,
                    checksum=checksum,
                    keep_git=instruction.keep_git_dir,
                    unpack=instruction.unpack is True,
                )
            )
            step = replace(step, fetched=tuple(fetched))
        keyword = instruction.node.keyword.upper()
        shown = " ".join([*(f"{flag}" for flag in instruction.node.flags), *sources, destination])
        await self._copy_step(step, found, name, line, f"{keyword} {shown}")

    def _inline(self, heredoc: Heredoc) -> Inline:
        body = heredoc.text
        if heredoc.expand:
            body = self._state.scope.expand(body, quotes=False).text
        return Inline(heredoc.name, body.encode())

    async def _copy_step(
        self, step: CopyStep, found: Material, name: str, line: int, created_by: str
    ) -> None:
        def prepare() -> tuple[Copier, str]:
            copier = Copier(step)
            copier.select()
            key = copier.key(self._state.chain, self._files(found), **self._key_extras())
            return copier, key

        # A stage's files never change: the same step from the same chain needs no look at them.
        quick = ""
        if found.identity and self._lookups:
            quick = step_key(
                kind="copy-from",
                parent=self._state.chain,
                source=found.identity,
                step=[
                    list(step.sources),
                    step.destination,
                    step.chown,
                    step.chmod,
                    step.link,
                    step.parents,
                    list(step.excludes),
                    [[item.name, item.data.hex()] for item in step.inline],
                ],
                **self._key_extras(),
            )
            if await self._from_cache(quick, name, created_by):
                return
        copier, key = await self._thread(prepare)
        layer = await self._layer(key, name, line, created_by, copier.lay, link=step.link)
        if quick:
            await self._thread(lambda: self._build.records.put(quick, layer[0], layer[1], created_by))

    async def _run(self, instruction: ins.Run, name: str, line: int) -> None:
        state = self._state
        build = self._build
        if not state.layers:
            raise BuildError(
                "RUN needs a base image with a shell or program in it", hint="FROM scratch is empty"
            )
        step = plan_run(instruction, state, build.request)
        files: dict[int, FileDigests] = {}
        mounts: list[PlannedMount] = []
        for index, planned in enumerate(step.mounts):
            mount = planned.mount
            if mount.type not in ("bind", "cache") or (mount.type == "cache" and not mount.origin):
                mounts.append(planned)
                continue
            origin = copy_origin(self._dockerfile, self._stage, mount.origin, build.request.contexts)
            found = await self._material(origin.kind, origin.stage, origin.name)
            files[index] = self._files(found)
            source = await self._thread(lambda found=found, mount=mount: select_mount(found.tree, mount))  # type: ignore[misc]
            mounts.append(replace(planned, tree=found.tree, keep_owner=found.keep_owner, source=source))
        step = replace(step, mounts=tuple(mounts))
        key = await self._thread(lambda: step.key(state.chain, files, **self._key_extras()))
        await self._run_layer(key, step, name, line)

    async def _run_layer(self, key: str, step: RunStep, name: str, line: int) -> None:
        build = self._build
        if self._lookups and await self._from_cache(key, name, step.shown):
            return
        build.schedule.works()
        from composer.build.runner import run_in_engine  # the engine's words cost 20 ms

        async with build.schedule.running(lambda: build.records.working_on(key, blocking=False)):
            # Another build, or another stage of this one, may have carried the same step out meanwhile.
            if self._lookups and await self._from_cache(key, name, step.shown):
                return
            progress = build.progress.step(name).start()
            started = self._state
            try:
                layer = await run_in_engine(build, started, step, progress)
            except ComposerError as error:
                progress.failed(self._excerpt(line))
                self._told = True
                raise self._placed(error, line) from error
        created = self._created()
        await self._thread(lambda: build.records.put(key, layer, created, step.shown))
        self._add(key, layer, created, step.shown)
        progress.done()

    # Helpers

    def _key_extras(self) -> dict[str, object]:
        """What every key holds besides the step itself."""
        extras: dict[str, object] = {"platform": self._build.platform}
        if self._build.epoch is not None:
            extras["epoch"] = self._build.epoch
        return extras

    def _created(self) -> str:
        return stamp(self._build.epoch) if self._build.epoch is not None else created_now()

    async def _material(self, kind: str, stage: int, name: str) -> Material:
        build = self._build
        if kind == "build":
            tree = build.context.tree
            return Material(tree, False, None, tree.root)
        if kind == "stage":
            return material(await build.schedule.stage(stage))
        if kind == "context":
            return await build.named.get(name)
        if kind == "scratch":
            raise BuildError("there is nothing to copy from scratch")
        return material(await build.bases.get(name))

    def _files(self, found: Material) -> FileDigests:
        return self._build.digests(found.root)

    async def _from_cache(self, key: str, name: str, created_by: str) -> bool:
        found = await self._thread(lambda: self._build.records.find(key))
        if found is None:
            return False
        layer, record = found
        self._add(key, layer, record.created, created_by)
        self._build.progress.step(name).cached()
        return True

    def _add(self, key: str, layer: Layer, created: str, created_by: str) -> None:
        self._build.used.append(key)
        self._state.add_layer(layer, created, created_by)

    async def _layer(
        self,
        key: str,
        name: str,
        line: int,
        created_by: str,
        lay: Callable[[UpperDirectory], None],
        *,
        link: bool = False,
    ) -> tuple[Layer, str]:
        """The layer of a step that runs nothing, from the cache or laid now."""
        build = self._build
        if self._lookups:
            found = await self._thread(lambda: build.records.find(key))
            if found is not None:
                self._add(key, found[0], found[1].created, created_by)
                build.progress.step(name).cached()
                return found[0], found[1].created
        build.schedule.works()
        progress = build.progress.step(name).start()
        state = self._state

        def work() -> tuple[Layer, str]:
            with build.records.working_on(key), build.store.scratch() as scratch:
                again = build.records.find(key) if self._lookups else None
                if again is not None:
                    return again[0], again[1].created
                directory = scratch / "upper"
                directory.mkdir(mode=0o755)
                upper = UpperDirectory(str(directory), state.layers, independent=link, clamp=build.epoch)
                lay(upper)
                layer = build.store.add_layer_from_directory(directory, state.chain)
                created = self._created()
                build.records.put(key, layer, created, created_by)
                return layer, created

        try:
            layer, created = await self._thread(work)
        except ComposerError as error:
            progress.failed(self._excerpt(line))
            self._told = True
            raise self._placed(error, line) from error
        self._add(key, layer, created, created_by)
        progress.done()
        return layer, created

    def _excerpt(self, line: int) -> str:
        """The Dockerfile around *line*, with the failing instruction marked."""
        return excerpt(self._build.context.text.splitlines(), self._build.context.name, line)


def _shown(original: str) -> str:
    text = " ".join(original.split())
    return text if len(text) <= 120 else text[:117] + "..."


__all__ = ["StageBuilder"]
