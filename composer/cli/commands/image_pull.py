"""`composer image pull`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Download an image from a registry"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("names", nargs="+", metavar="IMAGE", help="names, with tag or digest")
    parser.add_argument("-q", "--quiet", action="store_true", help="only print the name")
    parser.add_argument("-a", "--all-tags", action="store_true", help="every tag of the repository")
    parser.add_argument("--platform", default="", help="os/architecture[/variant]")


def run(args: argparse.Namespace, context: Context) -> int:
    """Pull each, and print its digest and canonical name."""
    from composer.cli.render import make_renderer
    from composer.cli.transfers import reporting
    from composer.images.pull import pull
    from composer.images.reference import parse
    from composer.images.store import Store
    from composer.registry.settings import Settings

    settings = Settings.load(context.environ)
    names = list(args.names)
    if args.all_tags:
        names = [tagged for name in names for tagged in _all_tags(name, settings)]
    store = Store(context.paths)
    for name in names:
        with make_renderer(context, quiet=args.quiet) as renderer:
            done = pull(
                store, name, platform=args.platform, settings=settings, report=reporting(context, renderer)
            )
        if not args.quiet:
            context.print(f"Digest: {done.digest}")
            state = "Downloaded newer image" if done.changed else "Image is up to date"
            context.print(f"Status: {state} for {parse(name).familiar}")
        context.print(parse(name).canonical)
    return 0


def _all_tags(name: str, settings: object) -> list[str]:
    from composer.images.reference import parse
    from composer.registry.client import Registry
    from composer.registry.settings import Settings

    parsed = parse(name)
    if parsed.tag or parsed.digest:
        raise UsageError("--all-tags takes a name without a tag")
    known = settings if isinstance(settings, Settings) else None
    registry = Registry(parsed.domain, settings=known)
    try:
        return [f"{parsed.repository}:{tag}" for tag in registry.tags(parsed.path)]
    finally:
        registry.close()
