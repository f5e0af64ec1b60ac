"""`composer image load`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from composer.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Load images from an archive"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("-i", "--input", default="", help="archive or OCI layout directory; default stdin")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")
    parser.add_argument("--platform", default="", help="which image of a multi-platform archive")


def run(args: argparse.Namespace, context: Context) -> int:
    """Load, and print names or ids."""
    from composer.cli.render import make_renderer
    from composer.images.load import load
    from composer.images.store import Store

    if not args.input and sys.stdin.isatty():
        raise UsageError("an archive is expected on standard input", hint="use -i FILE")
    source = Path(context.cwd, args.input) if args.input else sys.stdin.buffer
    with make_renderer(context, quiet=args.quiet) as renderer:
        images = load(Store(context.paths), source, platform=args.platform, report=renderer.handle)
    for image in images:
        for name in image.repo_tags:
            context.print(f"Loaded image: {name}")
        if not image.repo_tags:
            context.print(f"Loaded image ID: {image.id}")
    return 0
