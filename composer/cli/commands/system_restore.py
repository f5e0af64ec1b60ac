"""`composer system restore`: after a reboot, start again what restart policies promise.

A unit of systemd runs it at boot, see `composer generate systemd`. The rules are those of a Docker daemon
that starts: `always` comes back in any case, `unless-stopped` unless somebody stopped it, others stay down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context
    from composer.cli.snapshot import Container

HELP = "After a reboot, start what restart policies promise"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("projects", nargs="*", metavar="PROJECT", help="only these; all by default")


def run(args: argparse.Namespace, context: Context) -> int:
    """Start them, project by project; 1 when one could not be started."""
    from composer.cli.snapshot import containers
    from composer.errors import NotFoundError

    found: dict[str, list[Container]] = {}
    for container in containers(context.paths):
        if container.project:
            found.setdefault(container.project, []).append(container)
    if unknown := [name for name in args.projects if name not in found]:
        raise NotFoundError(
            f"no project {', '.join(unknown)} on this machine", hint="composer ls -a lists them"
        )
    failed = False
    for name in args.projects or sorted(found):
        failed |= not _restore(context, name, [item for item in found[name] if promised(item)])
    return int(failed)


def promised(container: Container) -> bool:
    """Whether the container's restart policy brings it back after a reboot."""
    policy = container.config.get("restart", {}).get("name", "no")
    if container.alive or container.oneoff or container.status == "created":
        return False
    return policy == "always" or (
        policy == "unless-stopped" and not container.state.get("stopped_by_user", False)
    )


def _restore(context: Context, project: str, waiting: list[Container]) -> bool:
    """Start *waiting*; says what happened to each. Whether all of them run."""
    if not waiting:
        return True
    from composer.agent.client import connect_or_start
    from composer.errors import ComposerError

    good = True
    client = connect_or_start(context.paths, project)
    try:
        for container in sorted(waiting, key=lambda item: float(item.config.get("created_at", 0) or 0)):
            try:
                for _event in client.request("start_container", options={"id": container.id}):
                    pass
            except ComposerError as error:
                good = False
                context.warn(f"{container.name} was not started: {error}")
            else:
                context.print(f"{container.name} started")
    finally:
        client.close()
    return good
