"""`composer image push`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import NotFoundError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context
    from composer.images.store import Store

HELP = "Upload an image to a registry"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", metavar="IMAGE", help="name, with tag")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    parser.add_argument("-a", "--all-tags", action="store_true", help="every tag of the repository")
    parser.add_argument(
        "--compression", default="gzip", choices=["gzip", "zstd"], help="for layers that were made here"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Push, and print tag, digest and size as docker does."""
    from composer.cli.render import make_renderer
    from composer.cli.transfers import reporting
    from composer.images.push import push
    from composer.images.reference import parse
    from composer.images.store import Store
    from composer.registry.settings import Settings

    store = Store(context.paths)
    settings = Settings.load(context.environ)
    names = _all_tags(store, args.name) if args.all_tags else [args.name]
    for name in names:
        with make_renderer(context, quiet=args.quiet) as renderer:
            done = push(
                store,
                name,
                compression=args.compression,
                settings=settings,
                report=reporting(context, renderer),
            )
        if args.quiet:
            context.print(parse(name).canonical)
        else:
            context.print(f"{parse(name).tag or 'latest'}: digest: {done.digest} size: {done.size}")
    return 0


def _all_tags(store: Store, name: str) -> list[str]:
    from composer.images.reference import parse

    repository = parse(name).repository
    found = [
        tag for image in store.images() for tag in image.repo_tags if parse(tag).repository == repository
    ]
    if not found:
        raise NotFoundError(f"no image has a tag in {name}")
    return sorted(found)
