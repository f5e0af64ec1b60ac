"""Output of containers: prefixed, aligned and coloured as docker compose does."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable

PALETTE = ("36", "33", "32", "35", "34", "96", "93", "92", "95", "94")
"""SGR codes, one per container in turn."""


class LogPrinter:
    """Prints lines of several containers.

    Args:
        stdout: Where containers' standard output goes, and what happens to containers.
        stderr: Where containers' standard error goes.
        colour: Colour the prefixes.
        prefix: Write prefixes at all.
        timestamps: Write each line's time.
    """

    def __init__(
        self, stdout: TextIO, stderr: TextIO, *, colour: bool, prefix: bool = True, timestamps: bool = False
    ) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._colour = colour
        self._prefix = prefix
        self._timestamps = timestamps
        self._width = 0
        self._colours: dict[str, str] = {}

    def register(self, names: Iterable[str]) -> None:
        """Make *names* known: the prefix gets as wide as the longest, colours go by sorted order."""
        for name in sorted(names):
            self._width = max(self._width, len(name))
            if name not in self._colours:
                self._colours[name] = PALETTE[len(self._colours) % len(PALETTE)]

    def line(self, name: str, text: str, *, stream: str = "stdout", time: str = "") -> None:
        """Print one line of output of the container called *name*.

        Args:
            name: The short name, `web-1`.
            text: The line without its end.
            stream: `stdout` or `stderr`.
            time: When it was written, RFC 3339; printed when timestamps were asked for.
        """
        stamp = f"{time} " if self._timestamps and time else ""
        out = self._stderr if stream == "stderr" else self._stdout
        out.write(f"{self.prefix(name)}{stamp}{text}\n")
        out.flush()

    def status(self, name: str, text: str) -> None:
        """Print that something happened to a container: `web-1 exited with code 0`."""
        painted = self._paint(name, name) if self._prefix else name
        self._stdout.write(f"{painted} {text}\n")
        self._stdout.flush()

    def prefix(self, name: str) -> str:
        """`web-1  | `, or nothing when prefixes are off."""
        if not self._prefix:
            return ""
        if name not in self._colours:
            self.register([name])
        return self._paint(name, f"{name:<{self._width + 1}} | ")

    def _paint(self, name: str, text: str) -> str:
        if not self._colour:
            return text
        if name not in self._colours:
            self.register([name])
        return f"\x1b[{self._colours[name]}m{text}\x1b[0m"
