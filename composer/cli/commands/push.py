"""`composer push`: the images that a project builds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import ComposerError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Upload the images of services"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="only these services")
    parser.add_argument("--ignore-push-failures", action="store_true", help="go on when one fails")
    parser.add_argument("--include-deps", action="store_true", help="also what the services depend on")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace, context: Context) -> int:
    """Push the image of each service that has both `build` and `image`."""
    from composer.cli.commands.pull import services_of
    from composer.cli.transfers import reporting
    from composer.events import Event
    from composer.images.push import push
    from composer.images.store import Store
    from composer.registry.settings import Settings

    chosen = services_of(context, args.services, include_dependencies=args.include_deps)
    store = Store(context.paths)
    settings = Settings.load(context.environ)
    done: set[str] = set()
    with context.renderer("push", quiet=args.quiet) as renderer:
        report = reporting(context, renderer)
        for name, service in chosen.items():
            image = service.get("image", "")
            if not service.get("build") or not image:
                report(Event("service", name, "Skipped", "done", service=name))
                continue
            for target in (image, *(service["build"].get("tags") or ())):
                if target in done:
                    continue
                done.add(target)
                try:
                    push(store, target, settings=settings, report=report)
                except ComposerError as error:
                    if not args.ignore_push_failures:
                        raise
                    report(Event("warning", name, text=str(error)))
    return 0
