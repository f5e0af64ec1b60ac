"""`composer logs`: what containers wrote, merged by time, and what they write from now on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from composer.cli.context import Context
    from composer.cli.logfile import Line, LogReader
    from composer.cli.render.logs import LogPrinter
    from composer.cli.snapshot import Container

HELP = "Print the output of containers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="only these services")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    parser.add_argument(
        "-n", "--tail", default="all", metavar="N", help="only the last N lines of each container"
    )
    parser.add_argument(
        "--since", default="", metavar="TIME", help="from then on: a moment, or 10m for ten minutes ago"
    )
    parser.add_argument("--until", default="", metavar="TIME", help="up to then")
    parser.add_argument("-t", "--timestamps", action="store_true", help="write each line's time")
    parser.add_argument("--no-color", action="store_true", help="no colours")
    parser.add_argument("--no-log-prefix", action="store_true", help="no container names")
    parser.add_argument("--index", type=int, default=0, metavar="N", help="only this replica")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print history, then follow."""
    from composer.cli.logfile import moment_key, parse_moment
    from composer.cli.project import select
    from composer.cli.render.logs import LogPrinter

    count = tail_count(args.tail)
    since = moment_key(parse_moment(args.since)) if args.since else ""
    until = moment_key(parse_moment(args.until)) if args.until else ""

    def wanted(container: Container) -> bool:
        if container.oneoff or (args.services and container.service not in args.services):
            return False
        return not args.index or container.number == args.index

    found = [container for container in select(context, args.services) if wanted(container)]
    printer = LogPrinter(
        context.stdout,
        context.stderr,
        colour=context.colours and not args.no_color,
        prefix=not args.no_log_prefix,
        timestamps=args.timestamps,
    )
    printer.register(container.short_name for container in found)
    if not args.follow:
        from composer.cli.logfile import LOG, LogReader

        readers = [(c, LogReader(str(context.paths.container(c.id) / LOG))) for c in found]
        print_history(printer, readers, count=count, since=since, until=until)
        return 0
    from composer.cli.follow import Follower

    with Follower(context.paths, context.project_name, wanted, skip=False) as follower:
        print_history(
            printer,
            [(container, follower.reader(container)) for container in follower.containers],
            count=count,
            since=since,
            until=until,
        )
        for change in follower.until_over():
            if change.line is None:
                continue
            if until and moment_key(change.line.time) > until:
                break
            name = change.container.short_name
            printer.line(name, change.line.text, stream=change.line.stream, time=change.line.time)
    return 0


def tail_count(text: str) -> int | None:
    """The value of `--tail`: a number, or None for `all`.

    Raises:
        UsageError: Neither.
    """
    if text == "all":
        return None
    try:
        count = int(text)
    except ValueError:
        raise UsageError(f"--tail takes a number or all, not {text!r}") from None
    return None if count < 0 else count


def print_history(
    printer: LogPrinter,
    readers: Iterable[tuple[Container, LogReader]],
    *,
    count: int | None = None,
    since: str = "",
    until: str = "",
) -> None:
    """Print what was written so far, lines of all containers merged by their time."""
    from heapq import merge

    from composer.cli.logfile import moment_key

    def lines(container: Container, reader: LogReader) -> Iterator[tuple[str, str, Line]]:
        name = container.short_name
        found = reader.history() if count is None else reader.tail(count)
        for line in found:
            key = moment_key(line.time)
            if key < since:
                continue
            if until and key > until:
                return
            yield key, name, line

    for _, name, line in merge(*(lines(container, reader) for container, reader in readers)):
        printer.line(name, line.text, stream=line.stream, time=line.time)
