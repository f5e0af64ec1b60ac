"""`composer events`: what happens to the project's containers, as it happens."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from composer.cli.context import Context
    from composer.cli.follow import Change, Follower
    from composer.cli.snapshot import Container

HELP = "Print what happens to the project's containers"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="only these services")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument("--since", default="", metavar="TIME", help="also since then: a moment, or 10m ago")
    parser.add_argument("--until", default="", metavar="TIME", help="up to then: a moment, or 10m ago")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print what was written down, then what happens, until interrupted."""
    from datetime import datetime

    from composer.cli.follow import Follower
    from composer.cli.logfile import parse_moment

    def moment(text: str) -> float:
        return datetime.fromisoformat(parse_moment(text)).timestamp()

    since = moment(args.since) if args.since else None
    until = moment(args.until) if args.until else None

    def wanted(container: Container) -> bool:
        return not args.services or container.service in args.services

    with Follower(context.paths, context.project_name, wanted) as follower:
        if since is not None:
            journal = context.paths.project(context.project_name) / "events.jsonl"
            for record in _recorded(str(journal), since, until):
                if not args.services or record["service"] in args.services:
                    _print(
                        context,
                        _known(follower, record),
                        _action(record),
                        _attributes(record),
                        record["time"],
                        as_json=args.json,
                    )
        while until is None or time.time() < until:
            for change in follower.changes(None if until is None else max(until - time.time(), 0)):
                for action, attributes in actions(change):
                    _print(context, change.container, action, attributes, time.time(), as_json=args.json)
    return 0


def _recorded(path: str, since: float, until: float | None) -> Iterator[dict[str, Any]]:
    """The agent's records of that time, oldest first; its journal is two files at most."""
    for name in (f"{path}.1", path):
        try:
            with open(name, encoding="utf-8") as file:
                for line in file:
                    record = json.loads(line)
                    if record["time"] >= since and (until is None or record["time"] <= until):
                        yield record
        except (FileNotFoundError, ValueError):
            continue


def _known(follower: Follower, record: dict[str, Any]) -> Container:
    """The container of a record, which may be gone."""
    from composer.cli.snapshot import Container

    for container in follower.containers:
        if container.id == record["id"]:
            return container
    config = {key: record[key] for key in ("name", "service", "image")}
    return Container(record["id"], config, {})


def _action(record: dict[str, Any]) -> str:
    action = str(record["action"])
    return f"{action}: {record['health']}" if action == "health_status" else action


def _attributes(record: dict[str, Any]) -> dict[str, str]:
    return {"exitCode": str(record["exit_code"])} if record["action"] == "die" else {}


def actions(change: Change) -> Iterator[tuple[str, dict[str, str]]]:
    """The words of docker's event log for a change of state, with their attributes."""
    now, before = change.container.state, change.before or {}
    if change.kind == "appeared":
        yield "create", {}
        if change.container.status == "running":
            yield "start", {}
    elif change.kind == "removed":
        yield "destroy", {}
    elif change.kind == "state":
        yield from _transition(before, now)


ENDED: Final = ("exited", "dead", "restarting")


def _transition(before: dict[str, Any], now: dict[str, Any]) -> Iterator[tuple[str, dict[str, str]]]:
    old, new = before.get("status", "created"), now.get("status", "exited")
    if now.get("name", "") != before.get("name", "") and before.get("name"):
        yield "rename", {"oldName": before["name"]}
    if now.get("oom_killed") and not before.get("oom_killed"):
        yield "oom", {}
    ran = old in ("running", "paused", "stopping")
    asked = now.get("shim", {}).get("asked", "")
    if new == "stopping" != old or (asked and ran and old != "stopping" and new in ENDED):
        yield "kill", {}  # the signal that a stop begins with, or the only one
    started = now.get("started_at", 0.0) not in (0.0, before.get("started_at", 0.0))
    if started and ran:  # an end and a start in one look
        yield "die", {"exitCode": str(now.get("exit_code", 0))}
    if started or (new in ("running", "paused") and not ran):
        yield "start", {}
    if (ran or started) and new in ENDED:
        yield "die", {"exitCode": str(now.get("exit_code", 0))}
        if asked == "stop":
            yield "stop", {}
    if new == "paused" and old != "paused":
        yield "pause", {}
    if old == "paused" and new == "running":
        yield "unpause", {}
    health = now.get("health", "none")
    if health != before.get("health", "none") and health in ("healthy", "unhealthy"):
        yield f"health_status: {health}", {}


def _print(
    context: Context,
    container: Container,
    action: str,
    attributes: dict[str, str],
    now: float,
    *,
    as_json: bool,
) -> None:
    from composer.cli.render.units import rfc3339
    from composer.cli.snapshot import PREFIX

    labels = {key: value for key, value in container.labels.items() if not key.startswith(PREFIX)}
    details = {"image": container.config.get("image", ""), "name": container.name, **labels, **attributes}
    if as_json:
        record = {
            "time": rfc3339(now),
            "type": "container",
            "service": container.service,
            "id": container.id,
            "action": action,
            "attributes": details,
        }
        context.print(json.dumps(record, ensure_ascii=False))
    else:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now)) + f".{int(now % 1 * 1e6):06d}"
        words = ", ".join(f"{key}={value}" for key, value in sorted(details.items()))
        context.print(f"{stamp} container {action} {container.id} ({words})")
    context.stdout.flush()
