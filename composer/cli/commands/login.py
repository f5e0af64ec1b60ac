"""`composer login`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from composer.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Log in to a registry"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("server", nargs="?", default="docker.io", help="registry; default Docker Hub")
    parser.add_argument("-u", "--username", default="", help="user name")
    parser.add_argument("-p", "--password", default="", help="password; visible to others, avoid it")
    parser.add_argument("--password-stdin", action="store_true", help="take the password from stdin")


def run(args: argparse.Namespace, context: Context) -> int:
    """Try the credentials at the registry, then keep them where Docker keeps them."""
    from composer.registry.client import Registry
    from composer.registry.credentials import Credentials, Keychain
    from composer.registry.settings import Settings

    domain = server_name(args.server)
    keychain = Keychain(context.environ)
    if args.password and args.password_stdin:
        raise UsageError("--password and --password-stdin exclude each other")
    if args.password:
        context.warn("a password on the command line is seen by others; use --password-stdin")
    username, password = args.username, args.password
    if args.password_stdin:
        if not username:
            raise UsageError("--password-stdin needs --username")
        password = sys.stdin.read().rstrip("\r\n")
    if not username or not password:
        if not sys.stdin.isatty():
            raise UsageError(
                "nobody can be asked: standard input is no terminal", hint="use --password-stdin"
            )
        username, password = _ask(context, username)
    given = Credentials(username, password, source="this command")
    registry = Registry(domain, settings=Settings.load(context.environ), credentials=given, pushing=True)
    try:
        registry.probe()
    finally:
        registry.close()
    place = keychain.store(domain, given)
    if place == str(keychain.path):
        context.warn(f"the password is kept unencrypted in {place}; a credential helper would keep it safe")
    context.print("Login Succeeded")
    return 0


def server_name(server: str) -> str:
    """The registry that was meant, as names spell it."""
    host = server.partition("://")[2] if "://" in server else server
    host = host.partition("/")[0]
    return "docker.io" if host in ("index.docker.io", "registry-1.docker.io", "hub.docker.com") else host


def _ask(context: Context, username: str) -> tuple[str, str]:
    from getpass import getpass

    if not username:
        context.stderr.write("Username: ")
        context.stderr.flush()
        username = sys.stdin.readline().strip()
    return username, getpass("Password: ", context.stderr)
