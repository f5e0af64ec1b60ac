"""The part of Go's templates that `--format` is used with: fields, a few functions and conditions.

`{{.Name}}`, `{{.A.B}}`, `{{json .}}`, `{{json .Labels}}`, `{{upper .Name}}`, `{{lower .}}`, `{{title .}}`,
`{{len .X}}`, `{{join .List ", "}}`, `{{index .Map "key"}}`, `{{if .X}}...{{else}}...{{end}}`,
`{{range .List}}...{{end}}`, string literals and `{{- trimming -}}`. Pipes work: `{{.Name | upper}}`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from composer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`|\||[^\s|"`]+')
_ACTION = re.compile(r"\{\{(-\s)?\s*(.*?)\s*(\s-)?\}\}", re.DOTALL)
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "json": lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
    "upper": lambda value: _text(value).upper(),
    "lower": lambda value: _text(value).lower(),
    "title": lambda value: _text(value).title(),
    "len": len,
    "join": lambda value, separator: separator.join(map(_text, value)),
    "index": lambda value, key: value.get(key, "") if isinstance(value, dict) else value[key],
    "split": lambda value, separator: value.split(separator),
    "println": lambda value: f"{_text(value)}\n",
    "eq": lambda left, right: left == right,
    "ne": lambda left, right: left != right,
    "not": lambda value: not value,
}


class Template:
    """A parsed template.

    Attributes:
        fields: Top-level fields it names, in order, once each.
    """

    def __init__(self, nodes: list[Any], fields: list[str]) -> None:
        self._nodes = nodes
        self.fields = fields

    def render(self, data: Any) -> str:
        """The text for *data*.

        Raises:
            UsageError: A field does not exist.
        """
        return _render(self._nodes, data)


def parse(text: str) -> Template:
    """Parse *text*.

    Raises:
        UsageError: The template is not closed, or uses what is not supported.
    """
    stack: list[tuple[str, str, list[Any], list[Any]]] = []
    nodes: list[Any] = []
    current = nodes
    position = 0
    trim = False
    fields: list[str] = []
    for match in _ACTION.finditer(text):
        literal = text[position : match.start()]
        literal = literal.lstrip() if trim else literal
        current.append(literal.rstrip() if match[1] else literal)
        trim = bool(match[3])
        position = match.end()
        words = _TOKEN.findall(match[2])
        for word in words:
            if word.startswith(".") and len(word) > 1 and not any(kind == "range" for kind, *_ in stack):
                name = word[1:].split(".")[0]
                if name not in fields:
                    fields.append(name)
        if not words or match[2].startswith("/*"):
            continue
        if words[0] in ("if", "range"):
            body: list[Any] = []
            other: list[Any] = []
            current.append((words[0], words[1:], body, other))
            stack.append((words[0], match[2], current, other))
            current = body
        elif words[0] == "else" and stack:
            current = stack[-1][3]
        elif words[0] == "end" and stack:
            current = stack.pop()[2]
        elif words[0] in ("else", "end"):
            raise UsageError(f"template: {{{{{words[0]}}}}} without if or range")
        else:
            current.append(("print", words, [], []))
    tail = text[position:]
    if "{{" in tail or stack:
        raise UsageError(f"template: {text!r} is not closed")
    current.append(tail.lstrip() if trim else tail)
    return Template(nodes, fields)


def _render(nodes: list[Any], data: Any) -> str:
    out: list[str] = []
    for node in nodes:
        if isinstance(node, str):
            out.append(node)
            continue
        kind, words, body, other = node
        value = _evaluate(words, data)
        if kind == "print":
            out.append(_text(value))
        elif kind == "if":
            out.append(_render(body if value else other, data))
        elif value:
            out.extend(_render(body, item) for item in value)
        else:
            out.append(_render(other, data))
    return "".join(out)


def _evaluate(words: list[str], data: Any) -> Any:
    """The value of a pipeline."""
    value: Any = None
    commands: list[list[str]] = [[]]
    for word in words:
        if word == "|":
            commands.append([])
        else:
            commands[-1].append(word)
    for position, command in enumerate(commands):
        if not command:
            raise UsageError("template: a pipe without a command")
        head, *rest = command
        arguments = [_operand(word, data) for word in rest]
        if position:
            arguments.append(value)
        function = _FUNCTIONS.get(head)
        if function is None:
            if arguments:
                raise UsageError(f"template: function {head!r} is not defined")
            value = _operand(head, data)
            continue
        if head == "join" and position:
            arguments.reverse()
        try:
            value = function(*arguments)
        except (TypeError, LookupError, AttributeError, ValueError) as error:
            raise UsageError(f"template: {head}: {error}") from None
    return value


def _operand(word: str, data: Any) -> Any:
    if word == ".":
        return data
    if word.startswith("."):
        for name in word[1:].split("."):
            if not isinstance(data, dict) or name not in data:
                known = f"it has {', '.join(map(str, data))}" if isinstance(data, dict) else ""
                raise UsageError(f"template: there is no field {name!r}", hint=known)
            data = data[name]
        return data
    if word[0] == '"':
        return json.loads(word)
    if word[0] == "`":
        return word[1:-1]
    if word in ("true", "false"):
        return word == "true"
    try:
        return int(word)
    except ValueError:
        raise UsageError(f"template: {word!r} is not understood") from None


def _text(value: Any) -> str:
    """*value* as Go prints it."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<no value>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "map[" + " ".join(f"{key}:{_text(item)}" for key, item in sorted(value.items())) + "]"
    if isinstance(value, (list, tuple)):
        return "[" + " ".join(map(_text, value)) + "]"
    return str(value)
