"""`composer ls`: the projects on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context
    from composer.cli.snapshot import Container

HELP = "List the projects on this machine"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("-a", "--all", action="store_true", help="also projects with nothing running")
    parser.add_argument("-q", "--quiet", action="store_true", help="only names")
    parser.add_argument("--format", default="table", help="table, json or a Go template")
    parser.add_argument(
        "--filter", action="append", default=[], metavar="name=REGEXP", help="only such names"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the list."""
    from composer.cli.snapshot import PREFIX, containers

    projects: dict[str, list[Container]] = {}
    for container in containers(context.paths):
        if container.project:
            projects.setdefault(container.project, []).append(container)
    for text in args.filter:
        projects = {name: found for name, found in projects.items() if _matches(text, name)}
    rows = []
    for name, found in sorted(projects.items()):
        counts: dict[str, int] = {}
        for container in found:
            counts[container.status] = counts.get(container.status, 0) + 1
        if not args.all and not any(container.alive for container in found):
            continue
        files = next((file for c in found if (file := c.labels.get(PREFIX + "project.config_files"))), "")
        status = ", ".join(f"{word}({count})" for word, count in sorted(counts.items()))
        rows.append({"Name": name, "Status": status, "ConfigFiles": files})
    if args.quiet:
        for row in rows:
            context.print(row["Name"])
        return 0
    from composer.cli.render.table import print_rows

    columns = {"NAME": "Name", "STATUS": "Status", "CONFIG FILES": "ConfigFiles"}
    print_rows(context, rows, columns=columns, style=args.format, lines=False)
    return 0


def _matches(text: str, name: str) -> bool:
    import re

    key, _, pattern = text.partition("=")
    if key != "name":
        raise UsageError(f"--filter {text!r} is not understood", hint="use name=REGEXP")
    try:
        return re.search(pattern, name) is not None
    except re.error as error:
        raise UsageError(f"--filter {text!r}: {error}") from None
