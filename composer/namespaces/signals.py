"""Signals by name; see signal(7)."""

from __future__ import annotations

import signal

from composer.errors import EngineError


def signal_number(name: str) -> int:
    """Number of `SIGTERM`, `TERM`, `15`, `RTMIN+3`, `SIGRTMAX-1`.

    Raises:
        EngineError: There is no such signal.
    """
    text = name.strip().upper()
    if text.isascii() and text.isdigit():
        number = int(text)
        if 0 < number <= signal.SIGRTMAX:
            return number
        raise EngineError(f"invalid signal {name!r}")
    bare = text.removeprefix("SIG")
    for base, start in (("RTMIN", signal.SIGRTMIN), ("RTMAX", signal.SIGRTMAX)):
        if bare.startswith(base):
            rest = bare.removeprefix(base)
            try:
                number = int(start) + (int(rest) if rest else 0)
            except ValueError:
                break
            if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
                return number
    found = getattr(signal, f"SIG{bare}", None)
    if isinstance(found, signal.Signals):
        return int(found)
    raise EngineError(f"invalid signal {name!r}", hint="use a name such as SIGTERM, or a number")
