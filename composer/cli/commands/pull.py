"""`composer pull`: the images of a project's services."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.errors import ComposerError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from composer.cli.context import Context
    from composer.events import Report
    from composer.images.store import Store

HELP = "Download the images of services"
_AT_ONCE = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="only these services")
    parser.add_argument("--ignore-buildable", action="store_true", help="leave out what can be built")
    parser.add_argument("--ignore-pull-failures", action="store_true", help="go on when one fails")
    parser.add_argument("--include-deps", action="store_true", help="also what the services depend on")
    parser.add_argument("--policy", default="", choices=["missing", "always"], help="when to pull")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")


def run(args: argparse.Namespace, context: Context) -> int:
    """Pull each image once, a few at a time."""
    from concurrent.futures import ThreadPoolExecutor

    from composer.cli.transfers import reporting
    from composer.events import Event
    from composer.images.store import Store
    from composer.registry.transport import Abort

    chosen = services_of(context, args.services, include_dependencies=args.include_deps)
    store = Store(context.paths)
    abort = Abort()
    failures: list[ComposerError] = []
    with context.renderer("pull", quiet=args.quiet) as renderer:
        report = reporting(context, renderer)
        wanted: dict[tuple[str, str], Mapping[str, Any]] = {}
        for name, service in chosen.items():
            skipped = _reason_to_skip(args, store, service)
            if skipped:
                title = service.get("image") or name
                report(Event("image", title, f"Skipped - {skipped}", "done", service=name))
            else:
                wanted.setdefault((service["image"], service.get("platform", "")), service)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            futures = {
                pool.submit(_pull, context, store, image, platform, report, abort): service
                for (image, platform), service in wanted.items()
            }
            try:
                for future, origin in futures.items():
                    try:
                        future.result()
                    except ComposerError as error:
                        if args.ignore_pull_failures or origin.get("build"):
                            report(Event("warning", "", text=str(error)))
                        else:
                            failures.append(error)
            except BaseException:
                abort.set()
                for future in futures:
                    future.cancel()
                raise
    for failure in failures[1:]:
        context.warn(str(failure))
    if failures:
        raise failures[0]
    return 0


def services_of(
    context: Context, names: list[str], *, include_dependencies: bool
) -> dict[str, dict[str, Any]]:
    """The canonical services that a command means: all, the named ones, or those and what they need."""
    from composer.cli.project import check_declared

    loaded = context.load(names)
    check_declared(loaded, names)
    services: dict[str, dict[str, Any]] = loaded.document.get("services", {})
    if not names:
        return services
    chosen: dict[str, dict[str, Any]] = {}
    pending = list(names)
    while pending:
        name = pending.pop(0)
        if name in chosen or name not in services:
            continue
        chosen[name] = services[name]
        if include_dependencies:
            pending += list(services[name].get("depends_on") or {})
    return chosen


def _reason_to_skip(args: argparse.Namespace, store: Store, service: Mapping[str, Any]) -> str:
    from composer.images.reference import parse

    image = service.get("image")
    policy = args.policy or service.get("pull_policy") or "always"
    if not image:
        return "No image to be pulled"
    if service.get("build") and args.ignore_buildable:
        return "Image can be built"
    if policy in ("never", "build") and not args.policy:
        return f"pull_policy is {policy}"
    if policy in ("missing", "if_not_present") and store.resolve(image) and not parse(image).is_moving:
        return "Image is already present locally"
    return ""


def _pull(context: Context, store: Store, image: str, platform: str, report: Report, abort: Any) -> None:
    from composer.images.pull import pull
    from composer.registry.settings import Settings

    pull(
        store,
        image,
        platform=platform,
        settings=Settings.load(context.environ),
        report=report,
        abort=abort,
    )
