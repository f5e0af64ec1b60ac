"""`composer image import`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composer.errors import ImageError, UsageError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Make an image from a root file system"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("source", help="tar archive (any usual compression), directory, or - for stdin")
    parser.add_argument("name", nargs="?", default="", help="name of the image")
    parser.add_argument(
        "-c", "--change", action="append", default=[], help="Dockerfile instruction for its configuration"
    )
    parser.add_argument("-m", "--message", default="", help="comment in the history")
    parser.add_argument("--platform", default="", help="platform the files are for")


def run(args: argparse.Namespace, context: Context) -> int:
    """Import, and print the id."""
    from composer.images.importing import import_root
    from composer.images.store import Store

    store = Store(context.paths)
    epoch = context.environ.get("SOURCE_DATE_EPOCH", "")
    options: dict[str, Any] = {
        "names": [args.name] if args.name else [],
        "changes": args.change,
        "message": args.message,
        "platform": args.platform,
        "created": float(epoch) if epoch.isdigit() and len(epoch) < 13 else None,
    }
    if args.source == "-":
        image = import_root(store, sys.stdin.buffer, **options)
    elif "://" in args.source:
        raise UsageError("an URL cannot be imported", hint="download the file and import that")
    else:
        path = Path(context.cwd, args.source)
        if path.is_dir():
            image = import_root(store, path, **options)
        else:
            try:
                with path.open("rb", buffering=0) as file:
                    image = import_root(store, file, **options)
            except OSError as error:
                raise ImageError(f"cannot read {path}: {error.strerror}") from error
    context.print(image.id)
    return 0
