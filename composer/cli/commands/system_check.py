"""`composer system check`: what this machine can and cannot do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Say what this machine can and cannot do"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--format", default="table", choices=["table", "json"], help="how to print it")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the table; 1 when something is missing without which no container starts."""
    from composer.namespaces.check import examine

    findings = examine(context.paths.root)
    failed = any(finding.verdict == "missing" for finding in findings)
    if args.format == "json":
        import json

        context.print(json.dumps([finding._asdict() for finding in findings], indent=2))
        return int(failed)
    marks = {"ok": ("ok", "32"), "limited": ("limited", "33"), "missing": ("MISSING", "31")}
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        word, colour = marks[finding.verdict]
        shown = f"{word:<8}"
        if context.colours:
            shown = f"\x1b[{colour}m{shown}\x1b[0m"
        context.print(f"{finding.what:<{width}}  {shown} {finding.found}")
        indent = " " * (width + 11)
        if finding.cost:
            context.print(f"{indent}cost: {finding.cost}")
        if finding.remedy:
            context.print(f"{indent}to get it: {finding.remedy}")
    if failed:
        context.print("\nContainers cannot run here until what is MISSING is there.")
    return int(failed)
