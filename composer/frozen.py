"""`@frozen`: a frozen, slotted dataclass whose methods are shared instead of generated.

`dataclasses.dataclass` compiles six methods for each class, 0.7 ms; with 170 of them that was most of the
time an agent took to start (docs/decisions has the figures). Here every class uses the same methods, which
look at its fields; an instance costs some microseconds more. To the `dataclasses` module, to type checkers
and to `match` these are dataclasses: `fields`, `replace` and `is_dataclass` work.
"""

from __future__ import annotations

from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform, overload

T = TypeVar("T")

_set = object.__setattr__


@overload
def frozen(cls: type[T], /) -> type[T]: ...
@overload
def frozen(*, kw_only: bool = False) -> Any: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: Any = None, /, *, kw_only: bool = False) -> Any:
    """Make *cls* a frozen, slotted dataclass; all its bases that have fields must be made the same way."""
    if cls is None:
        return lambda decorated: _make(decorated, kw_only=kw_only)
    return _make(cls, kw_only=kw_only)


def _make(cls: type[Any], *, kw_only: bool) -> type[Any]:
    own = cls.__dict__
    made: Any = dataclass(init=False, repr=False, eq=False, slots=True, kw_only=kw_only)(cls)
    described = fields(made)
    made.__frozen_names__ = tuple(entry.name for entry in described)
    made.__frozen_positional__ = made.__match_args__
    made.__frozen_defaults__ = {
        entry.name: (entry.default, entry.default_factory)
        for entry in described
        if entry.default is not MISSING or entry.default_factory is not MISSING
    }
    for name, method in _METHODS.items():
        if name not in own:
            setattr(made, name, method)
    return made  # type: ignore[no-any-return]


def _init(self: Any, /, *args: Any, **kwargs: Any) -> None:
    kind = type(self)
    positional = kind.__frozen_positional__
    if len(args) > len(positional):
        raise TypeError(f"{kind.__name__}() takes {len(positional)} positional arguments, got {len(args)}")
    for name, item in zip(positional, args, strict=False):
        if name in kwargs:
            raise TypeError(f"{kind.__name__}() got multiple values for argument {name!r}")
        kwargs[name] = item
    defaults = kind.__frozen_defaults__
    names = kind.__frozen_names__
    for name in names:
        if name in kwargs:
            _set(self, name, kwargs[name])
        elif name in defaults:
            default, factory = defaults[name]
            _set(self, name, default if factory is MISSING else factory())
        else:
            raise TypeError(f"{kind.__name__}() is missing the argument {name!r}")
    if len(kwargs) > len(names) or not kwargs.keys() <= set(names):
        unknown = ", ".join(sorted(kwargs.keys() - set(names)))
        raise TypeError(f"{kind.__name__}() got an unexpected argument: {unknown}")


def _items(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, name) for name in type(self).__frozen_names__)


def _equal(self: Any, other: object) -> Any:
    return _items(self) == _items(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_items(self))


def _repr(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in type(self).__frozen_names__)
    return f"{type(self).__qualname__}({shown})"


def _refuse_set(_self: Any, name: str, _value: object) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_delete(_self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _set_state(self: Any, state: tuple[Any, ...]) -> None:
    for name, item in zip(type(self).__frozen_names__, state, strict=True):
        _set(self, name, item)


_METHODS = {
    "__init__": _init,
    "__eq__": _equal,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _refuse_set,
    "__delattr__": _refuse_delete,
    "__getstate__": _items,  # copy and pickle
    "__setstate__": _set_state,
}
