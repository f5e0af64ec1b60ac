"""`composer image history`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context
    from composer.images.store import Image

HELP = "Show the layers of an image"
_COLUMNS = {
    "IMAGE": "ID",
    "CREATED": "CreatedSince",
    "CREATED BY": "CreatedBy",
    "SIZE": "Size",
    "COMMENT": "Comment",
}
_WIDTH = 45


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", metavar="IMAGE", help="name or id")
    parser.add_argument("-q", "--quiet", action="store_true", help="only ids")
    parser.add_argument("--no-trunc", action="store_true", help="show whole commands and ids")
    parser.add_argument("-H", "--human", action="store_true", default=True, help="sizes and times in words")
    parser.add_argument("--format", default="table", help="table, json or a Go template")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the newest instruction first."""
    from composer.cli.render.table import print_rows
    from composer.images.store import Store

    image = Store(context.paths).get(args.name)
    rows = _rows(image, full=args.no_trunc, human=args.human)
    if args.quiet:
        for row in rows:
            context.print(row["ID"])
        return 0
    print_rows(context, rows, columns=_COLUMNS, style=args.format)
    return 0


def _rows(image: Image, *, full: bool, human: bool) -> list[dict[str, Any]]:
    from composer.cli.images import moment
    from composer.cli.render.units import ago, human_bytes

    layers = iter(image.layers)
    rows = []
    for entry in image.config.history:
        layer = None if entry.empty_layer else next(layers, None)
        size = layer.size if layer else 0
        when = moment(entry.created)
        text = entry.created_by
        if not full and len(text) > _WIDTH:
            text = text[: _WIDTH - 1] + "…"
        rows.append(
            {
                "Comment": entry.comment,
                "CreatedAt": entry.created,
                "CreatedBy": text,
                "CreatedSince": (ago(when, time.time()) if when else "N/A") if human else entry.created,
                "ID": "<missing>",
                "Size": human_bytes(size) if human else str(size),
            }
        )
    if rows:
        rows[-1]["ID"] = image.id if full else image.short_id
    return rows[::-1]
