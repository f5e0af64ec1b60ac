"""Which capabilities a container gets for `cap_add`, `cap_drop` and `privileged`; see capabilities(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.engine import CAPABILITIES, DEFAULT_CAPABILITIES
from composer.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable


def effective(add: Iterable[str], drop: Iterable[str], *, privileged: bool = False) -> tuple[str, ...]:
    """The names, without `CAP_`, in the order of their numbers; `ALL` is understood in both lists.

    Raises:
        SpecError: There is no such capability; its path is that below the service.
    """
    added, dropped = _names(add, "cap_add"), _names(drop, "cap_drop")
    if privileged:
        kept = set(CAPABILITIES)
    elif "ALL" in added:
        kept = set(CAPABILITIES) - dropped
    elif "ALL" in dropped:
        kept = added
    else:
        kept = set(DEFAULT_CAPABILITIES) - dropped | added
    return tuple(name for name in CAPABILITIES if name in kept)


def _names(words: Iterable[str], attribute: str) -> set[str]:
    result = set()
    for position, word in enumerate(words):
        name = word.upper().removeprefix("CAP_")
        if name != "ALL" and name not in CAPABILITIES:
            from difflib import get_close_matches

            close = get_close_matches(name, CAPABILITIES, 1)
            raise SpecError(
                f"unknown capability {word!r} in {attribute}",
                hint=f"did you mean {close[0]}?" if close else "see capabilities(7) for the names",
                path=f"{attribute}[{position}]",
            )
        result.add(name)
    return result
