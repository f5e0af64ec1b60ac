"""Builds an image: its stages, each waiting only for the stages it reads from.

The same code carries out a build on an event loop (`concurrent.Concurrent`: stages at the same time, blocking
work in threads) and looks a whole build up in the cache without one (`replay.Replay`); see `Schedule`.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from composer.build.base import BaseImages
from composer.build.contexts import Context, open_context
from composer.build.digests import FileDigests
from composer.build.dockerfile.parser import Dockerfile, parse
from composer.build.groups import first_error
from composer.build.lint import check_dockerfile
from composer.build.named import NamedContexts
from composer.build.progress import Progress, excerpt
from composer.build.records import Records, step_key
from composer.build.scope import (
    ACCEPTED_ARGUMENTS,
    PROXY_ARGUMENTS,
    evaluate_globals,
    host_platform,
    platform_arguments,
)
from composer.build.stage import StageBuilder
from composer.build.stages import base_name, needed_stages
from composer.build.times import created_now, stamp
from composer.errors import BuildError
from composer.images.platforms import parse_platform

if TYPE_CHECKING:
    from composer.build.base import Puller
    from composer.build.engine import StepEngine
    from composer.build.network import BuildNetwork
    from composer.build.request import BuildRequest
    from composer.build.schedule import Schedule
    from composer.build.scope import GlobalArguments
    from composer.build.state import Snapshot
    from composer.events import Report
    from composer.images.config import ImageConfig
    from composer.images.store import Image, Store


async def build(
    request: BuildRequest,
    *,
    engine: StepEngine,
    store: Store,
    report: Report,
    puller: Puller | None = None,
    digests: dict[str, FileDigests] | None = None,
) -> Image:
    """Build *request* and name the result.

    Args:
        request: What to build.
        engine: Runs RUN steps.
        store: Takes layers and the image.
        report: Is told of every step.
        puller: Fetches a base image that the store lacks; None uses the registry client.
        digests: What `replay` has read already.

    Returns:
        The image, with all of the request's tags.

    Raises:
        BuildError: The Dockerfile is wrong, or a step failed; `where` is its line.
    """
    from composer.build.concurrent import Concurrent

    schedule = Concurrent()
    await schedule.thread(store.sweep)
    with ExitStack() as stack:
        stack.enter_context(store.using())
        scratch = stack.enter_context(store.scratch())
        fetch = puller or _puller(store, report)
        job = Build(request, engine, store, report, schedule, fetch, str(scratch), digests)
        try:
            return await job.run()
        except BaseExceptionGroup as group:
            raise first_error(group) from group


def _puller(store: Store, report: Report) -> Puller:
    async def fetch(name: str, platform: str) -> Image:
        from composer.images.aio import pull

        return await pull(store, name, platform=platform, report=report)

    return fetch


def check(request: BuildRequest, *, store: Store) -> tuple[Context, list[str], bool]:
    """Run the build checks only. Blocks.

    Returns:
        The context, one `file:line: message (Rule)` for each finding, and whether they fail the build.

    Raises:
        BuildError: The Dockerfile cannot be parsed.
    """
    with store.scratch() as scratch:
        context = open_context(request, str(scratch))
        result = check_dockerfile(
            parse(context.text, context.file),
            build_args=request.args,
            target=request.target,
            ignore=context.ignore,
        )
        if result.error is not None:
            raise result.error
        lines = [
            f"{context.name}:{warning.line}: {warning.message} ({warning.rule})"
            for warning in result.warnings
        ]
        return context, lines, result.fails


class Build:
    """One build in progress; stages ask it for one another.

    Attributes:
        request: What is built.
        engine: Runs RUN steps.
        store: Takes layers.
        schedule: How it waits: on an event loop, or not at all.
        records: The cache.
        scratch: A directory on the store's file system, removed at the end.
        progress: Tells of steps.
        platform: What is built for.
        epoch: SOURCE_DATE_EPOCH, or None.
    """

    def __init__(
        self,
        request: BuildRequest,
        engine: StepEngine,
        store: Store,
        report: Report,
        schedule: Schedule,
        puller: Puller | None,
        scratch: str,
        digests: dict[str, FileDigests] | None = None,
    ) -> None:
        self.request = request
        self.engine = engine
        self.store = store
        self.schedule = schedule
        self.records = Records(store)
        self.scratch = scratch
        self.progress = Progress(report, request.title, request.service)
        self.platform = _platform(request)
        self.epoch = _epoch(request, self.progress)
        self.bases = BaseImages(
            store, puller, self.progress, schedule, pull=request.pull, platform=self.platform
        )
        self.named = NamedContexts(self)
        self.used: list[str] = []
        self.context: Context
        self.dockerfile: Dockerfile
        self.globals_: GlobalArguments
        self._digests: dict[str, FileDigests] = {} if digests is None else digests
        self._network: BuildNetwork | None = None

    async def run(self) -> Image:
        """Do it all."""
        started = time.monotonic()
        self.progress.build_started()
        self.context = await self.schedule.thread(lambda: open_context(self.request, self.scratch))
        try:
            self.dockerfile = parse(self.context.text, self.context.file)
        except BuildError as error:
            if error.where is not None:
                lines = self.context.text.splitlines()
                self.progress.build_failed(excerpt(lines, self.context.name, error.where.line))
            raise
        if not self.dockerfile.stages:
            raise BuildError(f"{self.context.name} has no FROM, so there is nothing to build")
        self.globals_ = evaluate_globals(
            self.dockerfile.arguments,
            platform_arguments(self.platform, host_platform(), self.request.target),
            self.request.args,
        )
        for stage in self.dockerfile.stages:
            base_name(self.dockerfile, stage, self.globals_)  # refuses a blank one, needed or not
        target = self._target()
        self._check()
        await self._import_cache()
        try:
            needed = sorted(needed_stages(self.dockerfile, target, self.globals_, self.request.contexts))
            results = await self.schedule.stages(needed, self._build_stage)
        finally:
            if self._network is not None:
                await self._network.close()
            self._save_digests()
        image = await self.schedule.thread(lambda: self._finish(results[target]))
        await self._export_cache()
        self.progress.build_done(image.id, time.monotonic() - started)
        return image

    @property
    def network(self) -> BuildNetwork:
        """The network of RUN steps."""
        if self._network is None:
            from composer.build.network import BuildNetwork

            self._network = BuildNetwork(self.engine)
        return self._network

    def digests(self, root: str) -> FileDigests:
        """Digests of the files below *root*; all stages share them."""
        found = self._digests.get(root)
        if found is None:
            directory = self.store.paths.root / "build" / "digests"
            found = self._digests[root] = FileDigests(directory, root)
        return found

    def _save_digests(self) -> None:
        # What was read counts for the next build, whatever became of this one.
        for digests in self._digests.values():
            digests.save()

    async def _build_stage(self, index: int) -> Snapshot:
        return await StageBuilder(self, self.dockerfile.stages[index]).run()

    def _target(self) -> int:
        wanted = self.request.target.lower()
        if not wanted:
            return self.dockerfile.stages[-1].index
        found = self.dockerfile.names.get(wanted)
        if not found:
            names = ", ".join(self.dockerfile.names) or "none"
            raise BuildError(
                f"there is no build stage {self.request.target!r}", hint=f"named stages: {names}"
            )
        return found[-1]

    def _check(self) -> None:
        result = check_dockerfile(
            self.dockerfile,
            build_args=self.request.args,
            target=self.request.target,
            every_stage=False,
            ignore=self.context.ignore,
            contexts=self.request.contexts,
        )
        for warning in result.warnings:
            self.progress.warning(f"{self.context.name}:{warning.line}: {warning.message} ({warning.rule})")
        if result.fails:
            raise BuildError(
                "the build checks found something, and the Dockerfile says check=error=true",
                where=self.dockerfile.location(result.warnings[0].line),
            )
        self._warn_of_unknown_args()

    def _warn_of_unknown_args(self) -> None:
        from composer.build.dockerfile.instructions import Arg, Onbuild

        known = set(self.globals_.declared) | set(self.globals_.values)
        known |= ACCEPTED_ARGUMENTS | PROXY_ARGUMENTS
        for stage in self.dockerfile.stages:
            for instruction in stage.instructions:
                if isinstance(instruction, Arg):
                    known.update(name for name, _ in instruction.items)
                elif isinstance(instruction, Onbuild):
                    known.update(instruction.expression.replace("=", " ").split())
        for name in self.request.args:
            if name not in known:
                self.progress.warning(f"build argument {name!r} is not used by any ARG")

    async def _import_cache(self) -> None:
        if self.request.cache_from and not self.request.no_cache:
            from composer.build.transfer import import_cache

            self.schedule.works()
            for text in self.request.cache_from:
                await self.schedule.thread(
                    lambda text=text: import_cache(text, self.store, self.records, self.progress)  # type: ignore[misc]
                )

    async def _export_cache(self) -> None:
        if self.request.cache_to:
            from composer.build.transfer import export_cache

            self.schedule.works()
            for text in self.request.cache_to:
                await self.schedule.thread(
                    lambda text=text: export_cache(  # type: ignore[misc]
                        text, self.store, self.records, self.used, self.progress
                    )
                )

    def _finish(self, result: Snapshot) -> Image:
        """Complete the configuration and put the image into the store. Blocks."""
        config = result.config
        if self.request.labels:
            config = replace(config, labels={**config.labels, **self.request.labels})
        config = self._with_times(config, result.created)
        image = self.store.put_image(config, names=self.request.tags)
        self.records.touch(self.used)
        return image

    def _with_times(self, config: ImageConfig, newest: str) -> ImageConfig:
        if self.epoch is not None:
            created = stamp(self.epoch)
        elif newest:
            created = newest
        else:
            # Nothing dates an image without new layers: what first gave this result does.
            bare = replace(config, created="", history=())
            key = step_key(kind="created", config=bare.to_bytes().decode())
            created = self.records.noted(key) or created_now()
            self.records.note(key, created)
        history = tuple(
            entry if entry.created else replace(entry, created=created) for entry in config.history
        )
        return replace(config, created=created, history=history)


def _platform(request: BuildRequest) -> str:
    if len(request.platforms) > 1:
        raise BuildError(
            f"cannot build for several platforms at once: {', '.join(request.platforms)}",
            hint="build them one by one",
        )
    return str(parse_platform(request.platforms[0])) if request.platforms else host_platform()


def _epoch(request: BuildRequest, progress: Progress) -> int | None:
    text = request.args.get("SOURCE_DATE_EPOCH")
    if text:
        if text.isdigit() and len(text) < 13:
            return int(text)
        progress.warning(f"SOURCE_DATE_EPOCH={text} is not a number of seconds, and is ignored")
    return request.source_date_epoch


__all__ = ["Build", "build", "check"]
