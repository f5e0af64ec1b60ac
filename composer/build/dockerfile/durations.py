"""Go durations, as HEALTHCHECK flags have them."""

from __future__ import annotations

from composer.errors import BuildError
from composer.spec import units


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration such as `1h2m3.5s`; days and weeks are Compose's own.

    Raises:
        BuildError: It is none; a unit is missing, or it is longer than 292 years.
    """
    try:
        nanoseconds = None if {"d", "w"} & set(text) else units.parse_duration(text)
    except ValueError:
        nanoseconds = None
    if nanoseconds is None:
        raise BuildError(f"{text!r} is not a duration", hint="write it with units, such as 30s or 1m30s")
    return nanoseconds
