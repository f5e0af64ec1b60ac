"""`$NAME` and `${NAME...}` in a text, as Compose files and env files use them.

| form | set, not empty | set, empty | unset |
| --- | --- | --- | --- |
| `$V`, `${V}` | value | empty | empty, with a warning |
| `${V:-w}`, `${V-w}` | value | w, empty | w |
| `${V:?m}`, `${V?m}` | value | error, empty | error |
| `${V:+w}`, `${V+w}` | w | empty, w | empty |

Words nest; `$$` is a dollar; a `$` before anything else stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

Lookup: TypeAlias = Callable[[str], str | None]
"""The value of a variable, or None when it is not set."""

Missing: TypeAlias = Callable[[str], None]
"""Told the name of each variable that is not set and has no default."""

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_MAX_DEPTH: Final = 100


class TemplateError(ValueError):
    """A template is malformed, or a required variable is missing."""

    def __init__(self, message: str, *, required: bool = False) -> None:
        super().__init__(message)
        self.required = required


class Variable(NamedTuple):
    """One use of a variable in a template."""

    name: str
    required: bool = False
    default: str = ""
    presence: str = ""


def substitute(template: str, lookup: Lookup, missing: Missing | None = None, *, depth: int = 0) -> str:
    """*template* with every variable replaced.

    Args:
        template: The text.
        lookup: Gives values.
        missing: Told about variables that are not set and have no default.
        depth: How deep in words this is.

    Raises:
        TemplateError: A malformed `${...}`, or a required variable that is missing.
    """
    position = template.find("$")
    if position < 0:
        return template
    if depth > _MAX_DEPTH:
        raise TemplateError(f"more than {_MAX_DEPTH} variables nested in each other")
    parts = [template[:position]]
    while position >= 0:
        following = template[position + 1 : position + 2]
        if following == "$":
            parts.append("$")
            end = position + 2
        elif following == "{":
            end = _closing(template, position)
            parts.append(_braced(template[position + 2 : end - 1], template, lookup, missing, depth))
        elif match := _NAME.match(template, position + 1):
            end = match.end()
            parts.append(_plain(match.group(), lookup, missing))
        else:
            parts.append("$")
            end = position + 1
        position = template.find("$", end)
        parts.append(template[end:position] if position >= 0 else template[end:])
    return "".join(parts)


def _closing(template: str, start: int) -> int:
    """Index behind the brace that closes the `${` at *start*, else behind the last one on the line."""
    newline = template.find("\n", start)
    limit = len(template) if newline < 0 else newline
    level = 0
    for index in range(start + 1, limit):
        if template[index] == "{":
            level += 1
        elif template[index] == "}":
            level -= 1
            if level == 0:
                return index + 1
    last = template.rfind("}", start, limit)
    if last < 0:
        raise TemplateError(template)
    return last + 1


def _plain(name: str, lookup: Lookup, missing: Missing | None) -> str:
    value = lookup(name)
    if value is None:
        if missing is not None:
            missing(name)
        return ""
    return value


def _split(inner: str, template: str) -> tuple[str, str, str]:
    """Name, operator and word of what stands between the braces."""
    match = _NAME.match(inner)
    if match is None:
        raise TemplateError(template)
    rest = inner[match.end() :]
    if not rest:
        return match.group(), "", ""
    size = 2 if rest[0] == ":" else 1
    operator = rest[:size]
    if operator[-1] not in "-?+" or len(operator) < size:
        raise TemplateError(template)
    return match.group(), operator, rest[size:]


def _braced(inner: str, template: str, lookup: Lookup, missing: Missing | None, depth: int) -> str:
    name, operator, word = _split(inner, template)
    if not operator:
        return _plain(name, lookup, missing)
    value = lookup(name)
    usable = value is not None and (value != "" or operator[0] != ":")
    if operator[-1] == "-":
        if usable and value is not None:
            return value
        return substitute(word, lookup, missing, depth=depth + 1)
    if operator[-1] == "+":
        return substitute(word, lookup, missing, depth=depth + 1) if usable else ""
    if usable and value is not None:
        return value
    reason = substitute(word, lookup, missing, depth=depth + 1)
    text = f"required variable {name} is missing a value"
    raise TemplateError(f"{text}: {reason}" if reason else text, required=True)


def variables(template: str) -> list[Variable]:
    """Every variable that *template* mentions, words included; nothing for a malformed template."""
    found: list[Variable] = []
    position = template.find("$")
    while position >= 0:
        following = template[position + 1 : position + 2]
        end = position + (2 if following == "$" else 1)
        if following == "{":
            try:
                end = _closing(template, position)
                name, operator, word = _split(template[position + 2 : end - 1], template)
            except TemplateError:
                return found
            found.append(
                Variable(
                    name,
                    required=operator[-1:] == "?",
                    default=word if operator[-1:] == "-" else "",
                    presence=word if operator[-1:] == "+" else "",
                )
            )
            if len(word) < len(template):
                found.extend(variables(word))
        elif match := _NAME.match(template, position + 1):
            end = match.end()
            found.append(Variable(match.group()))
        position = template.find("$", end)
    return found
