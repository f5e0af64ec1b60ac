"""`composer volumes`: the project's volumes."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "List the project's volumes"
COLUMNS = {"DRIVER": "Driver", "VOLUME NAME": "Name"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="only volumes that these services use")
    parser.add_argument("-q", "--quiet", action="store_true", help="only names")
    parser.add_argument("--format", default="table", help="table, json or a Go template")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the list."""
    from composer.cli.project import select
    from composer.cli.snapshot import PREFIX

    project = context.project_name
    found = select(context, args.services)
    used = {
        mount.get("source", "")
        for container in found
        for mount in container.config.get("mounts", [])
        if mount.get("type") == "volume"
    }
    rows = []
    for name, config in sorted(_volumes(str(context.paths.volumes)).items()):
        labels = config.get("labels", {})
        if name in used or (not args.services and labels.get(PREFIX + "project") == project):
            rows.append(_row(context, name, config))
    if args.quiet:
        for row in rows:
            context.print(row["Name"])
        return 0
    from composer.cli.render.table import print_rows

    print_rows(context, rows, columns=COLUMNS, style=args.format)
    return 0


def _row(context: Context, name: str, config: dict[str, Any]) -> dict[str, Any]:
    labels = config.get("labels", {})
    return {
        "Availability": "N/A",
        "Driver": config.get("driver", "local"),
        "Group": "N/A",
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        "Links": "N/A",
        "Mountpoint": str(context.paths.volumes / name / "_data"),
        "Name": name,
        "Scope": "local",
        "Size": "N/A",
        "Status": "N/A",
    }


def _volumes(root: str) -> dict[str, dict[str, Any]]:
    """Name -> `VolumeConfig` as JSON, of every volume on this machine."""
    result = {}
    try:
        names = os.listdir(root)
    except FileNotFoundError:
        return {}
    for name in names:
        try:
            with open(f"{root}/{name}/config.json", "rb") as file:
                result[name] = json.loads(file.read())
        except (OSError, ValueError):
            continue
    return result
