"""`composer __complete KIND`: names for completion scripts, one per line; silent when there are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import ComposerError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Print names for shell completion"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "kind", metavar="KIND", choices=["services", "images", "projects"], help="which names"
    )


def run(args: argparse.Namespace, context: Context) -> int:
    """Print them; a broken Compose file completes nothing and says nothing."""
    try:
        names = _names(args.kind, context)
    except ComposerError:
        return 0
    for name in sorted(names):
        context.print(name)
    return 0


def _names(kind: str, context: Context) -> set[str]:
    from composer.cli.snapshot import containers

    if kind == "projects":
        return {container.project for container in containers(context.paths) if container.project}
    if kind == "images":
        from composer.images.store import Store

        return {name for image in Store(context.paths).images() for name in image.repo_tags}
    from composer.spec import load

    options = context.options
    try:
        loaded = load(
            options.files,
            working_dir=context.cwd,
            environ=context.environ,
            project_name=options.project_name,
            project_directory=options.project_directory,
            profiles=("*",),
            env_files=options.env_files,
        )
    except ComposerError:
        return {container.service for container in containers(context.paths, context.project_name)}
    return set(loaded.service_names)
