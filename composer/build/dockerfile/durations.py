"""Go durations, as HEALTHCHECK flags have them."""

from __future__ import annotations

import re
from decimal import Decimal

from composer.errors import BuildError

_UNITS = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_LIMIT = 2**63


def parse_duration(text: str) -> int:
    """Nanoseconds of a Go duration such as `1h2m3.5s`.

    Raises:
        BuildError: It is none; a unit is missing, or it is longer than 292 years.
    """
    negative = text.startswith("-")
    rest = text[1:] if text[:1] in ("-", "+") else text
    if rest == "0":
        return 0
    total = Decimal(0)
    position = 0
    while position < len(rest):
        match = _PART.match(rest, position)
        if match is None:
            break
        total += Decimal(match.group(1)) * _UNITS[match.group(2)]
        position = match.end()
    if position < len(rest) or not rest or total >= _LIMIT:
        raise BuildError(f"{text!r} is not a duration", hint="write it with units, such as 30s or 1m30s")
    return -int(total) if negative else int(total)
