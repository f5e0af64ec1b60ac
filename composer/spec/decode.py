"""Canonical JSON to the frozen dataclasses of `composer.spec.model`, by their annotations.

`Bytes`, `Seconds` and `Mode` are ints and floats that the document spells as text (`"1073741824"`,
`"1m30s"`, `"0440"`).
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin, get_type_hints

from composer.frozen import field_names, is_frozen
from composer.spec.units import parse_duration, parse_size

Bytes: TypeAlias = Annotated[int, "bytes"]
Seconds: TypeAlias = Annotated[float, "seconds"]
Mode: TypeAlias = Annotated[int, "mode"]


def build(kind: Any, document: Mapping[str, Any]) -> Any:
    """An instance of the dataclass *kind* from *document*; `x-` keys go to `extensions` if it has that.

    Raises:
        TypeError: An unknown key, a missing one, or a value of another type.
    """
    plain, decoders, has_extensions = _plan(kind)
    values: dict[str, Any] = {}
    extensions: dict[str, Any] = {}
    for key, value in document.items():
        if key in plain:
            if value is not None:
                values[key] = value
        elif (decode := decoders.get(key)) is not None:
            if value is not None:
                values[key] = decode(value)
        elif key.startswith("x-"):
            extensions[key] = value
        else:
            raise TypeError(f"{kind.__name__} has no attribute {key!r}")
    if extensions and has_extensions:
        values["extensions"] = extensions
    return kind(**values)


@cache
def _plan(kind: Any) -> tuple[frozenset[str], dict[str, Any], bool]:
    hints = get_type_hints(kind, include_extras=True)
    plain = set()
    decoders = {}
    for name in field_names(kind):
        decode = _decoder(hints[name])
        if decode is None:
            plain.add(name)
        else:
            decoders[name] = decode
    return frozenset(plain), decoders, "extensions" in hints


def _decoder(hint: Any) -> Any:
    """A function for values of *hint*, or None when they are taken as they are."""
    origin = get_origin(hint)
    if origin is Annotated:
        return {"bytes": _size, "seconds": _seconds, "mode": _mode}[get_args(hint)[1]]
    if origin in (Union, types.UnionType):
        inner = [arg for arg in get_args(hint) if arg is not types.NoneType]
        return _decoder(inner[0]) if len(inner) == 1 else None
    if origin is tuple:
        item = _decoder(get_args(hint)[0])
        return tuple if item is None else lambda data: tuple(map(item, data))
    if origin is Mapping:
        value = get_args(hint)[1]
        if not is_frozen(value):
            return None
        if value.__name__ == "Ulimit":
            return lambda data: {key: _ulimit(value, entry) for key, entry in data.items()}
        return lambda data: {key: build(value, entry or {}) for key, entry in data.items()}
    if is_frozen(hint):
        return lambda data: build(hint, data)
    if hint is float:
        return float
    return None


def _ulimit(kind: Any, entry: Any) -> Any:
    return kind(entry, entry) if isinstance(entry, int) else build(kind, entry)


def _size(value: str | int) -> int:
    return value if isinstance(value, int) else parse_size(value)


def _seconds(value: str | float) -> float:
    return parse_duration(value) / 1e9 if isinstance(value, str) else float(value)


def _mode(value: str | int) -> int:
    return value if isinstance(value, int) else int(value, 8)
