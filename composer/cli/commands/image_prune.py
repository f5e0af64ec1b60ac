"""`composer image prune`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from composer.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from composer.cli.context import Context
    from composer.images.remove import Removal

HELP = "Remove unused images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("-a", "--all", action="store_true", help="all unused images, not only nameless ones")
    parser.add_argument("-f", "--force", action="store_true", help="do not ask")
    parser.add_argument("--filter", action="append", default=[], help="until=24h, label=K[=V], label!=K[=V]")


def run(args: argparse.Namespace, context: Context) -> int:
    """Ask, remove, and print what went."""
    from composer.cli.render.units import human_bytes
    from composer.images.remove import prune
    from composer.images.store import Store

    before, matches = parse_filters(args.filter)
    what = "all images without a container" if args.all else "all images without a name"
    if not args.force and not confirmed(context, f"This will remove {what}."):
        return 1
    done = prune(
        Store(context.paths),
        everything=args.all,
        before=before,
        wanted=lambda image: matches(image.config.labels),
        waiting=lambda: waiting(context),
    )
    print_removals(context, done.removals)
    context.print(f"Total reclaimed space: {human_bytes(done.reclaimed)}")
    return 0


def print_removals(context: Context, removals: Sequence[Removal]) -> None:
    """What went, line by line."""
    if removals:
        context.print("Deleted Images:")
        for removal in removals:
            context.print(f"{removal.action}: {removal.name}")
        context.print()


def waiting(context: Context) -> None:
    """Say why nothing happens."""
    context.stderr.write("waiting for a pull, a build or an up to end\n")
    context.stderr.flush()


def parse_filters(filters: list[str]) -> tuple[float | None, Callable[[Mapping[str, str]], bool]]:
    """The moment of `until=` and a test of labels for the `label` filters.

    Raises:
        UsageError: A filter is unknown or malformed.
    """
    from composer.cli.logfile import duration

    before: float | None = None
    labels: list[tuple[str, str, str, bool]] = []
    for text in filters:
        key, equals, value = text.partition("=")
        if key == "until" and equals:
            seconds = duration(value)
            if seconds is None and not value.isdigit():
                raise UsageError(f"{value!r} is no duration", hint="write 24h or 90m, or a Unix time")
            before = time.time() - seconds if seconds is not None else float(value)
        elif key in ("label", "label!") and equals:
            labels.append((*value.partition("="), key == "label"))
        else:
            raise UsageError(f"unknown filter {text!r}", hint="use until=, label= or label!=")

    def matches(known: Mapping[str, str]) -> bool:
        return all(
            (name in known and (not given or known[name] == value)) is positive
            for name, given, value, positive in labels
        )

    return before, matches


def confirmed(context: Context, warning: str) -> bool:
    """Ask on the terminal; without one the answer is no.

    Raises:
        UsageError: Nobody can answer, because standard input is no terminal.
    """
    import sys

    if not sys.stdin.isatty():
        raise UsageError("nobody can be asked: standard input is no terminal", hint="use --force")
    context.stderr.write(f"{warning}\nAre you sure you want to continue? [y/N] ")
    context.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
