"""The patterns of `${v#p}`, `${v%p}` and `${v/p/r}`: `*`, `?`, and everything else literal.

Matching is a simulation over the set of reachable positions, so no pattern can make it slow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Sequence

_ANY = None
_RUN = ""


def trim_prefix(pattern: str, value: str, *, longest: bool) -> str:
    """*value* without the shortest or longest match of *pattern* at its start."""
    end = _match(_tokens(pattern), value, 0, longest=longest)
    return value if end is None else value[end:]


def trim_suffix(pattern: str, value: str, *, longest: bool) -> str:
    """*value* without the shortest or longest match of *pattern* at its end."""
    mirrored = value[::-1]
    end = _match(_tokens(pattern)[::-1], mirrored, 0, longest=longest)
    return value if end is None else mirrored[end:][::-1]


def replace(pattern: str, replacement: str, value: str, *, every: bool) -> str:
    """*value* with the first or every longest match of *pattern* replaced.

    An empty match next to the match before it does not count, as in Go.
    """
    tokens = _tokens(pattern)
    result: list[str] = []
    position = copied = 0
    previous_end = -1
    while position <= len(value):
        end = _match(tokens, value, position, longest=True)
        if end is None or (end == position and position == previous_end):
            position += 1
            continue
        result += [value[copied:position], replacement]
        copied = previous_end = end
        if not every:
            break
        position = end if end > position else position + 1
    return "".join(result) + value[copied:]


def _tokens(pattern: str) -> list[str | None]:
    """A character each; `_ANY` for `?`, `_RUN` for `*`.

    Raises:
        BuildError: A backslash stands before something that needs none.
    """
    tokens: list[str | None] = []
    characters = iter(pattern)
    for character in characters:
        if character == "*":
            tokens.append(_RUN)
        elif character == "?":
            tokens.append(_ANY)
        elif character == "\\":
            following = next(characters, "")
            if not following or following not in "*?\\}/":
                raise BuildError(f"invalid escape '\\{following}' in the pattern {pattern!r}")
            tokens.append(following)
        else:
            tokens.append(character)
    return tokens


def _match(tokens: Sequence[str | None], value: str, start: int, *, longest: bool) -> int | None:
    """Where a match that begins at *start* ends, or None."""
    last = len(tokens)
    states = _past_runs(tokens, {0})
    best = start if last in states else None
    if best is not None and not longest:
        return best
    for position in range(start, len(value)):
        following = set()
        for state in states:
            if state == last:
                continue
            token = tokens[state]
            if token == _RUN:
                following.add(state)
            elif token is _ANY or token == value[position]:
                following.add(state + 1)
        states = _past_runs(tokens, following)
        if not states:
            break
        if last in states:
            best = position + 1
            if not longest:
                return best
    return best


def _past_runs(tokens: Sequence[str | None], states: set[int]) -> set[int]:
    result = set(states)
    for state in states:
        current = state
        while current < len(tokens) and tokens[current] == _RUN:
            current += 1
            result.add(current)
    return result
