"""`composer wait`: until containers have ended; prints and returns their exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import NotFoundError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context
    from composer.cli.snapshot import Container

HELP = "Wait until containers of services have ended"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("services", nargs="+", metavar="SERVICE", help="which services")
    parser.add_argument("--down-project", action="store_true", help="take the project down on the first end")


def run(args: argparse.Namespace, context: Context) -> int:
    """Wait, print the exit codes, return the last one that is not 0."""
    from composer.cli.follow import Follower
    from composer.cli.project import check_services

    def wanted(container: Container) -> bool:
        return container.service in args.services and not container.oneoff

    with Follower(context.paths, context.project_name, wanted) as follower:
        found = follower.containers
        check_services(context, args.services, found)
        if not found:
            raise NotFoundError(f"no containers for services {', '.join(args.services)}")
        codes = {container.id: container.exit_code for container in found if not container.alive}
        while len(codes) < len(found) and not (codes and args.down_project):
            for change in follower.changes():
                if change.kind == "removed" or (change.kind == "state" and not change.container.alive):
                    codes.setdefault(change.container.id, change.container.exit_code)
    result = 0
    for container in found:
        if container.id in codes:
            context.print(str(codes[container.id]))
            result = codes[container.id] or result
    if args.down_project:
        from composer.cli.operate import document, operate

        operate(context, "down", {}, loaded=document(context))
    return result
