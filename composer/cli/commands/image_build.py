"""`composer image build`: an image from a Dockerfile and a directory."""

from __future__ import annotations

import os
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from composer.errors import UnsupportedError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from composer.build.digests import FileDigests
    from composer.build.engine import StepEngine
    from composer.build.request import BuildRequest
    from composer.cli.context import Context
    from composer.events import Report
    from composer.images.store import Image, Store

HELP = "Build an image from a Dockerfile"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add(
        "context",
        metavar="PATH|URL|-",
        help="build context: directory, repository, archive URL, or - for stdin",
    )
    add("-t", "--tag", action="append", default=[], help="name of the result; may be repeated")
    add("-f", "--file", default="", help="Dockerfile; default PATH/Dockerfile")
    add("--build-arg", action="append", default=[], metavar="NAME[=VALUE]", help="set an ARG")
    add("--build-context", action="append", default=[], metavar="NAME=VALUE", help="named context")
    add("--label", action="append", default=[], metavar="NAME=VALUE", help="label of the image")
    add("--target", default="", help="stage to build")
    add("--no-cache", action="store_true", help="use nothing from the cache")
    add("--no-cache-filter", action="append", default=[], metavar="STAGE", help="stages not to take from it")
    add("--pull", action="store_true", help="look for newer base images")
    add("--secret", action="append", default=[], metavar="id=ID[,src=FILE|,env=NAME]", help="secret for RUN")
    add("--ssh", action="append", default=[], metavar="default|ID[=SOCKET]", help="ssh agent for RUN")
    add("--network", default="", choices=("", "default", "host", "none"), help="network of RUN")
    add("--add-host", action="append", default=[], metavar="NAME:ADDRESS", help="line for /etc/hosts of RUN")
    add("--shm-size", default="", help="size of /dev/shm for RUN")
    add("--ulimit", action="append", default=[], metavar="NAME=SOFT[:HARD]", help="limit for RUN")
    add("--allow", action="append", default=[], help="network.host or security.insecure")
    add("--platform", action="append", default=[], help="platform to build for")
    add("--cache-from", action="append", default=[], help="import cache records: type=local,src=DIR")
    add("--cache-to", action="append", default=[], help="export cache records: type=local,dest=DIR")
    add("--check", action="store_true", help="only run the build checks")
    add("--iidfile", default="", metavar="FILE", help="write the image's id there")
    add("--load", action="store_true", help="accepted: the result is always in the store")
    add("-o", "--output", default="", help="only type=docker or type=image: the result is in the store")
    add("-q", "--quiet", action="store_true", help="no progress, only the id")


def run(args: argparse.Namespace, context: Context) -> int:
    """Build, and print the id when asked to be quiet."""
    request = request_from(args, context)
    if request.check:
        return run_check(request, context)
    image = run_build(request, context, quiet=args.quiet)
    if args.iidfile:
        with open(os.path.join(context.cwd, args.iidfile), "w", encoding="utf-8") as file:
            file.write(image.id)
    if args.quiet:
        context.print(image.id)
    return 0


