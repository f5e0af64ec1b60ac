"""Durations, sizes and file modes as Compose files write them.

Durations are Go's (`1m30s`, plus `d` and `w`), sizes are binary multiples whatever the spelling of the
unit (`1g`, `1GB`, `1GiB` are all 1073741824 bytes).
"""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "w": 604_800_000_000_000,
}
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h|d|w)")
_LONGEST: Final = 2**63 - 1
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+) ?([kmgtpe]?)(?:i?b)?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5, "e": 6}


def parse_duration(text: str) -> int:
    """Nanoseconds of a duration such as `1m30s`, `1.5h`, `2d` or `0`.

    Raises:
        ValueError: With a sentence that says what is wrong (a missing or unknown unit, an empty text).
    """
    rest = text
    sign = 1
    if rest[:1] in ("-", "+"):
        sign = -1 if rest[0] == "-" else 1
        rest = rest[1:]
    if rest == "0":
        return 0
    total = position = 0
    while position < len(rest):
        match = _DURATION_PART.match(rest, position)
        if match is None:
            if re.fullmatch(r"[0-9.]+", rest[position:]):
                raise ValueError(f"missing unit in duration {text!r}")
            raise ValueError(f"{text!r} is not a duration")
        number, unit = match.groups()
        whole, _, fraction = number.partition(".")
        total += int(whole or "0") * _UNITS[unit]
        if fraction:
            total += int(fraction) * _UNITS[unit] // 10 ** len(fraction)
        position = match.end()
        if total > _LONGEST:
            raise ValueError(f"duration {text!r} is too long")
    if position == 0:
        raise ValueError(f"{text!r} is not a duration")
    return sign * total


def format_duration(nanoseconds: int) -> str:
    """Go's spelling: `1m30s`, `168h0m0s`, `500µs`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    sign = "-" if nanoseconds < 0 else ""
    value = abs(nanoseconds)
    if value < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if value >= size:
                return sign + _decimal(value, size) + unit
    hours, value = divmod(value, _UNITS["h"])
    minutes, value = divmod(value, _UNITS["m"])
    seconds = _decimal(value, _UNITS["s"]) + "s"
    if hours:
        return f"{sign}{hours}h{minutes}m{seconds}"
    return f"{sign}{minutes}m{seconds}" if minutes else sign + seconds


def _decimal(value: int, size: int) -> str:
    whole, rest = divmod(value, size)
    if not rest:
        return str(whole)
    return f"{whole}.{str(rest).rjust(len(str(size)) - 1, '0').rstrip('0')}"


def parse_size(text: str) -> int:
    """Bytes of a size such as `64m`, `1.5G`, `10 MB`, `1024` or `-1`.

    Raises:
        ValueError: *text* is not a size.
    """
    if re.fullmatch(r"-?[0-9]+", text):
        return int(text)
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a size")
    number, unit = match.groups()
    power = int(1024 ** _POWERS[unit.lower()])
    whole, _, fraction = number.partition(".")
    size = int(whole or "0") * power
    if fraction:
        size += int(fraction) * power // int(10 ** len(fraction))
    return size
