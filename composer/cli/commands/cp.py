"""`composer cp`: files out of a service's container, or into it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context
    from composer.cli.snapshot import Container

HELP = "Copy files between a service container and this machine"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("source", metavar="SOURCE", help="SERVICE:PATH, a path here, or - for a tar archive")
    parser.add_argument("target", metavar="TARGET", help="a path here, SERVICE:PATH, or - for a tar archive")
    parser.add_argument("--index", type=int, default=0, metavar="N", help="which replica")
    parser.add_argument("--all", action="store_true", help="into every replica, one-off containers too")
    parser.add_argument("-a", "--archive", action="store_true", help="keep owners")
    parser.add_argument(
        "-L", "--follow-link", action="store_true", help="copy what a symbolic link points at"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Copy."""
    from composer.cli import copying

    from_service, source = split(args.source)
    to_service, target = split(args.target)
    if bool(from_service) == bool(to_service):
        raise UsageError("one of source and target is SERVICE:PATH, the other is a path here")
    for container in _containers(args, context, from_service or to_service):
        pid = container.state["pid"]
        copy = copying.from_container if from_service else copying.to_container
        copy(pid, source, target, archive=args.archive, follow=args.follow_link)
    return 0


def split(word: str) -> tuple[str, str]:
    """Service and path of `SERVICE:PATH`; a path with a slash before the colon is a path here."""
    service, colon, path = word.partition(":")
    if not colon or "/" in service or service in ("", ".", ".."):
        return "", word
    if not path:
        raise UsageError(f"{word!r} has no path after the colon")
    return service, path


def _containers(args: argparse.Namespace, context: Context, service: str) -> list[Container]:
    from composer.cli.project import one_container, select

    if not args.all:
        return [one_container(context, service, args.index)]
    if split(args.source)[0]:
        raise UsageError("--all copies into containers, not out of them")
    found = [container for container in select(context, [service]) if container.state.get("pid")]
    if not found:
        raise NotFoundError(f'service "{service}" is not running')
    return found
