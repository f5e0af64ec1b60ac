"""The JSON Schema check of a merged model, with errors that name the place.

`composer.spec.accept` says yes in no time to a file that is right. When it does not, jsonschema
(Draft 2020-12) judges the model, and what it finds is put into one sentence at the line where it stands.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from composer.errors import suggestion
from composer.spec.accept import accepts, double, is_kind, resolve, schema, schema_text
from composer.spec.tree import Path, spec_error

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

    from composer.errors import SpecError

_NAMES: Final = {
    "object": "mapping",
    "array": "list",
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}
_PAIR: Final = re.compile(r"([A-Za-z_][\w.-]*)\s*[:=]\s*(\S.*)")
_PATTERNS: Final = {
    "[a-zA-Z0-9][a-zA-Z0-9_.-]+": "use at least two letters, digits and _ . - with a letter or digit first",
    "^[a-zA-Z0-9._-]+$": "use letters, digits and . _ - only",
    "always|never|build|if_not_present|missing|refresh|daily|weekly|every_([0-9]+[wdhms])+": (
        "use always, missing, never, build, daily, weekly or every_12h"
    ),
}
"""What a pattern of the schema asks for, in words."""


def validate(model: Any) -> None:
    """Check a merged model.

    Raises:
        SpecError: At the first place, in the order of the text, that does not fit.
    """
    if accepts(model):
        return
    # jsonschema costs 60 ms to import: only a file with a mistake in it pays.
    from jsonschema import Draft202012Validator

    errors = [_explain(error, model) for error in Draft202012Validator(schema()).iter_errors(model)]
    if errors:
        raise min(errors, key=_position)


def _position(error: SpecError) -> tuple[int, int]:
    return (error.where.line, error.where.column) if error.where else (0, 0)


def _explain(error: ValidationError, model: Any) -> SpecError:
    """One finding as one sentence at its place."""
    kinds: list[str] = []
    while error.validator == "oneOf" and error.context:
        nearer = _meant(error)
        if nearer is None:
            kinds = _kinds(error.schema)
            break
        error = nearer
    path: Path = tuple(error.absolute_path)
    value: Any = error.instance
    wanted: Any = error.validator_value
    message, hint = error.message, ""
    match error.validator:
        case "oneOf" if not kinds:
            message = "fits several forms at once"
        case "type" | "oneOf":
            kinds = kinds or (wanted if isinstance(wanted, list) else [wanted])
            message, hint = f"must be {_wanted(kinds)}", _type_hint(value, kinds)
        case "enum":
            message = f"value must be one of {', '.join(repr(item) for item in wanted)}"
            hint = suggestion(str(value), map(str, wanted))
        case "pattern":
            message = f"{value!r} does not match pattern {wanted!r}"
            hint = _PATTERNS.get(wanted, "")
        case "minimum":
            message = f"must be greater than or equal to {wanted}"
        case "maximum":
            message = f"must be less than or equal to {wanted}"
        case "additionalProperties":
            key, known, pattern = _unknown_key(error)
            path = (*path, key)
            message = f"unknown key {key!r}"
            hint = suggestion(key, known) or "remove it, or start it with x-"
            if not path[:-1] and isinstance(value[key], dict) and {"image", "build"} & value[key].keys():
                hint = "a service belongs under services:"
            if not known:
                message = f"{key!r} is not a name" if key else "a name is empty"
                hint = _PATTERNS.get(pattern, "")
        case "required":
            missing = next(key for key in wanted if key not in value)
            message, hint = f"{missing!r} is missing", f"add {missing}"
        case "uniqueItems":
            second = double(value) or 0
            path = (*path, second)
            message = f"items at {value.index(value[second])} and {second} are equal"
    return spec_error(message, model, path, hint=hint)


def _meant(error: ValidationError) -> ValidationError | None:
    """Of a value that fits none of several forms: what is wrong with the form that was meant.

    That is the form in which the problem lies deepest; None when no form gets further than the type.
    """
    depth = len(error.absolute_path)
    context = error.context or []
    deep = [inner for inner in context if len(inner.absolute_path) > depth]
    if deep:
        return max(deep, key=lambda inner: len(inner.absolute_path))
    return next((inner for inner in context if inner.validator not in ("type", "oneOf")), None)


def _kinds(node: Any) -> list[str]:
    """All types that a part of the schema takes, in its order."""
    found: list[str] = []
    if "$ref" in node:
        found = _kinds(resolve(node["$ref"]))
    elif "type" in node:
        found = node["type"] if isinstance(node["type"], list) else [node["type"]]
    else:
        found = [kind for inner in node.get("oneOf", ()) for kind in _kinds(inner)]
    return list(dict.fromkeys(found))


def _wanted(kinds: list[str]) -> str:
    names = sorted(_NAMES[kind] for kind in kinds)
    text = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    return f"{'an' if text[0] in 'aeiou' else 'a'} {text}"


def _type_hint(value: Any, kinds: list[str]) -> str:
    if "string" in kinds and is_kind(value, "number"):
        return f'put it in quotes: "{value}"'
    if "string" in kinds and isinstance(value, bool):
        return f'put it in quotes: "{str(value).lower()}"'
    if value is None:
        return "give it a value, or remove the key"
    if "object" in kinds and isinstance(value, list):
        return "write KEY: VALUE lines without leading dashes"
    if {"object", "array"} <= set(kinds) and isinstance(value, str) and (pair := _PAIR.fullmatch(value)):
        return f"write {pair[1]}: {pair[2]}, with a blank after the colon"
    if "array" in kinds and isinstance(value, str):
        return f"write a list: [{value}]" if len(value) < 40 else "write a list"
    return ""


def _unknown_key(error: ValidationError) -> tuple[str, list[str], str]:
    """The first key that nothing describes, those that something does, and the pattern that it misses."""
    node: Any = error.schema
    known = list(node.get("properties", ()))
    patterns = list(node.get("patternProperties", ()))
    instance: Any = error.instance
    for key in instance:
        if key not in known and not any(re.search(pattern, key) for pattern in patterns):
            return key, known, next(iter(patterns), "")
    return "", known, ""


__all__ = ["schema", "schema_text", "validate"]
