"""`composer port`: where a container's port can be reached from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import NotFoundError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Print the public address of a published port"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("service", metavar="SERVICE", help="whose port")
    parser.add_argument("private_port", metavar="PRIVATE_PORT", help="the port inside, such as 80 or 53/udp")
    parser.add_argument("--protocol", default="tcp", choices=["tcp", "udp"], help="tcp or udp")
    parser.add_argument("--index", type=int, default=0, metavar="N", help="which replica")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print `0.0.0.0:8080`."""
    from composer.cli.commands.ps import address, publishers
    from composer.cli.project import one_container

    text, _, protocol = args.private_port.partition("/")
    protocol = protocol or args.protocol
    container = one_container(context, args.service, args.index)
    for port in publishers(container):
        if str(port["TargetPort"]) == text and port["Protocol"] == protocol:
            context.print(f"{address(port['URL'])}:{port['PublishedPort']}")
            return 0
    raise NotFoundError(f"no port {text}/{protocol} for container {container.name}: it is not published")
