"""Renderers: the same events as a live table, plain lines, JSON or nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import UsageError

if TYPE_CHECKING:
    from composer.cli.context import Context
    from composer.cli.render.base import Renderer

KINDS = ("auto", "tty", "plain", "json", "quiet")


def make_renderer(context: Context, title: str = "", *, quiet: bool = False, live: bool = True) -> Renderer:
    """The renderer that `--progress`, `COMPOSE_PROGRESS` and the terminal ask for.

    Args:
        context: Options, environment, streams.
        title: What is being done, for the head of the live table.
        quiet: Show nothing whatever the options say (`--quiet`).
        live: False where other lines come between: plain lines instead of the live table.

    Raises:
        UsageError: `COMPOSE_PROGRESS` names no renderer.
    """
    kind = context.options.progress
    if kind == "auto":
        kind = context.environ.get("COMPOSE_PROGRESS") or "auto"
        if kind not in KINDS:
            raise UsageError(f"COMPOSE_PROGRESS is {kind!r}", hint=f"use one of {', '.join(KINDS)}")
    stream = context.stdout if context.environ.get("COMPOSE_STATUS_STDOUT") == "1" else context.stderr
    if kind == "auto":
        usable = stream.isatty() and context.environ.get("TERM") != "dumb" and context.options.ansi != "never"
        kind = "tty" if usable else "plain"
    if context.options.debug:
        from composer.cli.render.debug import DebugRenderer

        return DebugRenderer(context.stderr, colour=context.may_use_ansi(context.stderr))
    if quiet or kind == "quiet":
        from composer.cli.render.quiet import QuietRenderer

        return QuietRenderer()
    if kind == "json":
        from composer.cli.render.json_lines import JsonRenderer

        return JsonRenderer(stream)
    if kind == "tty" and live:
        from composer.cli.render.tty import TtyRenderer

        return TtyRenderer(stream, title=title, colour=not context.environ.get("NO_COLOR"))
    from composer.cli.render.plain import PlainRenderer

    return PlainRenderer(stream, verbose=context.options.verbose)
