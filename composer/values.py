"""Frozen dataclasses to and from plain JSON values, and what is true of plain texts.

One codec for everything that crosses a process or a restart: the project handed to the agent, a
container's configuration on disk, events. Unknown keys are an error, so that two versions of the program
never misread each other silently.
"""

from __future__ import annotations

import types
import typing
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin

from composer.frozen import field_names, is_default, is_frozen

T = TypeVar("T")
_SCALARS = frozenset({str, int, float, bool, type(None)})


def to_json(value: Any) -> Any:
    """Plain dicts, lists and scalars for *value*; fields that equal their default are left out."""
    if type(value) in _SCALARS:
        return value
    if is_frozen(type(value)):
        return {
            name: to_json(getattr(value, name)) for name in field_names(value) if not is_default(value, name)
        }
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, (tuple, list, frozenset, set)):
        items = sorted(value) if isinstance(value, (set, frozenset)) else value
        return [to_json(item) for item in items]
    return value


def from_json(cls: type[T], data: Any) -> T:
    """Build *cls* from what `to_json` made.

    Raises:
        TypeError: *data* has unknown or missing keys, or a value of the wrong type.
    """
    kind: Any = cls
    decode = _decoder(kind)
    return typing.cast("T", decode(data))


@cache
def _decoder(kind: Any) -> Any:
    origin = get_origin(kind)
    if kind is Any or kind is object:
        return _same
    if origin in (Union, types.UnionType):
        return _union(get_args(kind))
    if origin is typing.Literal:
        return _same
    if origin is tuple:
        args = get_args(kind)
        if len(args) == 2 and args[1] is Ellipsis:
            item = _decoder(args[0])
            return lambda data: tuple(map(item, data))
        items = [_decoder(arg) for arg in args]
        return lambda data: tuple(decode(entry) for decode, entry in zip(items, data, strict=True))
    if origin in (dict, typing.get_origin(typing.Mapping[str, str])):
        item = _decoder(get_args(kind)[1])
        return _same if item is _same else lambda data: {key: item(entry) for key, entry in data.items()}
    if origin is frozenset:
        return frozenset
    if is_frozen(kind):
        return _dataclass(kind)
    return _same


def _same(data: Any) -> Any:
    return data


def _union(args: tuple[Any, ...]) -> Any:
    inner = [_decoder(arg) for arg in args if arg is not type(None)]
    useful = [decode for decode in inner if decode is not _same]
    if not useful:
        return _same
    if len(useful) > 1:
        raise TypeError(f"a union of several dataclasses cannot be told apart in JSON: {args}")
    decode = useful[0]
    return lambda data: decode(data) if isinstance(data, (dict, list)) else data


def _dataclass(cls: Any) -> Any:
    decoders: dict[str, Any] | None = None

    def decode(data: dict[str, Any]) -> Any:
        nonlocal decoders
        if decoders is None:
            hints = typing.get_type_hints(cls)
            decoders = {name: _decoder(hints[name]) for name in field_names(cls)}
        try:
            return cls(**{key: decoders[key](item) for key, item in data.items()})
        except KeyError as error:
            raise TypeError(f"{cls.__name__} has no field {error}") from None

    return decode


def is_address(text: str) -> bool:
    """Whether *text* is an IP address, of any version, with or without the zone of a link-local one."""
    import ipaddress  # 3 ms that few commands need

    try:
        ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return True
