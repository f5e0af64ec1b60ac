"""How each keyword's arguments are split: JSON arrays, words, `name=value` pairs, the rest of the line."""

from __future__ import annotations

import json
import re

from composer.errors import BuildError
from composer.frozen import frozen

_BLANKS = re.compile(r"[ \t\v\f\r]+")

_WHOLE_OR_JSON = ("run", "cmd", "entrypoint", "shell")
_WORDS_OR_JSON = ("add", "copy", "volume")
_WORDS = ("expose", "from")
_ONE = ("maintainer", "stopsignal", "user", "workdir")


@frozen
class Arguments:
    """The arguments of one instruction.

    Attributes:
        values: The words; for ENV and LABEL name and value in turn; for RUN and the like one string.
        json: They were a JSON array.
        legacy: `ENV name rest of the line`.
        nested: The instruction below ONBUILD, as one line.
    """

    values: tuple[str, ...] = ()
    json: bool = False
    legacy: bool = False
    nested: str = ""


def split_arguments(keyword: str, rest: str, escape: str) -> Arguments:
    """Split *rest* in the way of *keyword* (lower case). An unknown keyword keeps it as one string.

    Raises:
        BuildError: A JSON array with other things than strings, a pair without `=`.
    """
    if keyword in _WHOLE_OR_JSON or keyword in _WORDS_OR_JSON:
        if not rest:
            return Arguments()
        array = _json_array(rest)
        if array is not None:
            return Arguments(array, json=True)
        return Arguments((rest,) if keyword in _WHOLE_OR_JSON else _words(rest))
    if keyword in _WORDS:
        return Arguments(_words(rest))
    if keyword in ("env", "label"):
        return _pairs(keyword, rest, escape)
    if keyword == "arg":
        return Arguments(tuple(quoted_words(rest, escape)))
    if keyword in _ONE:
        return Arguments((rest,) if rest else ())
    if keyword == "healthcheck":
        kind, _, command = _partition(rest)
        if not kind:
            return Arguments()
        inner = split_arguments("cmd", command, escape)
        return Arguments((kind, *inner.values), json=inner.json)
    if keyword == "onbuild":
        return Arguments(nested=rest)
    return Arguments(("",))


def split_flags(rest: str) -> tuple[tuple[str, ...], str]:
    """The words at the start of *rest* that begin with `--`, and what follows them."""
    flags: list[str] = []
    position = 0
    while True:
        while position < len(rest) and rest[position].isspace():
            position += 1
        if not rest.startswith("--", position):
            return tuple(flags), rest[position:]
        word, position = _flag_word(rest, position)
        if word == "--":
            return tuple(flags), rest[position:]
        flags.append(word)


def _flag_word(rest: str, position: int) -> tuple[str, int]:
    word: list[str] = []
    quote = ""
    while position < len(rest):
        character = rest[position]
        if not quote and character.isspace():
            break
        position += 1
        if character == quote:
            quote = ""
        elif not quote and character in "'\"":
            quote = character
        elif character == "\\":
            word.append(rest[position : position + 1])
            position += 1
        else:
            word.append(character)
    return "".join(word), position


def quoted_words(rest: str, escape: str) -> list[str]:
    """Words split at blanks outside quotes; quotes and escapes are kept, for expansion."""
    words: list[str] = []
    word: list[str] = []
    quote = ""
    position = 0
    while position < len(rest):
        character = rest[position]
        position += 1
        if not quote and character.isspace():
            if word:
                words.append("".join(word))
                word.clear()
            continue
        if character == escape and quote != "'":
            if position == len(rest):
                break
            word += [character, rest[position]]
            position += 1
            continue
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            quote = character
        word.append(character)
    if word:
        words.append("".join(word))
    return words


def _pairs(keyword: str, rest: str, escape: str) -> Arguments:
    words = quoted_words(rest, escape)
    if not words:
        return Arguments()
    if "=" not in words[0]:
        name, _, value = _partition(rest)
        if not value:
            raise BuildError(f"{keyword.upper()} must have two arguments")
        return Arguments((name, value), legacy=True)
    values: list[str] = []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise BuildError(f"{keyword.upper()} has no '=' in {word!r}", hint="write it as name=value")
        values += [name, value]
    return Arguments(tuple(values))


def _json_array(rest: str) -> tuple[str, ...] | None:
    if not rest.startswith("["):
        return None
    try:
        array = json.loads(rest, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(item, str) for item in array):
        raise BuildError("a JSON array of arguments must hold strings only")
    # A lone surrogate cannot be encoded; Go's decoder puts the replacement character there too.
    return tuple(item.encode("utf-16", "surrogatepass").decode("utf-16", "replace") for item in array)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _words(rest: str) -> tuple[str, ...]:
    return tuple(_BLANKS.split(rest)) if rest else ()


def _partition(rest: str) -> tuple[str, str, str]:
    match = _BLANKS.search(rest)
    if match is None:
        return rest, "", ""
    return rest[: match.start()], match.group(), rest[match.end() :]
