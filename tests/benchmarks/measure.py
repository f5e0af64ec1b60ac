"""Timing in turns, and the table."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the result.

    Attributes:
        what: What was measured.
        ours: Our samples, in `unit`.
        theirs: The other program's samples; empty when there is none.
        other: The other program's name.
        target: The ratio that design.md or an issue asks for; None where it asks for none.
        unit: `s` or `MiB`.
        note: Why there are no samples.
    """

    what: str
    ours: Sequence[float]
    theirs: Sequence[float] = ()
    other: str = "docker compose"
    target: float | None = None
    unit: str = "s"
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """Median by median; None when either side has no samples."""
        if not self.ours or not self.theirs:
            return None
        return statistics.median(self.ours) / statistics.median(self.theirs)


@dataclass(slots=True)
class Table:
    """All rows, printed as they come in and once more at the end as Markdown."""

    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Keep *row* and say it on standard error, since a whole run takes minutes."""
        self.rows.append(row)
        print(_line(row), file=sys.stderr, flush=True)

    def markdown(self) -> str:
        """The table."""
        head = "| what | ours | the other | ratio | at most | |\n| --- | ---: | ---: | ---: | ---: | --- |\n"
        return head + "\n".join(_line(row) for row in self.rows) + "\n"


def _line(row: Row) -> str:
    ratio = row.ratio
    verdict = row.note
    if ratio is not None and row.target is not None:
        verdict = "ok" if ratio <= row.target else "**missed**"
    cells = [
        row.what,
        _samples(row.ours, row.unit),
        f"{_samples(row.theirs, row.unit)} ({row.other})" if row.theirs else row.other,
        "" if ratio is None else f"{ratio:.2f}",
        "" if row.target is None else f"{row.target:g}",
        verdict,
    ]
    return "| " + " | ".join(cells) + " |"


def _samples(values: Sequence[float], unit: str) -> str:
    if not values:
        return "-"
    median = statistics.median(values)
    return f"{median * 1000:.0f} ms" if unit == "s" and median < 1 else f"{median:.1f} {unit}"


class CommandFailed(Exception):  # noqa: N818 - reads better where it is caught
    """A measured command did not end with 0; the text has the command and the end of its output."""


def run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 300,
) -> float:
    """Wall-clock seconds of one command that must succeed.

    Raises:
        CommandFailed: It did not.
    """
    started = time.perf_counter()
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        timeout=timeout, check=False,
    )  # fmt: skip
    elapsed = time.perf_counter() - started
    if done.returncode:
        tail = done.stdout[-1500:].decode(errors="replace")
        raise CommandFailed(f"{' '.join(map(str, command))} ended with {done.returncode}\n{tail}")
    return elapsed


def in_turns(rounds: int, *sides: Callable[[], float]) -> list[list[float]]:
    """Samples of each side, taken by turns so that what else the machine does hits all of them.

    One round more is taken and thrown away: caches are warm for everybody.
    """
    samples: list[list[float]] = [[] for _ in sides]
    for number in range(rounds + 1):
        for values, side in zip(samples, sides, strict=True):
            elapsed = side()
            if number:
                values.append(elapsed)
    return samples
