"""The JSON Schema check of a merged model, with errors that name the place.

`schemas/compose.schema.json` is the one description of a Compose file. This module understands the part of
JSON Schema that it uses, compiled to closures when a part is first met: importing and compiling a general
validator takes longer than everything else that `composer config -q` does with a small file. A test holds
both to the same verdicts.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from typing import Any, Final

from composer.errors import ComposerError
from composer.spec.tree import Path, spec_error

_HERE: Final = os.path.dirname(os.path.abspath(__file__))
_ROOT: Final = os.path.dirname(_HERE)


def schema_text() -> str:
    """The schema as it is shipped.

    Raises:
        ComposerError: The installation lacks it.
    """
    for directory in (os.path.join(_ROOT, "schemas"), os.path.join(os.path.dirname(_ROOT), "schemas")):
        try:
            with open(os.path.join(directory, "compose.schema.json"), encoding="utf-8") as file:
                return file.read()
        except FileNotFoundError:
            continue
    raise ComposerError("this installation lacks schemas/compose.schema.json", hint="install composer again")


@cache
def schema() -> dict[str, Any]:
    """The parsed schema."""
    return json.loads(schema_text())  # type: ignore[no-any-return]


class _Problem(Exception):  # noqa: N818 - never leaves this module
    """Something does not fit; a longer path is a form that came closer."""

    def __init__(self, path: Path, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.path = path
        self.message = message
        self.hint = hint


def validate(model: Any) -> None:
    """Check a merged model.

    Raises:
        SpecError: At the first entry that does not fit.
    """
    try:
        _compiled("#")(model, ())
    except _Problem as problem:
        raise spec_error(problem.message, model, problem.path, hint=problem.hint) from None


@cache
def _compiled(reference: str) -> Any:
    node: Any = schema()
    for part in reference.split("/")[1:]:
        node = node[part]
    return _compile(node)


_NAMES: Final = {
    "object": "mapping",
    "array": "list",
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}


def _is(value: Any, kind: str) -> bool:
    if kind == "string":
        return isinstance(value, str)
    if kind == "object":
        return isinstance(value, dict)
    if kind == "array":
        return isinstance(value, list)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "null":
        return value is None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return kind == "number" or isinstance(value, int) or value.is_integer()


def _compile(node: dict[str, Any]) -> Any:
    """A function that checks one value against *node*."""
    if not node.keys() - {"description", "examples", "title", "default", "deprecated"}:
        return _anything
    checks: list[Any] = []
    if reference := node.get("$ref"):
        checks.append(_follow(reference))
    if kinds := node.get("type"):
        checks.append(_type(kinds if isinstance(kinds, list) else [kinds]))
    if "enum" in node:
        checks.append(_enum(node["enum"]))
    if "pattern" in node:
        checks.append(_pattern(node["pattern"]))
    if "minimum" in node or "maximum" in node or "exclusiveMinimum" in node:
        checks.append(_bounds(node))
    if node.keys() & {"properties", "patternProperties", "additionalProperties", "required", "propertyNames"}:
        checks.append(_object(node))
    if node.keys() & {"items", "uniqueItems", "minItems", "maxItems"}:
        checks.append(_array(node))
    if alternatives := node.get("oneOf") or node.get("anyOf"):
        checks.append(_alternatives(alternatives, one="oneOf" in node))
    if not checks:
        return _anything
    if len(checks) == 1:
        return checks[0]

    def every(value: Any, path: Path) -> None:
        for check in checks:
            check(value, path)

    return every


def _anything(_value: Any, _path: Path) -> None:
    return None


def _follow(reference: str) -> Any:
    def check(value: Any, path: Path) -> None:
        _compiled(reference)(value, path)

    return check


def _type(kinds: list[str]) -> Any:
    names = sorted(_NAMES[kind] for kind in kinds)
    wanted = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    article = "an" if wanted[0] in "aeiou" else "a"

    def check(value: Any, path: Path) -> None:
        for kind in kinds:
            if _is(value, kind):
                return
        raise _Problem(path, f"must be {article} {wanted}", _type_hint(value, kinds))

    return check


def _type_hint(value: Any, kinds: list[str]) -> str:
    if "string" in kinds and isinstance(value, (int, float)):
        text = str(value).lower() if isinstance(value, bool) else value
        return f'put it in quotes: "{text}"'
    if value is None:
        return "give it a value, or remove the key"
    if "object" in kinds and isinstance(value, list):
        return "write KEY: VALUE lines without leading dashes"
    if "array" in kinds and isinstance(value, str):
        return f"write a list: [{value}]" if len(value) < 40 else "write a list"
    return ""


def _enum(values: list[Any]) -> Any:
    def check(value: Any, path: Path) -> None:
        if value not in values:
            shown = ", ".join(repr(item) for item in values)
            raise _Problem(path, f"value must be one of {shown}", suggestion(str(value), map(str, values)))

    return check


def _pattern(text: str) -> Any:
    compiled = re.compile(text)

    def check(value: Any, path: Path) -> None:
        if isinstance(value, str) and not compiled.search(value):
            raise _Problem(path, f"{value!r} does not match pattern {text!r}")

    return check


def _bounds(node: dict[str, Any]) -> Any:
    low, high, above = node.get("minimum"), node.get("maximum"), node.get("exclusiveMinimum")

    def check(value: Any, path: Path) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return
        if low is not None and value < low:
            raise _Problem(path, f"must be greater than or equal to {low}")
        if above is not None and value <= above:
            raise _Problem(path, f"must be greater than {above}")
        if high is not None and value > high:
            raise _Problem(path, f"must be less than or equal to {high}")

    return check


def _object(node: dict[str, Any]) -> Any:
    parts: dict[str, Any] = node.get("properties", {})
    compiled: dict[str, Any] = {}
    patterns = [
        (re.compile(pattern), _compile(below)) for pattern, below in node.get("patternProperties", {}).items()
    ]
    additional = node.get("additionalProperties", True)
    rest = _compile(additional) if isinstance(additional, dict) else None
    required = node.get("required", ())

    def check(value: Any, path: Path) -> None:
        if not isinstance(value, dict):
            return
        for key, item in value.items():
            below = compiled.get(key)
            if below is None and key in parts:
                below = compiled[key] = _compile(parts[key])
            if below is None:
                for pattern, pattern_check in patterns:
                    if pattern.search(key):
                        below = pattern_check
                        break
            if below is None:
                if additional is False:
                    hint = suggestion(key, parts) or "remove it, or start it with x-"
                    raise _Problem((*path, key), f"unknown key {key!r}", hint)
                below = rest
            if below is not None and below is not _anything:
                below(item, (*path, key))
        for key in required:
            if key not in value:
                raise _Problem(path, f"{key!r} is missing", f"add {key}")

    return check


def _array(node: dict[str, Any]) -> Any:
    items = _compile(node["items"]) if isinstance(node.get("items"), dict) else None
    unique = node.get("uniqueItems", False)
    least, most = node.get("minItems", 0), node.get("maxItems")

    def check(value: Any, path: Path) -> None:
        if not isinstance(value, list):
            return
        if items is not None and items is not _anything:
            for index, item in enumerate(value):
                items(item, (*path, index))
        if len(value) < least:
            raise _Problem(path, f"must have at least {least} items")
        if most is not None and len(value) > most:
            raise _Problem(path, f"must have at most {most} items")
        if unique and len(value) > 1 and (double := _double(value)) is not None:
            raise _Problem((*path, double), f"items at {value.index(value[double])} and {double} are equal")

    return check


def _double(value: list[Any]) -> int | None:
    seen: set[str] = set()
    for index, item in enumerate(value):
        text = json.dumps(item, sort_keys=True, default=str)
        if text in seen:
            return index
        seen.add(text)
    return None


def _alternatives(nodes: list[dict[str, Any]], *, one: bool) -> Any:
    checks = [_compile(node) for node in nodes]

    def check(value: Any, path: Path) -> None:
        problems: list[_Problem] = []
        fitting = 0
        for branch in checks:
            try:
                branch(value, path)
            except _Problem as problem:
                problems.append(problem)
            else:
                fitting += 1
                if not one:
                    return
        if not fitting:
            raise _best(problems, nodes, value, path)
        if fitting > 1:
            raise _Problem(path, "fits several forms at once")

    return check


def _best(problems: list[_Problem], nodes: list[dict[str, Any]], value: Any, path: Path) -> _Problem:
    """The problem of the form that was meant: the deepest one, else all types that would do."""
    deep = [problem for problem in problems if len(problem.path) > len(path)]
    if deep:
        return max(deep, key=lambda problem: len(problem.path))
    other = [problem for problem in problems if not problem.message.startswith("must be a")]
    if other:
        return other[0]
    kinds: list[str] = []
    for node in nodes:
        for kind in _kinds(node):
            if kind not in kinds:
                kinds.append(kind)
    try:
        _type(kinds)(value, path)
    except _Problem as problem:
        return problem
    return problems[0]


def _kinds(node: dict[str, Any]) -> list[str]:
    if reference := node.get("$ref"):
        target: Any = schema()
        for part in reference.split("/")[1:]:
            target = target[part]
        node = target
    kinds = node.get("type", [])
    if not kinds:
        return [kind for inner in node.get("oneOf", []) + node.get("anyOf", []) for kind in _kinds(inner)]
    return kinds if isinstance(kinds, list) else [kinds]


def suggestion(word: str, known: Any) -> str:
    """`did you mean ...?` for a misspelt word, or an empty string."""
    from difflib import get_close_matches

    words = list(known)
    matches = get_close_matches(word, words, n=1, cutoff=0.6)
    if not matches:
        folded = {item.replace("_", "").replace("-", "").lower(): item for item in words}
        match = folded.get(word.replace("_", "").replace("-", "").lower())
        matches = [match] if match else []
    return f'did you mean "{matches[0]}"?' if matches else ""


__all__ = ["schema", "schema_text", "suggestion", "validate"]
