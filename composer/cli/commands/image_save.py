"""`composer image save`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from composer.errors import ImageError, UsageError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Write images to an archive"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("names", nargs="+", metavar="IMAGE", help="names or ids")
    parser.add_argument("-o", "--output", default="", help="file; default stdout")


def run(args: argparse.Namespace, context: Context) -> int:
    """Save; a file appears whole or not at all."""
    from composer.images.save import save
    from composer.images.store import Store

    store = Store(context.paths)
    if not args.output:
        if sys.stdout.isatty():
            raise UsageError("an archive will not be written to a terminal", hint="use -o FILE or redirect")
        save(store, args.names, sys.stdout.buffer.write)
        sys.stdout.buffer.flush()
        return 0
    target = os.path.join(context.cwd, args.output)
    temporary = f"{target}.{os.getpid()}.part"
    try:
        with open(temporary, "wb") as file:
            save(store, args.names, file.write)
        os.rename(temporary, target)
    except OSError as error:
        raise ImageError(f"cannot write {target}: {error.strerror}") from error
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    return 0
