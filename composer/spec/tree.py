"""Mappings and sequences that remember where each entry was written.

`Map` and `Seq` are a dict and a list whose `places` name file, line and column of every entry, so that an
error found ten steps after parsing still points at the line. A path into such a tree is a tuple of keys
and indexes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from composer.errors import Location, SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")
Place: TypeAlias = tuple[str, int, int]
"""File, line and column; lines and columns count from 1."""

Path: TypeAlias = tuple[str | int, ...]


class Map(dict[str, Any]):
    """A mapping; `places` has the place of each key."""

    __slots__ = ("place", "places")

    def __init__(self, place: Place | None = None) -> None:
        super().__init__()
        self.place = place
        self.places: dict[str, Place] = {}

    def put(self, key: str, value: Any, place: Place | None) -> None:
        """Set an entry and its place."""
        self[key] = value
        if place is not None:
            self.places[key] = place


class Seq(list[Any]):
    """A sequence; `places` has the place of each item and is as long as the sequence."""

    __slots__ = ("place", "places")

    def __init__(self, place: Place | None = None) -> None:
        super().__init__()
        self.place = place
        self.places: list[Place | None] = []

    def add(self, value: Any, place: Place | None) -> None:
        """Append an item and its place."""
        self.append(value)
        self.places.append(place)

    def take(self, other: list[Any]) -> None:
        """Append all of *other*."""
        self.extend(other)
        self.places.extend(places_of(other))


class Tagged:
    """A value below a `!reset` (`keep` is false) or `!override` tag, until the document is complete."""

    __slots__ = ("keep", "value")

    def __init__(self, value: Any, *, keep: bool) -> None:
        self.value = value
        self.keep = keep


def places_of(sequence: list[Any]) -> list[Place | None]:
    """The place of each item, or Nones for a plain list."""
    if isinstance(sequence, Seq):
        return sequence.places
    return [None] * len(sequence)


def place_of(container: Any, key: str | int) -> Place | None:
    """The place of one entry, else that of the container."""
    places = getattr(container, "places", None)
    if places is not None:
        try:
            if (found := places[key]) is not None:
                return found  # type: ignore[no-any-return]
        except (KeyError, IndexError):
            pass
    return getattr(container, "place", None)


def like(container: Any) -> Map:
    """An empty mapping at the place of *container*."""
    return Map(getattr(container, "place", None))


def seq_like(container: Any) -> Seq:
    """An empty sequence at the place of *container*."""
    return Seq(getattr(container, "place", None))


def copy_tree(value: Any) -> Any:
    """A deep copy; scalars are shared."""
    if isinstance(value, Map):
        result = Map(value.place)
        result.places = value.places.copy()
        for key, item in value.items():
            result[key] = copy_tree(item) if isinstance(item, (dict, list, Tagged)) else item
        return result
    if isinstance(value, Seq):
        sequence = Seq(value.place)
        sequence.places = value.places.copy()
        for item in value:
            sequence.append(copy_tree(item) if isinstance(item, (dict, list, Tagged)) else item)
        return sequence
    if isinstance(value, Tagged):
        return Tagged(copy_tree(value.value), keep=value.keep)
    if isinstance(value, dict):
        return {key: copy_tree(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_tree(item) for item in value]
    return value


def find_place(tree: Any, path: Path) -> Place | None:
    """The place of *path* in *tree*, or of the nearest element above it that exists."""
    place = getattr(tree, "place", None)
    for key in path:
        try:
            if (found := place_of(tree, key)) is not None:
                place = found
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            break
    return place


def path_text(path: Path) -> str:
    """`services.web.ports[0]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def spec_error(message: str, tree: Any, path: Path, *, hint: str = "") -> SpecError:
    """An error about *path* in *tree*, pointing at its line."""
    place = find_place(tree, path)
    where = None if place is None else Location(*place)
    return SpecError(message, hint=hint, where=where, path=path_text(path))


def locations(tree: Any) -> dict[str, Place]:
    """Path text to place for every entry of *tree* that has one."""
    found: dict[str, Place] = {}
    stack: list[tuple[str, Any]] = [("", tree)]
    while stack:
        prefix, value = stack.pop()
        if isinstance(value, dict):
            places: Any = getattr(value, "places", {})
            for key, item in value.items():
                text = f"{prefix}.{key}" if prefix else key
                if (place := places.get(key)) is not None:
                    found[text] = place
                if isinstance(item, (dict, list)):
                    stack.append((text, item))
        else:
            for index, (item, place) in enumerate(zip(value, places_of(value), strict=False)):
                text = f"{prefix}[{index}]"
                if place is not None:
                    found[text] = place
                if isinstance(item, (dict, list)):
                    stack.append((text, item))
    return found


def nearest(places: Mapping[str, T], path: str) -> T | None:
    """The place of *path* (`services.web.ports[0]`), or of the nearest element above it that has one."""
    while path:
        if (place := places.get(path)) is not None:
            return place
        cut = max(path.rfind("."), path.rfind("["))
        path = path[:cut] if cut > 0 else ""
    return None
