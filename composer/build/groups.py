"""What stopped a group of tasks, as one exception."""

from __future__ import annotations

from composer.errors import ComposerError


def first_error(group: BaseExceptionGroup) -> BaseException:
    """The error that users should see: the first of our own, wherever it is nested, else the first."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            inner = first_error(error)
            if isinstance(inner, ComposerError):
                return inner
        elif isinstance(error, ComposerError):
            return error
    first = group.exceptions[0]
    return first_error(first) if isinstance(first, BaseExceptionGroup) else first
