"""`composer image inspect`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from composer.errors import NotFoundError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Print everything known about images"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("names", nargs="+", metavar="IMAGE", help="names or ids")
    parser.add_argument("-f", "--format", default="json", help="json or a Go template")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print a JSON list, or one line per image."""
    from composer.cli.images import inspection
    from composer.images.store import Store

    store = Store(context.paths)
    found, missing = [], []
    for name in args.names:
        image = store.resolve(name)
        if image is None:
            missing.append(name)
        else:
            found.append(inspection(image))
    if args.format == "json":
        context.print(json.dumps(found, indent=4, ensure_ascii=False))
    else:
        from composer.cli.render.template import parse

        template = parse(args.format)
        for document in found:
            context.print(template.render(document))
    if missing:
        raise NotFoundError(f"no such image: {', '.join(missing)}")
    return 0
