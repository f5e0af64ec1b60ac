"""`composer images`: the images that the project's containers were made from."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context
    from composer.cli.snapshot import Container
    from composer.images.store import Image

HELP = "List the images that the project's containers use"
COLUMNS = {
    "CONTAINER": "ContainerName",
    "REPOSITORY": "Repository",
    "TAG": "Tag",
    "PLATFORM": "Platform",
    "IMAGE ID": "ShortID",
    "SIZE": "HumanSize",
    "CREATED": "CreatedSince",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="only these services")
    parser.add_argument("-q", "--quiet", action="store_true", help="only ids")
    parser.add_argument("--format", default="table", help="table, json or a Go template")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the list."""
    from composer.cli.project import select
    from composer.images.store import Store

    store = Store(context.paths)
    rows = []
    for container in select(context, args.services):
        image = store.resolve(container.config.get("image_id") or container.config.get("image", ""))
        rows.append(_row(container, image))
    if args.quiet:
        for image_id in dict.fromkeys(row["ID"].removeprefix("sha256:") for row in rows):
            context.print(image_id)
        return 0
    from composer.cli.render.table import print_rows

    if args.format == "json":
        extra = ("ShortID", "HumanSize", "CreatedSince")
        rows = [{key: value for key, value in row.items() if key not in extra} for row in rows]
    print_rows(context, rows, columns=COLUMNS, style=args.format, lines=False)
    return 0


def _row(container: Container, image: Image | None) -> dict[str, Any]:
    """What `--format json` prints, and three words for the table."""
    from composer.cli.render.units import ago, human_bytes, rfc3339

    name = container.config.get("image", "")
    repository, tag = _split(name)
    image_id = image.id if image else container.config.get("image_id", "")
    platform = ""
    created: float = 0
    if image:
        config = image.config
        platform = "/".join(part for part in (config.os, config.architecture, config.variant) if part)
        created = _moment(image.created) or image.added
    return {
        "ID": image_id,
        "ContainerName": container.name,
        "Repository": repository,
        "Tag": tag,
        "Platform": platform,
        "Size": image.size if image else 0,
        "Created": rfc3339(created),
        "LastTagTime": rfc3339(max(map(float, image.updated.values()), default=0) if image else 0),
        "ShortID": image_id.removeprefix("sha256:")[:12],
        "HumanSize": human_bytes(image.size) if image else "N/A",
        "CreatedSince": ago(created, time.time()) if created else "N/A",
    }


def _split(name: str) -> tuple[str, str]:
    """Repository and tag of a familiar name; a digest counts as no tag."""
    name = name.partition("@")[0]
    head, colon, tail = name.rpartition(":")
    if colon and "/" not in tail:
        return head, tail
    return name, "latest" if name else "<none>"


def _moment(text: str) -> float:
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0