def request_from(args: argparse.Namespace, context: Context) -> BuildRequest:
    """The options as a request.

    Raises:
        UsageError: An option's value is malformed.
    """
    from composer.build import options
    from composer.build.remote import is_remote
    from composer.build.request import BuildRequest

    if args.context == "-" and args.file == "-":
        raise UsageError(
            "context and Dockerfile cannot both come from standard input", hint="name a directory as context"
        )
    if args.output and not args.output.startswith(("type=docker", "type=image")):
        raise UnsupportedError(f"--output {args.output} is not supported", hint="use composer image save")
    contexts = {}
    for text in args.build_context:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UsageError(f"--build-context {text!r} is not NAME=VALUE")
        contexts[name] = value
    directory = args.context
    if directory != "-" and not is_remote(directory):
        directory = os.path.join(context.cwd, directory)
    file = args.file
    if file and file != "-" and not is_remote(args.context):
        # buildx looks a Dockerfile up from where the command is given.
        file = os.path.join(context.cwd, file)
    epoch = context.environ.get("SOURCE_DATE_EPOCH", "")
    default_platform = [text] if (text := context.environ.get("DOCKER_DEFAULT_PLATFORM", "")) else []
    return BuildRequest(
        context=directory,
        dockerfile=file,
        tags=tuple(args.tag),
        args=options.parse_pairs(args.build_arg, context.environ, "--build-arg"),
        labels=options.parse_labels(args.label),
        target=args.target,
        no_cache=args.no_cache,
        no_cache_filter=tuple(name for text in args.no_cache_filter for name in text.split(",")),
        pull=args.pull,
        contexts=contexts,
        secrets=dict(options.parse_secret(text, context.environ) for text in args.secret),
        ssh=dict(options.parse_ssh(text, context.environ) for text in args.ssh),
        network="" if args.network == "default" else args.network,
        extra_hosts=tuple(text.replace(":", "=", 1) if "=" not in text else text for text in args.add_host),
        shm_size=options.parse_size(args.shm_size, "--shm-size") if args.shm_size else None,
        ulimits=dict(options.parse_ulimit(text) for text in args.ulimit),
        allow=frozenset(args.allow),
        platforms=tuple(name for text in args.platform or default_platform for name in text.split(",")),
        cache_from=tuple(args.cache_from),
        cache_to=tuple(args.cache_to),
        source_date_epoch=int(epoch) if epoch.isdigit() and len(epoch) < 13 else None,
        check=args.check,
    )


def run_build(request: BuildRequest, context: Context, *, quiet: bool = False) -> Image:
    """Build one request with progress on standard error."""
    from composer.build.replay import replay
    from composer.cli.render import make_renderer
    from composer.images.store import Store

    store = Store(context.paths)
    digests: dict[str, FileDigests] = {}
    with make_renderer(context, quiet=quiet) as renderer:
        image = replay(request, store=store, report=renderer.handle, digests=digests)
        if image is None:
            import anyio

            image = anyio.run(_build, request, context, store, renderer.handle, digests)
    return image


async def _build(
    request: BuildRequest, context: Context, store: Store, report: Report, digests: dict[str, FileDigests]
) -> Image:
    """Build one request on this machine; the engine is opened by the first RUN that needs it."""
    from composer.build.builder import build
    from composer.build.lazy import lazy_engine

    with store.scratch() as scratch:
        if request.context == "-" or request.dockerfile == "-":
            request = _from_stdin(request, str(scratch))
        async with lazy_engine(lambda: open_engine(context)) as engine:
            return await build(request, engine=engine, store=store, report=report, digests=digests)


def open_engine(context: Context) -> AbstractAsyncContextManager[StepEngine]:
    """The engine of this machine."""
    from composer.app import open_local

    @asynccontextmanager
    async def opened() -> AsyncIterator[StepEngine]:
        async with open_local(context.paths) as local:
            yield local.engine

    return opened()


def _from_stdin(request: BuildRequest, scratch: str) -> BuildRequest:
    """Standard input is a Dockerfile (`-f -`, or a text), or an archive that is the whole context."""
    from dataclasses import replace

    from composer.build.remote import unpack_context

    path = os.path.join(scratch, "stdin")
    with open(path, "wb") as file:
        while data := sys.stdin.buffer.read(1 << 20):
            file.write(data)
    if request.dockerfile == "-":
        with open(path, encoding="utf-8") as text:
            return replace(request, dockerfile="", dockerfile_inline=text.read())
    directory = os.path.join(scratch, "context")
    os.mkdir(directory)
    if unpack_context(path, directory):
        return replace(request, context=directory)
    with open(path, encoding="utf-8") as text:
        return replace(request, context=directory, dockerfile="", dockerfile_inline=text.read())


def run_check(request: BuildRequest, context: Context) -> int:
    """Print findings of the build checks; 1 when there are any."""
    from composer.build.builder import check
    from composer.images.store import Store

    _, lines, _ = check(request, store=Store(context.paths))
    for line in lines:
        context.print(line)
    context.print(f"Check complete, {len(lines) or 'no'} warning{'' if len(lines) == 1 else 's'} found.")
    return 1 if lines else 0
