"""`composer export`."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from composer.errors import ComposerError, NotFoundError, UsageError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context
    from composer.cli.snapshot import Container

HELP = "Write a service container's file system as a tar archive"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("service", metavar="SERVICE", help="the service")
    parser.add_argument("-o", "--output", default="", help="file; default stdout")
    parser.add_argument("--index", type=int, default=0, metavar="N", help="which replica")


def run(args: argparse.Namespace, context: Context) -> int:
    """Write the merged tree; mounts are not part of it."""
    from composer.images.merged import MergedWriter

    container = container_of(context, args.service, args.index)
    layers = [Path(layer) for layer in container.config.get("layers", ())]
    writer = MergedWriter([*layers, context.paths.container(container.id) / "upper"])
    if not args.output:
        if sys.stdout.isatty():
            raise UsageError("an archive will not be written to a terminal", hint="use -o FILE or redirect")
        for chunk in writer.chunks():
            sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
        return 0
    target = os.path.join(context.cwd, args.output)
    try:
        with open(target, "wb") as file:
            for chunk in writer.chunks():
                file.write(chunk)
    except OSError as error:
        raise ComposerError(f"cannot write {target}: {error.strerror}") from error
    return 0


def container_of(context: Context, service: str, index: int) -> Container:
    """The container of a service, running or not: number *index*, or the first.

    Raises:
        NotFoundError: There is none.
    """
    from composer.cli.project import select

    found = [container for container in select(context, [service]) if not container.oneoff]
    found.sort(key=lambda container: container.number)
    for container in found:
        if not index or container.number == index:
            return container
    number = f" with number {index}" if index else ""
    raise NotFoundError(f"service {service!r} has no container{number}")
