"""A container's state as the shim keeps it: a dictionary in memory, a file that readers find whole.

The keys are the fields of `composer.engine.ContainerState` without `config`, and `shim`, which tells readers
whose word it is: pid and start time of the shim and of init, so that a dead writer is noticed; `asked` is
what made the container end: `stop`, `kill`, or nothing.
"""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

ACTIVE = ("running", "paused", "restarting", "stopping")
FIRST_DELAY = 0.1
"""Seconds before a restart by policy, doubled after each short run."""
LONGEST_DELAY = 60.0


class StateFile:
    """Holds the present state and writes it after each change.

    Args:
        run: The container's run directory, where readers look first.
        lasting: The container's lasting directory, where the end of a run is recorded for after a reboot.
        values: The first state.
    """

    def __init__(self, run: str, lasting: str, values: dict[str, Any]) -> None:
        self._run = run
        self._lasting = lasting
        self.values = values

    def __getitem__(self, key: str) -> Any:
        return self.values[key]

    def update(self, **changes: Any) -> None:
        """Change fields and write the file."""
        self.values.update(changes)
        self.write()

    def write(self) -> None:
        """Write the file; a run that is over is written to the lasting directory too."""
        data = json.dumps(self.values, separators=(",", ":")).encode()
        replace(f"{self._run}/state.json", data)
        if self.values["status"] not in ACTIVE:
            replace(f"{self._lasting}/state.json", data)


def replace(path: str, data: bytes) -> None:
    """Write aside and rename; a full disk keeps the old file, and the container."""
    temporary = f"{path}.tmp"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError:
        return


def start_time(pid: int) -> int:
    """Field 22 of proc_pid_stat(5): with the pid it names one process. 0 when it is gone, or ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return 0 if fields[0] in (b"Z", b"X") else int(fields[19])
    except (OSError, ValueError, IndexError):
        return 0
