"""Shell-like words: quotes, escapes and `$variables` as a Dockerfile has them.

One scanner does all of it, since a variable's default may hold quotes, further variables and braces.
It is not a shell: there is no command substitution and no globbing; a variable's blanks split words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from composer.build.dockerfile.substitution import replace, trim_prefix, trim_suffix
from composer.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SPECIAL = "@*#?-$!0"
"""One-character names; a Dockerfile never sets them."""


MAX_RESULT = 1 << 20
"""Characters that one text may become; variables that double each other would fill the memory."""


class WordError(BuildError):
    """Quotes or braces do not match, a substitution is unknown, or `${name:?}` found nothing."""


@dataclass(slots=True)
class Expansion:
    """What became of a text.

    Attributes:
        text: The text with quotes, escapes and variables processed.
        words: The same, split at blanks outside quotes.
        unset: Names that were looked up and are not set, in order.
    """

    text: str
    words: list[str]
    unset: list[str] = field(default_factory=list)


def expand(
    text: str,
    variables: Mapping[str, str],
    *,
    escape: str = "\\",
    quotes: bool = True,
    raw: bool = False,
    raw_quotes: bool = False,
    keep_unset: bool = False,
) -> Expansion:
    """Process *text*.

    Args:
        text: What stands in the Dockerfile.
        variables: What `$name` may see.
        escape: The escape character of the file.
        quotes: Whether `'` and `"` are special; heredoc bodies keep them.
        raw: Keep escape characters in the result.
        raw_quotes: Keep quotes in the result, though they group.
        keep_unset: Leave a variable that is not set as it is written.

    Raises:
        WordError: See the class.
    """
    scanner = _Scanner(text, variables, escape, quotes=quotes, raw_quotes=raw_quotes, keep_unset=keep_unset)
    result, words = scanner.until("", raw=raw)
    return Expansion(result, words, scanner.unset)


class _Words:
    """Collects words as they are found; quoted and escaped characters never split."""

    def __init__(self) -> None:
        self.found: list[str] = []
        self._current: list[str] = []
        self._inside = False

    def add(self, text: str) -> None:
        for character in text:
            if not character.isspace():
                self.add_raw(character)
            elif self._inside and any(self._current):
                self.found.append("".join(self._current))
                self._current.clear()
                self._inside = False

    def add_raw(self, text: str) -> None:
        self._current.append(text)
        self._inside = True

    def finish(self) -> list[str]:
        if any(self._current):
            self.found.append("".join(self._current))
            self._current.clear()
        return self.found


class _Scanner:
    def __init__(
        self,
        text: str,
        variables: Mapping[str, str],
        escape: str,
        *,
        quotes: bool,
        raw_quotes: bool,
        keep_unset: bool,
    ) -> None:
        self.text = text
        self.position = 0
        self.variables = variables
        self.escape = escape
        self.quotes = quotes
        self.raw_quotes = raw_quotes
        self.keep_unset = keep_unset
        self.raw = False
        self.produced = 0
        self.unset: list[str] = []

    def peek(self) -> str:
        return self.text[self.position : self.position + 1]

    def take(self) -> str:
        character = self.peek()
        self.position += len(character)
        return character

    def until(self, stop: str, *, raw: bool) -> tuple[str, list[str]]:
        """Process up to *stop* (the end when empty), which is consumed."""
        outer, self.raw = self.raw, raw
        try:
            return self._until(stop)
        finally:
            self.raw = outer

    def _until(self, stop: str) -> tuple[str, list[str]]:
        result: list[str] = []
        words = _Words()
        while character := self.peek():
            if character == stop:
                self.take()
                return "".join(result), words.finish()
            if character == "$":
                value = self._dollar()
                words.add(value)
            elif character in "'\"" and self.quotes:
                value = self._single() if character == "'" else self._double()
                words.add_raw(value)
            elif character == self.escape:
                value = self.take() if self.raw else self.take()[:0]
                value += self.take()
                words.add_raw(value)
            else:
                value = self.take()
                words.add(value)
            result.append(value)
            self.produced += len(value)
            if self.produced > MAX_RESULT:
                raise WordError(f"a text grows beyond {MAX_RESULT} characters by its variables")
        if stop:
            raise WordError(f"syntax error: {stop!r} is missing at the end of {self.text!r}")
        return "".join(result), words.finish()

    def _single(self) -> str:
        start = self.position + 1
        end = self.text.find("'", start)
        if end < 0:
            raise WordError(f"a single quote is not closed in {self.text!r}")
        self.position = end + 1
        inside = self.text[start:end]
        return f"'{inside}'" if self.raw_quotes else inside

    def _double(self) -> str:
        result = [self.take() if self.raw_quotes else self.take()[:0]]
        while character := self.peek():
            if character == '"':
                self.take()
                if self.raw_quotes:
                    result.append('"')
                return "".join(result)
            if character == "$":
                result.append(self._dollar())
                continue
            self.take()
            if character == self.escape:
                if self.raw:
                    result.append(character)
                following = self.peek()
                if not following:
                    continue
                if following in ('"', "$", self.escape):
                    character = self.take()
            result.append(character)
        raise WordError(f"a double quote is not closed in {self.text!r}")

    def _dollar(self) -> str:
        self.take()
        if self.peek() != "{":
            name = self._name()
            if not name:
                return "$"
            value = self._value(name)
            if value is None:
                return f"${name}" if self.keep_unset else ""
            return value
        self.take()
        if self.peek() in ("", "{", "}", ":"):
            raise WordError(f"bad substitution in {self.text!r}")
        return self._braces(self._name())

    def _braces(self, name: str) -> str:
        operator = self.take()
        if not operator:
            raise WordError(f"a brace is not closed in {self.text!r}")
        if operator == "}":
            value = self._value(name)
            if value is None:
                return f"${{{name}}}" if self.keep_unset else ""
            return value
        if operator == "/":
            return self._replacement(name)
        empty_is_unset = operator == ":"
        if empty_is_unset:
            operator = self.take()
        if operator not in ("-", "+", "?", "#", "%") or (empty_is_unset and operator in "#%"):
            shown = ":" * empty_is_unset + operator
            raise WordError(f"substitution modifier {shown!r} in {self.text!r} is not supported")
        word, _ = self.until("}", raw=operator in "#%")
        value = self._value(name)
        if value is None and self.keep_unset:
            return f"${{{name}{':' * empty_is_unset}{operator}{word}}}"
        return self._modified(name, operator, word, value, strict=empty_is_unset)

    def _modified(self, name: str, operator: str, word: str, value: str | None, *, strict: bool) -> str:
        missing = value is None or (strict and not value)
        if operator == "-":
            return word if missing or value is None else value
        if operator == "+":
            return "" if missing else word
        if operator == "?":
            if missing or value is None:
                raise WordError(f"{name}: {word or 'is not allowed to be unset'}")
            return value
        if value is None:
            return ""
        longest = word.startswith(operator)
        pattern = word[1:] if longest else word
        trim = trim_suffix if operator == "%" else trim_prefix
        return trim(pattern, value, longest=longest)

    def _replacement(self, name: str) -> str:
        every = self.peek() == "/"
        if every:
            self.take()
        pattern, _ = self.until("/", raw=True)
        replacement, _ = self.until("}", raw=True)
        value = self._value(name)
        if value is None:
            return f"${{{name}/{'/' * every}{pattern}/{replacement}}}" if self.keep_unset else ""
        return replace(pattern, replacement, value, every=every)

    def _name(self) -> str:
        start = self.position
        first = self.peek()
        if first.isdigit():
            while self.peek().isdigit():
                self.take()
        elif first and first in _SPECIAL:
            self.take()
        else:
            while self.peek().isalnum() or self.peek() == "_":
                self.take()
        return self.text[start : self.position]

    def _value(self, name: str) -> str | None:
        value = self.variables.get(name)
        if value is None:
            self.unset.append(name)
        return value
