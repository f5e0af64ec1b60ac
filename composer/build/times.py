"""Times as image configurations write them."""

from __future__ import annotations

from datetime import UTC, datetime


def stamp(seconds: float) -> str:
    """RFC 3339 in UTC; whole seconds are written without a fraction."""
    moment = datetime.fromtimestamp(seconds, UTC)
    text = moment.strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{moment.microsecond:06d}Z" if moment.microsecond else "Z")


def created_now() -> str:
    """The present moment."""
    return stamp(datetime.now(UTC).timestamp())
