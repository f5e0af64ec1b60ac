"""`composer attach`: our terminal as the terminal of a running service."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Connect to a running service's input and output"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("service", metavar="SERVICE", help="to which service")
    parser.add_argument("--index", type=int, default=0, metavar="N", help="which replica")
    parser.add_argument("--no-stdin", action="store_true", help="only output")
    parser.add_argument("--detach-keys", default="", metavar="KEYS", help="instead of ctrl-p,ctrl-q")
    parser.add_argument("--sig-proxy", action="store_true", default=True, help="pass signals on (default)")


def run(args: argparse.Namespace, context: Context) -> int:
    """Attach until it ends or the detach keys are pressed."""
    from composer.cli.attach import Attachment
    from composer.cli.project import one_container
    from composer.cli.terminal import DETACH_KEYS, parse_keys

    keys = parse_keys(args.detach_keys or DETACH_KEYS)
    container = one_container(context, args.service, args.index)
    process = container.config.get("process", {})
    attachment = Attachment(
        context.paths,
        container.id,
        terminal=process.get("terminal", False),
        stdin=not args.no_stdin and process.get("stdin_open", False),
        history=False,
        detach=keys,
        forward=args.sig_proxy,
    )
    return attachment.run()
