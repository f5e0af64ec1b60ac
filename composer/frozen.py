"""`@frozen`: a frozen, slotted dataclass whose methods are shared instead of generated.

`dataclasses.dataclass` looks at a class for 0.1 ms even when it generates nothing, and for 0.7 ms when it
compiles six methods; with 170 classes that was most of the time an agent took to start (docs/decisions has
the figures). Here every class uses the same methods, which look at its fields; an instance costs some
microseconds more. To the `dataclasses` module, to type checkers and to `match` these are dataclasses:
`fields`, `replace` and `is_dataclass` work, from the moment somebody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast, dataclass_transform, overload

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_set = object.__setattr__
_MISSING: Any = object()


class _Made:
    """Stands for a default that is made anew each time; `dataclasses.Field` has the same attribute."""

    __slots__ = ("default_factory",)

    def __init__(self, default_factory: Callable[[], Any]) -> None:
        self.default_factory = default_factory


def field(*, default_factory: Callable[[], T]) -> T:
    """`dataclasses.field` for modules that the command line imports; the decorator knows both."""
    return cast("T", _Made(default_factory))


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


def is_frozen(kind: object) -> bool:
    """Whether *kind* is a class made by `frozen`."""
    return isinstance(kind, type) and hasattr(kind, "__frozen_names__")


def field_names(kind: Any) -> tuple[str, ...]:
    """The fields of a class made by `frozen`, or of an instance."""
    return cast("tuple[str, ...]", kind.__frozen_names__)


def is_default(value: Any, name: str) -> bool:
    """Whether the field *name* of an instance equals its default; False when it has none."""
    default, factory = value.__frozen_defaults__.get(name, (_MISSING, _MISSING))
    if factory is not _MISSING:
        default = factory()
    return default is not _MISSING and bool(getattr(value, name) == default)


def _make(cls: Any, *, kw_only: bool) -> Any:
    """The class anew, since slots must be known when a class is made."""
    members = dict(cls.__dict__)
    own = {
        name: members.pop(name, _MISSING)
        for name, hint in members.get("__annotations__", {}).items()
        if not str(hint).startswith(("ClassVar", "typing.ClassVar"))
    }
    names: dict[str, None] = {}
    positional: dict[str, None] = {}
    defaults: dict[str, tuple[Any, Any]] = {}
    bases: tuple[Any, ...] = cls.__mro__[1:]
    for base in reversed(bases):
        if "__frozen_names__" in base.__dict__:
            names.update(dict.fromkeys(base.__frozen_names__))
            positional.update(dict.fromkeys(base.__match_args__))
            defaults.update(base.__frozen_defaults__)
    inherited = frozenset(names)
    for name, default in own.items():
        names[name] = None
        if not kw_only:
            positional[name] = None
        factory = getattr(default, "default_factory", _MISSING)
        if factory is not _MISSING:
            defaults[name] = (_MISSING, factory)
        elif default is not _MISSING:
            defaults[name] = (default, _MISSING)
    members.pop("__dict__", None)
    members.pop("__weakref__", None)
    members |= {name: method for name, method in _METHODS.items() if name not in members}
    members["__slots__"] = tuple(name for name in own if name not in inherited)
    members["__frozen_names__"] = tuple(names)
    members["__frozen_defaults__"] = defaults
    members["__match_args__"] = tuple(positional)
    members["__dataclass_fields__"] = _Fields()
    made = type(cls)(cls.__name__, cls.__bases__, members)
    made.__qualname__ = cls.__qualname__
    return made


class _Fields:
    """Stands in the place of `__dataclass_fields__` until somebody reads it: who does is rare."""

    def __get__(self, _instance: object, owner: Any) -> Any:
        import dataclasses

        kind: Any = next(base for base in owner.__mro__ if base.__dict__.get("__dataclass_fields__") is self)
        specs: list[tuple[str, Any, Any]] = []
        for name in kind.__frozen_names__:
            default, factory = kind.__frozen_defaults__.get(name, (_MISSING, _MISSING))
            more: dict[str, Any] = {"kw_only": name not in kind.__match_args__}
            if default is not _MISSING:
                more["default"] = default
            if factory is not _MISSING:
                more["default_factory"] = factory
            hint = next(base.__annotations__[name] for base in kind.__mro__ if name in base.__annotations__)
            specs.append((name, hint, dataclasses.field(**more)))
        known: Any = dataclasses.make_dataclass(kind.__name__, specs, init=False, repr=False, eq=False)
        kind.__dataclass_fields__ = known.__dataclass_fields__
        return kind.__dataclass_fields__


def _init(self: Any, /, *args: Any, **kwargs: Any) -> None:
    kind = type(self)
    positional = kind.__match_args__
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
            _set(self, name, default if factory is _MISSING else factory())
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
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_delete(_self: Any, name: str) -> None:
    from dataclasses import FrozenInstanceError

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
