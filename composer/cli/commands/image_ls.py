"""`composer image ls`."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from composer.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context
    from composer.images.store import Image, Store

HELP = "List the images of this machine"
_COLUMNS = {"REPOSITORY": "Repository", "TAG": "Tag", "IMAGE ID": "ID"}
_REST = {"CREATED": "CreatedSince", "SIZE": "Size"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", nargs="?", default="", help="only this repository, or repository:tag")
    parser.add_argument("-a", "--all", action="store_true", help="accepted; intermediate images have no id")
    parser.add_argument("-q", "--quiet", action="store_true", help="only ids")
    parser.add_argument("--digests", action="store_true", help="show digests")
    parser.add_argument("--no-trunc", action="store_true", help="show whole ids")
    parser.add_argument("--format", default="table", help="table, json or a Go template")
    parser.add_argument(
        "-f",
        "--filter",
        action="append",
        default=[],
        help="dangling=BOOL, label=K[=V], before=IMAGE, since=IMAGE, reference=PATTERN",
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the list."""
    from composer.cli.images import created_at, rows_of
    from composer.cli.render.table import print_rows
    from composer.images.store import Store

    store = Store(context.paths)
    images = [image for image in store.images() if _matches(store, image, args.filter)]
    images.sort(key=created_at, reverse=True)
    rows = [
        row
        for image in images
        for row in rows_of(image, digests=args.digests, full=args.no_trunc)
        if not args.name or _named(row["Repository"], row["Tag"], args.name)
    ]
    if args.quiet:
        for image_id in dict.fromkeys(row["ID"] for row in rows):
            context.print(image_id)
        return 0
    digest = {"DIGEST": "Digest"} if args.digests else {}
    columns = {**dict(list(_COLUMNS.items())[:2]), **digest, "IMAGE ID": "ID", **_REST}
    print_rows(context, rows, columns=columns, style=args.format)
    return 0


def _named(repository: str, tag: str, wanted: str) -> bool:
    from composer.images.reference import parse

    parsed = parse(wanted)
    return fnmatchcase(repository, parsed.familiar_repository) and parsed.tag in ("", tag)


def _matches(store: Store, image: Image, filters: list[str]) -> bool:
    return all(_match(store, image, text) for text in filters)


def _match(store: Store, image: Image, text: str) -> bool:
    key, equals, value = text.partition("=")
    if not equals:
        raise UsageError(f"filter {text!r} is not KEY=VALUE")
    if key == "dangling":
        return (not image.repo_tags) == (value.lower() in ("1", "true"))
    if key == "label":
        name, given, wanted = value.partition("=")
        return name in image.config.labels and (not given or image.config.labels[name] == wanted)
    if key in ("before", "since"):
        other = store.get(value)
        return image.added < other.added if key == "before" else image.added > other.added
    if key == "reference":
        return any(
            fnmatchcase(name, value) or fnmatchcase(name.rpartition(":")[0], value)
            for name in image.repo_tags
        )
    raise UsageError(f"unknown filter {key!r}", hint="use dangling, label, before, since or reference")
