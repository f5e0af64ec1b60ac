"""What every command is given: global options, environment, streams, paths, and the project on demand."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, TextIO

from composer.cli.options import GlobalOptions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from composer.cli.render.base import Renderer
    from composer.errors import ComposerError
    from composer.spec import LoadedProject
    from composer.state.paths import Paths


class Context:
    """One run of the program.

    Args:
        options: The options before the command.
        environ: The environment; tests hand in their own.
        stdout: Where data goes.
        stderr: Where everything else goes.
        cwd: The directory the command was given in.
        alone: This process is the program `composer`, and runs nothing else.
    """

    def __init__(
        self,
        options: GlobalOptions | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        stdout: TextIO | None = None,
        stderr: TextIO | None = None,
        cwd: str = "",
        alone: bool = False,
    ) -> None:
        self.alone = alone
        self.options = options or GlobalOptions()
        self.environ: Mapping[str, str] = os.environ if environ is None else environ
        self.stdout = stdout or sys.stdout
        self.stderr = stderr or sys.stderr
        self.cwd = cwd or os.getcwd()
        self._paths: Paths | None = None
        self._project_name = ""
        self._loaded: LoadedProject | None = None

    @property
    def paths(self) -> Paths:
        """Where state lives (`COMPOSER_HOME`)."""
        if self._paths is None:
            from composer.state.paths import Paths

            self._paths = Paths.from_environment(self.environ)
        return self._paths

    @property
    def project_name(self) -> str:
        """The project's name, found without reading whole Compose files where that is possible.

        Raises:
            SpecError: There is no Compose file, or no valid name.
        """
        if not self._project_name:
            from composer.cli.project import find_name

            self._project_name = find_name(self)
        return self._project_name

    def load(self, services: Sequence[str] = (), **more: Any) -> LoadedProject:
        """Read the Compose files: document, locations, warnings; warnings are printed once.

        Args:
            services: Named services; their profiles are activated.
            more: Handed on to `composer.spec.load`.

        Raises:
            SpecError: A file is wrong.
        """
        from composer.cli.project import load

        loaded = load(self, services, **more)
        self._project_name = loaded.name
        self._loaded = loaded
        return loaded

    def locate(self, error: ComposerError) -> None:
        """Give an error that names an element of the file its place there."""
        if error.path and error.where is None and self._loaded is not None:
            error.where = self._loaded.locate(error.path)

    def renderer(self, title: str = "", *, quiet: bool = False) -> Renderer:
        """What shows progress on standard error, by `--progress`, `--ansi` and the terminal.

        Args:
            title: What is being done, for the head of the live table.
            quiet: Show nothing (`--quiet`).
        """
        from composer.cli.render import make_renderer

        return make_renderer(self, title, quiet=quiet)

    @property
    def colours(self) -> bool:
        """Whether standard output may be coloured: `--ansi`, `COMPOSE_ANSI`, `NO_COLOR`, a terminal."""
        return self.may_use_ansi(self.stdout)

    def may_use_ansi(self, stream: TextIO) -> bool:
        """Whether escape sequences may be written to *stream*."""
        ansi = self.options.ansi
        if ansi == "auto":
            ansi = self.environ.get("COMPOSE_ANSI", "auto")
        if ansi in ("never", "always"):
            return ansi == "always"
        if self.environ.get("NO_COLOR") or self.environ.get("TERM") == "dumb":
            return False
        return stream.isatty()

    def print(self, text: str = "", *, end: str = "\n") -> None:
        """Write *text* to standard output."""
        self.stdout.write(text + end)

    def warn(self, text: str) -> None:
        """Write a warning to standard error."""
        mark = "\x1b[33mwarning:\x1b[0m" if self.may_use_ansi(self.stderr) else "warning:"
        self.stderr.write(f"{mark} {text}\n")
