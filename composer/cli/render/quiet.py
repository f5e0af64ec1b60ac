"""No progress at all; errors still arrive as exceptions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.cli.render.base import BaseRenderer

if TYPE_CHECKING:
    from composer.events import Event


class QuietRenderer(BaseRenderer):
    """Shows nothing."""

    def handle(self, event: Event) -> None:
        """Do nothing."""
