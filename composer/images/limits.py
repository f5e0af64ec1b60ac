"""How much a layer may hold: bounds against archives that were made to fill the disk or to exhaust a walk."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from composer.errors import ImageError
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping

_GIB = 1 << 30
PATH_LIMIT = 4096 - 256
"""Bytes of a path in a layer; PATH_MAX less what stands in front of it in a container."""
DEPTH_LIMIT = 300
"""Directories in one another."""


@frozen
class Limits:
    """Bounds against archives made to fill the disk.

    Attributes:
        size: Bytes of file content in one layer.
        entries: Entries in one layer.
        ratio: Uncompressed to compressed size, looked at from the first GiB on.
    """

    size: int = 64 * _GIB
    entries: int = 4_000_000
    ratio: int = 200

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Limits:
        """COMPOSER_LAYER_LIMIT (bytes), COMPOSER_LAYER_ENTRIES and COMPOSER_LAYER_RATIO over the defaults.

        Raises:
            ImageError: One of them is no positive number.
        """
        env = os.environ if environ is None else environ
        values = []
        for name, default in (
            ("COMPOSER_LAYER_LIMIT", cls().size),
            ("COMPOSER_LAYER_ENTRIES", cls().entries),
            ("COMPOSER_LAYER_RATIO", cls().ratio),
        ):
            text = env.get(name, "")
            if text and not (text.isdigit() and int(text)):
                raise ImageError(f"{name}={text!r} is not a positive number")
            values.append(int(text) if text else default)
        return cls(*values)
