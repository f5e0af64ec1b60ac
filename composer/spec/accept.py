"""Whether a merged model fits the schema: a yes or no, compiled to closures, for files that are right.

Importing and compiling a general validator takes longer than everything else that `composer config -q` does
with a small file, and nearly every file is right. This module understands the part of JSON Schema that
`schemas/compose.schema.json` uses; what it turns down is judged, and explained, by jsonschema
(`composer.spec.validate`). A test holds both to the same verdicts.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from composer.errors import ComposerError

if TYPE_CHECKING:
    from collections.abc import Callable

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


def accepts(model: Any) -> bool:
    """Whether *model* fits the schema."""
    return bool(_compiled("#")(model))


def resolve(reference: str) -> dict[str, Any]:
    """The part of the schema that `#/$defs/...` names."""
    node: Any = schema()
    for part in reference.split("/")[1:]:
        node = node[part]
    return node  # type: ignore[no-any-return]


@cache
def _compiled(reference: str) -> Callable[[Any], bool]:
    return _compile(resolve(reference))


def is_kind(value: Any, kind: str) -> bool:
    """Whether *value* is of a JSON Schema type; a float without fraction is an integer."""
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


def _compile(node: dict[str, Any]) -> Callable[[Any], bool]:
    """A function that judges one value by *node*."""
    checks: list[Callable[[Any], bool]] = []
    if reference := node.get("$ref"):
        # when it is met: definitions may refer to each other
        checks.append(lambda value: _compiled(reference)(value))  # noqa: PLW0108
    if kinds := node.get("type"):
        checks.append(_type(kinds if isinstance(kinds, list) else [kinds]))
    if "enum" in node:
        values = node["enum"]
        checks.append(lambda value: value in values)
    if "pattern" in node:
        search = re.compile(node["pattern"]).search
        checks.append(lambda value: not isinstance(value, str) or search(value) is not None)
    if "minimum" in node or "maximum" in node:
        checks.append(_bounds(node))
    if node.keys() & {"properties", "patternProperties", "additionalProperties", "required"}:
        checks.append(_object(node))
    if node.keys() & {"items", "uniqueItems"}:
        checks.append(_array(node))
    if alternatives := node.get("oneOf"):
        checks.append(_one_of(alternatives))
    if len(checks) == 1:
        return checks[0]
    return lambda value: all(check(value) for check in checks)


def _type(kinds: list[str]) -> Callable[[Any], bool]:
    if len(kinds) == 1:
        kind = kinds[0]
        return lambda value: is_kind(value, kind)
    return lambda value: any(is_kind(value, kind) for kind in kinds)


def _bounds(node: dict[str, Any]) -> Callable[[Any], bool]:
    low, high = node.get("minimum"), node.get("maximum")

    def check(value: Any) -> bool:
        if not is_kind(value, "number"):
            return True
        return (low is None or value >= low) and (high is None or value <= high)

    return check


def _object(node: dict[str, Any]) -> Callable[[Any], bool]:
    parts: dict[str, Any] = node.get("properties", {})
    compiled: dict[str, Callable[[Any], bool]] = {}
    patterns = [
        (re.compile(pattern).search, _compile(below))
        for pattern, below in node.get("patternProperties", {}).items()
    ]
    closed = node.get("additionalProperties", True) is False
    required = node.get("required", ())

    def check(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        for key, item in value.items():
            known = key in parts
            if known:
                if key not in compiled:
                    compiled[key] = _compile(parts[key])
                if not compiled[key](item):
                    return False
            for search, below in patterns:
                if search(key):
                    known = True
                    if not below(item):
                        return False
            if closed and not known:
                return False
        return all(key in value for key in required)

    return check


def _array(node: dict[str, Any]) -> Callable[[Any], bool]:
    items = _compile(node["items"]) if "items" in node else None
    unique = node.get("uniqueItems", False)

    def check(value: Any) -> bool:
        if not isinstance(value, list):
            return True
        if items is not None and not all(items(item) for item in value):
            return False
        return not (unique and len(value) > 1 and double(value) is not None)

    return check


def double(value: list[Any]) -> int | None:
    """Index of the first item that stands before it already, or None."""
    seen: set[str] = set()
    for index, item in enumerate(value):
        text = json.dumps(item, sort_keys=True, default=str)
        if text in seen:
            return index
        seen.add(text)
    return None


def _one_of(nodes: list[dict[str, Any]]) -> Callable[[Any], bool]:
    checks = [_compile(node) for node in nodes]
    return lambda value: sum(check(value) for check in checks) == 1
