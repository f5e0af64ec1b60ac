"""`composer build`: the images of the project's services that have a `build:` section."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from composer.errors import UnsupportedError, UsageError, unknown_service

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping, Sequence

    from composer.build.digests import FileDigests
    from composer.build.engine import StepEngine
    from composer.build.request import BuildRequest
    from composer.cli.context import Context
    from composer.events import Report
    from composer.images.store import Store
    from composer.spec.model import Project, Service

HELP = "Build or rebuild the images of services"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("services", nargs="*", metavar="SERVICE", help="only these services")
    add("--build-arg", action="append", default=[], metavar="NAME[=VALUE]", help="set an ARG of all builds")
    add("--check", action="store_true", help="only run the build checks")
    add("--no-cache", action="store_true", help="use nothing from the cache")
    add("--print", action="store_true", dest="print_only", help="print what would be built, as JSON")
    add("--pull", action="store_true", help="look for newer base images")
    add("--push", action="store_true", help="push the images afterwards")
    add("-q", "--quiet", action="store_true", help="no progress")
    add("--ssh", action="append", default=[], metavar="default|ID[=SOCKET]", help="ssh agent for RUN")
    add("--with-dependencies", action="store_true", help="build what the services depend on too")
    add("-m", "--memory", default="", help="refused: RUN steps have no memory limit")
    add("--builder", default="", help="accepted: there is one builder")
    add("--provenance", default="", help="accepted: no attestations are made")
    add("--sbom", default="", help="accepted: no attestations are made")


def run(args: argparse.Namespace, context: Context) -> int:
    """Build, concurrently where nothing needs another's image."""
    if args.memory:
        raise UnsupportedError("build --memory is not supported", hint="leave it out")
    project = context.load(args.services if args.with_dependencies else ()).project()
    names = _wanted(project, args.services, dependencies=args.with_dependencies)
    if not names:
        context.warn("no service has a build section")
        return 0
    requests = {name: _request(args, context, project, name) for name in names}
    if args.print_only:
        return _print(context, requests)
    if args.check:
        from composer.cli.commands.image_build import run_check

        return max([run_check(request, context) for request in requests.values()])
    _build(project, requests, context, quiet=args.quiet)
    if args.push:
        _push(context, requests)
    return 0


def _wanted(project: Project, services: Sequence[str], *, dependencies: bool) -> list[str]:
    """Services to build: those named with what their contexts need, or all that can be built.

    Raises:
        NotFoundError: A name is no service.
        UsageError: A named service has nothing to build.
    """
    from composer.build.compose import needed_services

    every = {**project.services, **project.disabled_services}
    if not services:
        return [name for name, service in project.services.items() if service.build is not None]
    pending = list(services)
    found: list[str] = []
    while pending:
        name = pending.pop(0)
        if name in found:
            continue
        service = every.get(name)
        if service is None:
            raise unknown_service(name, every)
        if service.build is None and name in services and not dependencies:
            raise UsageError(f"service {name!r} has no build section")
        pending += needed_services(service)
        if dependencies:
            pending += service.depends_on
        if service.build is not None:
            found.append(name)
    return found


def _request(args: argparse.Namespace, context: Context, project: Project, name: str) -> BuildRequest:
    from composer.build.compose import request_for
    from composer.build.options import parse_pairs, parse_ssh

    service = project.services.get(name) or project.disabled_services[name]
    request = request_for(project, service)
    given = parse_pairs(args.build_arg, {**project.environment, **context.environ}, "--build-arg")
    return replace(
        request,
        args={**request.args, **given},
        no_cache=request.no_cache or args.no_cache,
        pull=request.pull or args.pull,
        ssh={**request.ssh, **dict(parse_ssh(text, context.environ) for text in args.ssh)},
    )


def _build(project: Project, requests: dict[str, BuildRequest], context: Context, *, quiet: bool) -> None:
    """What is wholly in the cache needs no event loop, unless it reads from what is not."""
    from composer.build.compose import needed_services
    from composer.build.replay import replay
    from composer.cli.render import make_renderer
    from composer.images.store import Store

    store = Store(context.paths)
    digests: dict[str, FileDigests] = {}
    every = {**project.services, **project.disabled_services}
    left = dict(requests)
    with make_renderer(context, quiet=quiet) as renderer:
        for name in _needed_first(requests, every):
            if not left.keys() & set(needed_services(every[name])) and replay(
                requests[name], store=store, report=renderer.handle, digests=digests
            ):
                del left[name]
        if left:
            import anyio

            anyio.run(_build_all, every, left, context, store, renderer.handle)


def _needed_first(requests: Iterable[str], services: Mapping[str, Service]) -> list[str]:
    """Names of builds, each after those whose images it reads."""
    from composer.build.compose import needed_services

    ordered: dict[str, None] = {}

    def add(name: str, path: tuple[str, ...]) -> None:
        for other in needed_services(services[name]):
            if other in wanted and other not in path:
                add(other, (*path, other))
        ordered[name] = None

    wanted = set(requests)
    for name in requests:
        add(name, (name,))
    return list(ordered)


async def _build_all(
    every: Mapping[str, Service],
    requests: dict[str, BuildRequest],
    context: Context,
    store: Store,
    report: Report,
) -> None:
    """Every build waits for those whose images its contexts name."""
    import anyio

    from composer.build.builder import build
    from composer.build.compose import needed_services
    from composer.build.groups import first_error
    from composer.build.lazy import lazy_engine
    from composer.cli.commands.image_build import open_engine

    done = {name: anyio.Event() for name in requests}

    async def one(name: str, engine: StepEngine) -> None:
        for other in needed_services(every[name]):
            if other in done:
                await done[other].wait()
        await build(requests[name], engine=engine, store=store, report=report)
        done[name].set()

    try:
        async with lazy_engine(lambda: open_engine(context)) as engine, anyio.create_task_group() as tasks:
            for name in requests:
                tasks.start_soon(one, name, engine)
    except BaseExceptionGroup as group:
        raise first_error(group) from group


def _print(context: Context, requests: dict[str, BuildRequest]) -> int:
    import json

    from composer.values import to_json

    documents = {}
    for name, request in requests.items():
        document = to_json(replace(request, secrets={}))
        document["allow"] = sorted(request.allow)
        documents[name] = document
    context.print(json.dumps({"target": documents}, indent=2))
    return 0


def _push(context: Context, requests: dict[str, BuildRequest]) -> None:
    from composer.cli.render import make_renderer
    from composer.cli.transfers import reporting
    from composer.images.push import push
    from composer.images.store import Store
    from composer.registry.settings import Settings

    store = Store(context.paths)
    settings = Settings.load(context.environ)
    for request in requests.values():
        for tag in request.tags:
            with make_renderer(context) as renderer:
                push(store, tag, settings=settings, report=reporting(context, renderer))
