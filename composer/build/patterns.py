r"""Path patterns: Go's `filepath.Match`, and the ignore rules of `.dockerignore` and `--exclude`.

Both share one syntax of `*`, `?`, `[...]` and `\`; ignore rules add `**` and negation. Matching takes time
proportional to the path whatever the pattern says: what could backtrack is simulated instead.
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias

from composer.errors import BuildError
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

CharacterClass: TypeAlias = tuple[bool, tuple[tuple[str, str], ...]]
"""Negated, and inclusive ranges."""

Token: TypeAlias = tuple[Literal["char"], str] | tuple[Literal["class"], CharacterClass] | tuple[str, None]
"""`char c`, `class`, or without a value: `any` (a non-slash), `run`, `dirs` (components), `all`."""

_BACKTRACKING_LIMIT = 3
"""Patterns with more runs than this are simulated: n runs cost a backtracking matcher up to length ** n."""


class BadPatternError(BuildError):
    """A pattern has an unfinished class, an empty class, or a backslash at its end."""


def clean(path: str) -> str:
    """The shortest equal path, lexically, as Go's `path.Clean`: no `.`, no inner `..`, no double slash."""
    result = posixpath.normpath(path) if path else "."
    return result[1:] if result.startswith("//") else result


def glob_match(pattern: str, name: str) -> bool:
    """Whether *name* matches *pattern* as Go's `filepath.Match` has it; a malformed one matches nothing."""
    try:
        return _compile_glob(pattern).matches(name)
    except BadPatternError:
        return False


def has_wildcard(pattern: str) -> bool:
    """Whether *pattern* has anything that `glob_match` would not take literally."""
    return any(character in pattern for character in "*?[\\")


@lru_cache(maxsize=1024)
def _compile_glob(pattern: str) -> Matcher:
    tokens: list[Token] = []
    position = 0
    while position < len(pattern):
        token, position = _next_token(pattern, position)
        tokens.append(token)
    return Matcher(tokens)


def _next_token(pattern: str, position: int) -> tuple[Token, int]:
    character = pattern[position]
    if character == "*":
        return ("run", None), position + 1
    if character == "?":
        return ("any", None), position + 1
    if character == "[":
        return _character_class(pattern, position + 1)
    if character == "\\":
        position += 1
        if position == len(pattern):
            raise BadPatternError(f"pattern {pattern!r} ends with a backslash")
        return ("char", pattern[position]), position + 1
    return ("char", character), position + 1


def _character_class(pattern: str, position: int) -> tuple[Token, int]:
    negated = pattern[position : position + 1] == "^"
    position += negated
    ranges: list[tuple[str, str]] = []
    while True:
        if pattern[position : position + 1] == "]" and ranges:
            return ("class", (negated, tuple(ranges))), position + 1
        low, position = _class_member(pattern, position)
        high = low
        if pattern[position : position + 1] == "-":
            high, position = _class_member(pattern, position + 1)
        ranges.append((low, high))


def _class_member(pattern: str, position: int) -> tuple[str, int]:
    character = pattern[position : position + 1]
    if character in ("", "-", "]"):
        raise BadPatternError(f"pattern {pattern!r} has an unfinished character class")
    if character == "\\":
        position += 1
        character = pattern[position : position + 1]
        if not character:
            raise BadPatternError(f"pattern {pattern!r} ends with a backslash")
    if position + 1 >= len(pattern):
        raise BadPatternError(f"pattern {pattern!r} has an unfinished character class")
    return character, position + 1


class Matcher:
    """A compiled pattern, anchored at both ends."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = tuple(_without_repeats(tokens))
        runs = sum(kind in ("run", "dirs", "all") for kind, _ in self._tokens)
        self._regex = re.compile(_to_regex(self._tokens), re.DOTALL) if runs <= _BACKTRACKING_LIMIT else None

    @property
    def has_empty_range(self) -> bool:
        """Whether a class has a range that is upside down, such as `z-a`."""
        return any(
            isinstance(value, tuple) and any(low > high for low, high in value[1])
            for _, value in self._tokens
        )

    def matches(self, text: str) -> bool:
        """Whether the whole of *text* matches."""
        if self._regex is not None:
            return self._regex.fullmatch(text) is not None
        return self._simulate(text)

    def _simulate(self, text: str) -> bool:
        states = self._closure({0}, set())
        for character in text:
            arrived: set[int] = set()
            stayed: set[int] = set()
            for state in states:
                if state == len(self._tokens):
                    continue
                kind, value = self._tokens[state]
                if kind == "all" or (kind == "run" and character != "/"):
                    stayed.add(state)
                elif kind == "dirs":
                    stayed.add(state)
                    if character == "/":
                        arrived.add(state + 1)
                elif kind != "run" and _matches_one(kind, value, character):
                    arrived.add(state + 1)
            states = self._closure(arrived, stayed)
            if not states:
                return False
        return len(self._tokens) in states

    def _closure(self, arrived: set[int], stayed: set[int]) -> set[int]:
        """All states that cost no character; a `dirs` that has eaten something is left at a slash only."""
        result = set(stayed)
        pending = list(arrived) + [state + 1 for state in stayed if self._tokens[state][0] != "dirs"]
        while pending:
            state = pending.pop()
            result.add(state)
            if state < len(self._tokens) and self._tokens[state][0] in ("run", "all", "dirs"):
                pending.append(state + 1)
        return result


def _without_repeats(tokens: Sequence[Token]) -> Iterable[Token]:
    """Runs that follow an equal run say nothing new, and would cost time."""
    previous = ""
    for token in tokens:
        if token[0] in ("run", "dirs", "all") and token[0] == previous:
            continue
        previous = token[0]
        yield token


def _matches_one(kind: str, value: str | CharacterClass | None, character: str) -> bool:
    if kind == "any":
        return character != "/"
    if isinstance(value, str):
        return character == value
    if value is None:
        return False
    negated, ranges = value
    return any(low <= character <= high for low, high in ranges) != negated


def _to_regex(tokens: Sequence[Token]) -> str:
    parts = []
    for kind, value in tokens:
        if isinstance(value, str):
            parts.append(re.escape(value))
        elif value is not None:
            negated, ranges = value
            # A range that is upside down matches nothing in Go, and is an error in `re`.
            inside = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in ranges if low <= high)
            if inside:
                parts.append(f"[{'^' if negated else ''}{inside}]")
            else:
                parts.append("." if negated else "(?!)")
        else:
            parts.append({"run": "[^/]*", "any": "[^/]", "dirs": "(?:.*/)?", "all": ".*"}[kind])
    return "".join(parts)


@frozen
class IgnorePattern:
    """One line of an ignore file.

    Attributes:
        text: The cleaned pattern without its `!`.
        negated: It takes back what earlier patterns excluded.
        kind: How it is compared: `exact`, `prefix` (`x**`), `suffix` (`**x`) or `pattern`.
        matcher: Compiled, when `kind` is `pattern`.
    """

    text: str
    negated: bool
    kind: Literal["exact", "prefix", "suffix", "pattern"]
    matcher: Matcher | None

    def matches(self, path: str) -> bool:
        """Whether it matches *path* itself; parents are the caller's matter."""
        if self.matcher is not None:
            return self.matcher.matches(path)
        if self.kind == "exact":
            return path == self.text
        if self.kind == "prefix":
            return path.startswith(self.text[:-2])
        suffix = self.text[2:]
        return path.endswith(suffix) or (suffix.startswith("/") and path == suffix[1:])


