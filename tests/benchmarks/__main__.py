"""`python -m tests.benchmarks [--rounds N] [--output FILE] [GROUP...]`; groups: compose, chain, config, images."""

from __future__ import annotations

import argparse
import compileall
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks import compose, images
from tests.benchmarks.docker import Docker, daemon, work_directory
from tests.benchmarks.measure import CommandFailed, Row, Table
from tests.benchmarks.sides import Ours, Theirs, versions
from tests.support.home import REPOSITORY, Home

GROUPS = ("config", "compose", "chain", "images")


def main() -> int:
    """Run the chosen groups and print the table; 1 when a group could not be measured."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("groups", nargs="*", default=[], metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--rounds", type=int, default=5, help="samples of each side (default 5)")
    parser.add_argument("--output", type=Path, help="write the Markdown there, too")
    arguments = parser.parse_args()
    groups = arguments.groups or list(GROUPS)
    if unknown := set(groups) - set(GROUPS):
        parser.error(f"unknown group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    if os.geteuid() != 0:
        parser.error("the comparison starts a Docker daemon: run it as root")

    # `timeout` and `kill` end this process by SIGTERM: what was started must be stopped then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    table = Table()
    with work_directory() as work, Home.temporary() as home:
        with daemon() as docker:
            status = _measure(table, groups, docker, home, work, arguments.rounds)
        if left := home.tear_down():
            print("left behind:", *left, sep="\n  ", file=sys.stderr)
            status = 1
    text = (
        f"Measured {datetime.now(UTC):%Y-%m-%d} on {os.cpu_count()} cores: {versions()}, docker compose 2.40.\n"
        f"Medians of {arguments.rounds} rounds, in turns.\n\n{table.markdown()}"
    )
    print(text)
    if arguments.output:
        arguments.output.write_text(text, encoding="utf-8")
    return status


def _measure(table: Table, groups: list[str], docker: Docker, home: Home, work: Path, rounds: int) -> int:
    # As pip does when it installs: what was edited since would be compiled anew by every single command.
    compileall.compile_dir(REPOSITORY / "composer", quiet=1)
    ours, theirs = Ours(home), Theirs(docker)
    busybox = REPOSITORY / ".cache/rootfs/busybox.tar"
    docker.load_rootfs(busybox, "busybox:latest")
    home.import_image(busybox, "busybox:latest")
    measurements = {
        "config": lambda: compose.configs(table, ours, theirs, work, rounds),
        "compose": lambda: compose.up_and_down(table, ours, theirs, work, rounds),
        "chain": lambda: compose.health_chain(table, ours, theirs, work, rounds),
        "images": lambda: images.measure(table, home, docker, work, rounds),
    }
    status = 0
    for group in groups:
        try:
            measurements[group]()
        except (CommandFailed, AssertionError) as error:
            # One broken command must not cost the other figures.
            print(error, file=sys.stderr)
            table.add(Row(f"group {group}", (), note="could not be measured"))
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
