r"""Env files: `.env`, `--env-file`, `env_file:` and `label_file:`.

`KEY=VALUE` or `KEY: VALUE` lines, `export` allowed. An unquoted value ends at ` #` and is interpolated; a
double-quoted one may span lines, knows `\n \r \t \a \b \c \f \v \\ \" \$` and octal `\0NNN`, and is
interpolated; a single-quoted one is literal. `format: raw` takes lines as they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from composer.errors import Location, SpecError
from composer.spec.template import TemplateError, substitute

if TYPE_CHECKING:
    from composer.spec.template import Lookup, Missing

_EXPORT = re.compile(r"export\s+")
_BLANK: Final = " \t\v\f\r\x85\xa0"
_ESCAPE = re.compile(r"\\(0[0-9]{0,3}|[abcfnrtv\\\"$])")
_NAMED: Final = {
    "a": "\a",
    "b": "\b",
    "c": "\\c",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "\\": "\\",
    '"': '"',
    "$": "$$",
}
_MAX_BYTES: Final = 10 * 1024 * 1024


def parse(text: str, lookup: Lookup, *, file: str = ".env", missing: Missing | None = None) -> dict[str, str]:
    """The keys and values of an env file.

    Args:
        text: The file's content.
        lookup: Gives the value of a variable that the file refers to; it comes before earlier keys.
        file: Name for errors.
        missing: Told about variables that are not set.

    Raises:
        SpecError: A malformed key, a quote that is not closed, a malformed or required variable.
    """
    return _Parser(text, lookup, file, missing).parse()


def parse_raw(text: str, lookup: Lookup, *, file: str = ".env") -> dict[str, str]:
    """Like `parse` for `format: raw`: no quotes, no variables; a key alone is looked up.

    Raises:
        SpecError: A key contains a blank.
    """
    result: dict[str, str] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = raw.lstrip().rstrip("\r")
        if not line or line.startswith("#"):
            continue
        key, separator, value = line.partition("=")
        if any(character in _BLANK for character in key):
            raise SpecError(
                f"variable {key!r} contains whitespace", where=Location(file, number), hint="remove the blank"
            )
        if not key:
            raise SpecError(f"no variable name on line {line!r}", where=Location(file, number))
        if separator:
            result[key] = value
        elif (found := lookup(key)) is not None:
            result[key] = found
    return result


def read(path: str) -> str:
    """The text of an env file.

    Raises:
        SpecError: It cannot be read, is too large, or is not UTF-8.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        raise SpecError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > _MAX_BYTES:
        raise SpecError(f"{path} is larger than {_MAX_BYTES // 1048576} MiB")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SpecError("not UTF-8 text", where=Location(path, line)) from None


class _Parser:
    """One pass over a text."""

    def __init__(self, text: str, lookup: Lookup, file: str, missing: Missing | None) -> None:
        self.text = text.removeprefix("\ufeff").replace("\r\n", "\n")
        self.outer = lookup
        self.file = file
        self.missing = missing
        self.position = 0
        self.values: dict[str, str] = {}

    def parse(self) -> dict[str, str]:
        """All statements."""
        while self.next_statement():
            line = self.line()
            key, inherited = self.key()
            if inherited:
                value = self.outer(key)
                if value is not None:
                    self.values[key] = value
                continue
            self.values[key] = self.value(line)
        return self.values

    def line(self) -> int:
        """The present line."""
        return self.text.count("\n", 0, self.position) + 1

    def fail(self, message: str, line: int, *, hint: str = "") -> SpecError:
        """An error at *line*."""
        return SpecError(message, where=Location(self.file, line), hint=hint)

    def lookup(self, name: str) -> str | None:
        """A variable: from outside, else an earlier key."""
        value = self.outer(name)
        return self.values.get(name) if value is None else value

    def next_statement(self) -> bool:
        """Go to the next key; False at the end."""
        text = self.text
        while True:
            while self.position < len(text) and text[self.position].isspace():
                self.position += 1
            if self.position >= len(text):
                return False
            if text[self.position] != "#":
                return True
            end = text.find("\n", self.position)
            if end < 0:
                return False
            self.position = end

    def key(self) -> tuple[str, bool]:
        """The key, and whether it stands alone."""
        line = self.line()
        if match := _EXPORT.match(self.text, self.position):
            self.position = match.end()
        end = self.text.find("\n", self.position)
        end = len(self.text) if end < 0 else end
        statement = self.text[self.position : end]
        for index, character in enumerate(statement):
            if character in "=:":
                key = statement[:index].rstrip(_BLANK)
                if re.search(r"\s", key):
                    raise self.fail(
                        "key cannot contain a space", line, hint=f"write {key.split()[-1]}=... alone"
                    )
                self.position += index + 1
                while self.position < len(self.text) and self.text[self.position] in _BLANK:
                    self.position += 1
                return key, False
            if character in _BLANK or character.isalnum() or character in "_.-[]":
                continue
            raise self.fail(
                f'unexpected character "{character}" in variable name near "{statement}"',
                line,
                hint="use letters, digits and _",
            )
        key = statement.strip()
        if re.search(r"\s", key):
            raise self.fail("key cannot contain a space", line, hint="put = between name and value")
        self.position = end
        return key, True

    def value(self, line: int) -> str:
        """The value at the present position."""
        quote = self.text[self.position : self.position + 1]
        if quote in ("'", '"') and quote:
            return self.quoted(quote, line)
        end = self.text.find("\n", self.position)
        end = len(self.text) if end < 0 else end
        raw = self.text[self.position : end]
        self.position = end
        raw = raw.partition(" #")[0]
        return self.expand(raw.rstrip(_BLANK), line)

    def quoted(self, quote: str, line: int) -> str:
        """A quoted value; the text after it on the line is parsed as the next statement."""
        text = self.text
        characters: list[str] = []
        escaped = False
        for index in range(self.position + 1, len(text)):
            character = text[index]
            if character == quote and not escaped:
                break
            if character == "\\" and not escaped:
                escaped = True
                continue
            if escaped and character != quote:
                characters.append("\\")
            escaped = False
            characters.append(character)
        else:
            shown = text[self.position :].split("\n")[0]
            raise self.fail(f"unterminated quoted value {shown}", line, hint=f"close it with {quote}")
        self.position = index + 1
        value = "".join(characters)
        return value if quote == "'" else self.expand(_ESCAPE.sub(_unescape, value), line)

    def expand(self, value: str, line: int) -> str:
        """Interpolate *value*."""
        try:
            return substitute(value, self.lookup, self.missing)
        except TemplateError as error:
            if error.required:
                raise self.fail(str(error), line) from None
            raise self.fail(
                f"invalid interpolation format: {error}", line, hint="write $$ for a dollar"
            ) from None


def _unescape(match: re.Match[str]) -> str:
    text = match.group(1)
    if text[0] == "0":
        digits = text[1:]
        return chr(int(digits, 8)) if re.fullmatch("[0-3][0-7]{2}", digits) else "\\" + digits
    return _NAMED[text]
