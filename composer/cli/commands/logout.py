"""`composer logout`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Log out of a registry"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("server", nargs="?", default="docker.io", help="registry; default Docker Hub")


def run(args: argparse.Namespace, context: Context) -> int:
    """Forget the credentials."""
    from composer.cli.commands.login import server_name
    from composer.registry.credentials import Keychain

    domain = server_name(args.server)
    if Keychain(context.environ).erase(domain):
        context.print(f"Removing login credentials for {domain}")
    else:
        context.print(f"Not logged in to {domain}")
    return 0