def compile_ignore_pattern(line: str) -> IgnorePattern | None:
    """Compile one pattern; None for a blank one.

    Raises:
        BadPatternError: It is `!` alone, or malformed.
    """
    text = line.strip()
    if not text:
        return None
    text = clean(text)
    negated = text.startswith("!")
    if negated:
        text = text[1:]
        if not text:
            raise BadPatternError("'!' alone is not an ignore pattern")
    if _compile_glob(text).has_empty_range:
        raise BadPatternError(f"pattern {text!r} has a range that is upside down")
    tokens: list[Token] = []
    kind: Literal["exact", "prefix", "suffix", "pattern"] = "exact"
    position = 0
    while position < len(text):
        if text.startswith("**", position):
            first = position == 0
            position += 2
            if text.startswith("/", position):
                position += 1
            if position == len(text):
                tokens.append(("all", None))
                kind = "prefix" if kind == "exact" else "pattern"
            else:
                tokens.append(("dirs", None))
                kind = "pattern"
            if first:
                kind = "suffix"
            continue
        if text[position] in "*?[\\":
            kind = "pattern"
        token, position = _next_token(text, position)
        tokens.append(token)
    return IgnorePattern(text, negated, kind, Matcher(tokens) if kind == "pattern" else None)


class IgnoreRules:
    """An ordered list of ignore patterns.

    Raises:
        BadPatternError: A pattern is malformed.
    """

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self.patterns = tuple(
            pattern for pattern in map(compile_ignore_pattern, lines) if pattern is not None
        )
        self.has_negation = any(pattern.negated for pattern in self.patterns)

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def excludes(self, path: str) -> bool:
        """Whether *path* (relative) is excluded: the last pattern that matches it or a parent decides.

        This is how single paths are judged; a walk is not quite the same, see `descend`.
        """
        parts = path.split("/")
        paths = ["/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
        for pattern in reversed(self.patterns):
            if any(pattern.matches(item) for item in paths):
                return not pattern.negated
        return False

    def root_state(self) -> tuple[bool, ...]:
        """Which patterns match the root: none. See `descend`."""
        return (False,) * len(self.patterns)

    def descend(self, parent: tuple[bool, ...], path: str) -> tuple[bool, ...]:
        """Which patterns have a say on *path*, given which had one on its parent.

        As BuildKit walks a context (`MatchesUsingParentResults` of moby/patternmatcher): a pattern that would
        change nothing is not asked, so that `!dir` after `dir/*` brings nothing in `dir` back.
        """
        result = []
        excluded = False
        for above, pattern in zip(parent, self.patterns, strict=True):
            hit = above or (pattern.negated == excluded and pattern.matches(path))
            if hit:
                excluded = not pattern.negated
            result.append(hit)
        return tuple(result)

    def verdict(self, matched: tuple[bool, ...]) -> bool:
        """Whether a path that these patterns match is excluded."""
        for pattern, hit in zip(reversed(self.patterns), reversed(matched), strict=True):
            if hit:
                return not pattern.negated
        return False


def read_ignore_file(content: str) -> list[str]:
    """The patterns of an ignore file: comments and blanks dropped, paths cleaned, one leading `/` removed."""
    result = []
    for line in content.removeprefix("\ufeff").split("\n"):
        if line.startswith("#"):
            continue
        pattern = line.strip()
        if not pattern:
            continue
        negated = pattern.startswith("!")
        if negated:
            pattern = pattern[1:].strip()
        if pattern:
            pattern = clean(pattern)
            if len(pattern) > 1:
                pattern = pattern.removeprefix("/")
        result.append("!" + pattern if negated else pattern)
    return result
