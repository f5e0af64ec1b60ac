"""A complete model to the canonical document: every value in one form, what says nothing left out."""

from __future__ import annotations

from typing import Any, Final

from composer.spec.fields import PROJECT, Field, ListOf, MapOf, Struct
from composer.spec.resolve import VALUE
from composer.spec.tree import Map, Path, like, place_of, places_of, seq_like, spec_error

_HINTS: Final = {
    "missing unit": "add a unit: 10s, 1m30s",
    "is not a duration": "write it like 30s, 1m30s or 500ms",
    "is not a size": "write it like 512m, 1.5g or 1048576",
}
"""What to write instead, by what a conversion says."""


def canonical_document(model: Any, name: str) -> Map:
    """The canonical document of *model*.

    Raises:
        SpecError: A value cannot be converted (a malformed size, duration, command line).
    """
    return _Decoder(model).project(name)


def _with_content(entry: Any) -> Any:
    """A config or secret whose variable was found carries the value as its content."""
    if isinstance(entry, dict) and VALUE in entry:
        entry["content"] = entry.pop(VALUE)
    return entry


class _Decoder:
    """One pass over a model."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def project(self, name: str) -> Map:
        document = like(self.model)
        document.put("name", name, place_of(self.model, "name"))
        for kind, struct in PROJECT.items():
            entries = self.model.get(kind)
            if entries is None:
                continue
            if not isinstance(entries, dict):
                raise spec_error(f"{kind} must be a mapping", self.model, (kind,))
            result = like(entries)
            for key, entry in entries.items():
                place = place_of(entries, key)
                value = _with_content({} if entry is None else entry)
                result.put(key, self.struct(value, struct, (kind, key)), place)
            if result or kind == "services":
                document.put(kind, result, place_of(self.model, kind))
        for key, value in self.model.items():
            if key.startswith("x-"):
                document.put(key, value, place_of(self.model, key))
        return document

    def struct(self, value: Any, struct: Struct, path: Path) -> Any:
        if not isinstance(value, dict):
            raise spec_error("must be a mapping", self.model, path)
        result = like(value)
        always = struct.always
        fields = struct.fields
        for key in struct.order(value):
            item = value.get(key)
            if item is None:
                if key in always:
                    result[key] = always[key]
                continue
            field = fields[key]
            converted = self.field(item, field, (*path, key))
            if converted is None and key not in always:
                continue
            result.put(key, always[key] if converted is None else converted, place_of(value, key))
        for key, item in value.items():
            if key.startswith("x-"):
                result.put(key, item, place_of(value, key))
        return result

    def field(self, value: Any, field: Field, path: Path) -> Any:
        kind = field.convert
        if isinstance(kind, Struct):
            return self.struct(value, kind, path)
        if isinstance(kind, ListOf):
            if not isinstance(value, list):
                raise spec_error("must be a list", self.model, path)
            items = seq_like(value)
            for index, (item, place) in enumerate(zip(value, places_of(value), strict=True)):
                items.add(self.struct(item, kind.item, (*path, index)), place)
            return items or None
        if isinstance(kind, MapOf):
            if not isinstance(value, dict):
                raise spec_error("must be a mapping", self.model, path)
            mapping = like(value)
            for key, item in value.items():
                inner = None if item is None else self.field(item, Field(kind.item), (*path, key))
                mapping.put(key, inner, place_of(value, key))
            return mapping or None
        try:
            converted = kind(value)
        except ValueError as error:
            raise self.failed(error, path) from None
        except (TypeError, AttributeError):
            raise spec_error(f"unexpected value {value!r}", self.model, path) from None
        return converted if field.keep or converted or isinstance(converted, Struct) else None

    def failed(self, error: ValueError, path: Path) -> Exception:
        said = str(error)
        hint = next((hint for words, hint in _HINTS.items() if words in said), "")
        return spec_error(said, self.model, path, hint=hint)
