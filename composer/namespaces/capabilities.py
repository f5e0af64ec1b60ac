"""Capabilities by name; see capabilities(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.engine import CAPABILITIES
from composer.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable

_NUMBERS = {name: number for number, name in enumerate(CAPABILITIES)}


def last() -> int:
    """Highest capability of the running kernel."""
    try:
        with open("/proc/sys/kernel/cap_last_cap", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return len(CAPABILITIES) - 1


def mask(names: Iterable[str]) -> int:
    """Bit mask of *names*, with or without `CAP_`, in any case; `ALL` is every one.

    Raises:
        EngineError: There is no such capability.
    """
    result = 0
    for name in names:
        bare = name.upper().removeprefix("CAP_")
        if bare == "ALL":
            return (1 << (last() + 1)) - 1
        if bare not in _NUMBERS:
            raise EngineError(f"unknown capability {name}", hint="see capabilities(7) for the names")
        result |= 1 << _NUMBERS[bare]
    return result
