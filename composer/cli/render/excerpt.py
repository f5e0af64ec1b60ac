"""The line of a Compose file that an error is about, with a caret below what is meant."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from composer.errors import Location

_WORD = re.compile(r"""\"(?:[^\"\\]|\\.)*\"|'[^']*'|[^\s:,\[\]{}]*""")
_WIDEST: Final = 160
"""Columns; what is longer is no line that a person wrote, and would fill the screen."""


def excerpt(where: Location) -> str:
    """Two lines for a terminal, or nothing when the line cannot be shown.

    Only YAML is shown: an env file may hold passwords, and a build shows its Dockerfile itself.
    """
    if not where.file.endswith((".yaml", ".yml")):
        return ""
    try:
        with open(where.file, encoding="utf-8", errors="replace") as file:
            line = next(islice(file, where.line - 1, None), "").rstrip()
    except OSError:
        return ""
    start = where.column - 1
    if start >= len(line) or len(line) > _WIDEST or not line.isprintable():
        return ""
    word = _WORD.match(line, start)
    carets = "^" * max(1, len(word[0]) if word else 1)
    number = str(where.line)
    return f"  {number} | {line}\n  {' ' * len(number)} | {' ' * start}{carets}\n"
