"""`composer ps`: the containers of the project, read from state files."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from composer.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context
    from composer.cli.snapshot import Container

HELP = "List containers"
STATUSES = ("created", "running", "restarting", "removing", "paused", "exited", "dead")
COLUMNS = {
    "NAME": "Name",
    "IMAGE": "Image",
    "COMMAND": "Command",
    "SERVICE": "Service",
    "CREATED": "RunningFor",
    "STATUS": "Status",
    "PORTS": "Ports",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("services", nargs="*", metavar="SERVICE", help="only these services")
    parser.add_argument("-a", "--all", action="store_true", help="also stopped containers and one-off ones")
    parser.add_argument("-q", "--quiet", action="store_true", help="only ids")
    parser.add_argument("--services", dest="names", action="store_true", help="only service names")
    parser.add_argument(
        "--status",
        action="append",
        default=[],
        choices=STATUSES,
        metavar="STATUS",
        help="only these statuses",
    )
    parser.add_argument("--filter", default="", metavar="KEY=VALUE", help="status=STATUS")
    parser.add_argument("--format", default="table", help="table, json or a Go template")
    parser.add_argument("--no-trunc", action="store_true", help="do not cut anything")
    parser.add_argument("--orphans", action="store_true", default=True, help="include orphaned services")
    parser.add_argument("--no-orphans", dest="orphans", action="store_false", help="leave them out")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the list."""
    from composer.cli.project import select

    statuses = list(args.status)
    if args.filter:
        key, _, value = args.filter.partition("=")
        if key != "status" or value not in STATUSES:
            raise UsageError(
                f"--filter {args.filter!r} is not understood", hint="use status=running and the like"
            )
        statuses.append(value)
    found = select(context, args.services)
    if statuses:
        found = [container for container in found if state_word(container) in statuses]
    elif not args.all:
        found = [container for container in found if container.alive]
    if not args.all:
        found = [container for container in found if not container.oneoff]
    if not args.orphans:
        services = context.load().service_names
        found = [container for container in found if container.service in services]
    if args.quiet:
        for container in found:
            context.print(container.id)
        return 0
    if args.names:
        for name in sorted({container.service for container in found}):
            context.print(name)
        return 0
    from composer.cli.render.table import print_rows

    now = time.time()
    rows = [row(container, now, whole=args.no_trunc) for container in found]
    print_rows(context, rows, columns=COLUMNS, style=args.format)
    return 0


def state_word(container: Container) -> str:
    """The status in docker's words, which has no `stopping`."""
    return "running" if container.status == "stopping" else container.status


def row(container: Container, now: float, *, whole: bool) -> dict[str, Any]:
    """What `ps --format json` prints about one container."""
    from composer.cli.render.units import ago, timestamp

    config, state = container.config, container.state
    created = config.get("created", 0.0)
    mounts = config.get("mounts", [])
    named = [mount for mount in mounts if mount.get("type") == "volume"]
    shown = [
        mount.get("source") or mount.get("target", "") for mount in mounts if mount.get("type") != "content"
    ]
    networks = [endpoint.get("network_name", "") for endpoint in state.get("endpoints", [])]
    if not networks and config.get("network_mode", "bridge") != "bridge":
        networks = [config["network_mode"]]
    return {
        "Command": command(config, whole=whole),
        "CreatedAt": timestamp(created),
        "ExitCode": container.exit_code,
        "Health": container.health,
        "ID": container.id if whole else container.id[:12],
        "Image": config.get("image", ""),
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(container.labels.items())),
        "LocalVolumes": str(len(named)),
        "Mounts": ",".join(shown if whole else [_cut(name, 15) for name in shown]),
        "Name": container.name,
        "Names": container.name,
        "Networks": ",".join(networks),
        "Ports": ports(container),
        "Project": container.project,
        "Publishers": publishers(container),
        "RunningFor": ago(created, now),
        "Service": container.service,
        "Size": "0B",
        "State": state_word(container),
        "Status": status(container, now),
    }


def command(config: dict[str, Any], *, whole: bool = False) -> str:
    """The command line in docker's quotes, cut to 20 characters unless *whole*."""
    name, *arguments = config.get("process", {}).get("args") or [""]
    text = " ".join([name, *(f"'{word}'" if " " in word else word for word in arguments)])
    return json.dumps(text if whole else _cut(text, 20), ensure_ascii=False)


def status(container: Container, now: float) -> str:
    """`Up 5 minutes (healthy)`, `Exited (0) 2 seconds ago`, `Created`."""
    from composer.cli.render.units import ago, human_duration

    state = container.state
    kind = container.status
    if kind in ("running", "paused", "stopping"):
        text = f"Up {human_duration(now - state.get('started_at', now))}"
        if kind == "paused":
            return f"{text} (Paused)"
        if health := container.health:
            text += f" (health: {health})" if health == "starting" else f" ({health})"
        return text
    if kind == "created":
        return f"Created ({state['error']})" if state.get("error") else "Created"
    if kind == "dead":
        return "Dead"
    finished = state.get("finished_at", 0.0)
    when = f" {ago(finished, now)}" if finished else ""
    memory = " (out of memory)" if state.get("oom_killed") else ""
    word = "Restarting" if kind == "restarting" else "Exited"
    return f"{word} ({container.exit_code}){when}{memory}"


def publishers(container: Container) -> list[dict[str, Any]]:
    """The published ports as `ps --format json` and `port` give them."""
    bound = container.state.get("ports", []) if container.alive else []
    return [
        {
            "URL": address,
            "TargetPort": port["container_port"],
            "PublishedPort": port["host_port"],
            "Protocol": port.get("protocol", "tcp"),
        }
        for port in bound
        for address in ([port["host_ip"]] if port.get("host_ip") else ["0.0.0.0", "::"])  # noqa: S104
    ]


def ports(container: Container) -> str:
    """`0.0.0.0:8080->80/tcp, [::]:8080->80/tcp`."""
    return ", ".join(
        f"{address(port['URL'])}:{port['PublishedPort']}->{port['TargetPort']}/{port['Protocol']}"
        for port in publishers(container)
    )


def address(text: str) -> str:
    """An address as it stands before a port."""
    return f"[{text}]" if ":" in text else text


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
