"""Sizes, durations and moments in the words that docker uses."""

from __future__ import annotations

import time

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")

MINUTE = 60
HOUR = 3600


def human_bytes(size: float) -> str:
    """*size* in powers of 1000 with up to four digits: `1.23MB`, `890kB`, `12B`."""
    return _scale(size, 1000.0, _UNITS)


def human_bytes_binary(size: float) -> str:
    """*size* in powers of 1024 with up to four digits: `1.234MiB`."""
    return _scale(size, 1024.0, _BINARY)


def _scale(size: float, base: float, units: tuple[str, ...]) -> str:
    index = 0
    while size >= base and index < len(units) - 1:
        size /= base
        index += 1
    digits = 4 if base == 1024.0 else 3
    return f"{size:.{digits}g}{units[index]}"


def human_duration(seconds: float) -> str:
    """*seconds* in words: `3 seconds`, `About a minute`, `2 hours`, `5 days`."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < MINUTE:
        return f"{whole} seconds"
    minutes = whole // MINUTE
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / HOUR + 0.5)
    if hours == 1:
        return "About an hour"
    if hours < 48:
        return f"{hours} hours"
    days = hours // 24
    if hours < 24 * 7 * 2:
        return f"{days} days"
    if hours < 24 * 30 * 2:
        return f"{days // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{days // 30} months"
    return f"{days // 365} years"


def ago(moment: float, now: float) -> str:
    """How long before *now* the *moment* was, both seconds since the epoch."""
    return f"{human_duration(max(now - moment, 0))} ago"


def timestamp(moment: float) -> str:
    """*moment* as docker prints it: `2026-11-23 12:00:00 +0000 UTC`."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(moment))


def rfc3339(moment: float) -> str:
    """*moment* in UTC with nanosecond digits, such as `2026-11-23T12:00:00.123456000Z`."""
    whole = int(moment)
    fraction = int((moment - whole) * 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{fraction:06d}000Z"
