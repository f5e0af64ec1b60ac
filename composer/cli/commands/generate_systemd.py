"""`composer generate systemd`: a unit that brings projects back at boot."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from composer.cli.context import Context

HELP = "Print a systemd unit that brings the project back at boot"

_UNIT = """\
# Written by `composer generate systemd`. To use it:
#   composer generate systemd{option} > /etc/systemd/system/{unit}
#   systemctl daemon-reload && systemctl enable {unit}
[Unit]
Description={description}
After=network-online.target local-fs.target nftables.service firewalld.service ufw.service
Wants=network-online.target
RequiresMountsFor={mounts}

[Service]
Type=oneshot
RemainAfterExit=yes
{environment}ExecStart={program} system restore{project}
# The agent and the containers live in a scope of their own; this unit has started them and is done.
KillMode=process

[Install]
WantedBy=multi-user.target
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("-a", "--all", action="store_true", help="one unit for all projects of this machine")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print the unit."""
    project = "" if args.all else context.project_name
    home = context.environ.get("COMPOSER_HOME", "")
    context.print(
        _UNIT.format(
            option=" --all" if args.all else "",
            unit=f"composer-{project}.service" if project else "composer.service",
            description=f"Compose project {project}" if project else "Compose projects",
            mounts=_quoted(str(context.paths.root)),
            environment=f"Environment={_quoted(f'COMPOSER_HOME={os.path.abspath(home)}')}\n" if home else "",
            program=_program(),
            project=f" {project}" if project else "",
        ),
        end="",
    )
    return 0


def _program() -> str:
    """How this program is called: the console script, or the interpreter and the package."""
    script = os.path.abspath(sys.argv[0])
    if os.path.basename(script) == "composer" and os.access(script, os.X_OK):
        return _quoted(script)
    return f"{_quoted(sys.executable)} -m composer"


def _quoted(word: str) -> str:
    """A word of a unit file, see systemd.service(5) on quoting and on `%` and `$`."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(character in word for character in " \t\"'\\;") else escaped
