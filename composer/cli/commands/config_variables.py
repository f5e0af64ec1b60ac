"""`composer config --variables`: which variables the Compose files use, and what happens without them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from composer.cli.context import Context
    from composer.spec.template import Variable

_COLUMNS = ("NAME", "REQUIRED", "DEFAULT VALUE", "ALTERNATE VALUE")


def run(args: argparse.Namespace, context: Context) -> int:
    """Print them as a table, or as JSON."""
    loaded = context.load(interpolate=False, normalize=False, consistency=False, resolve_environment=False)
    found: dict[str, Variable] = {}
    for text in _texts(loaded.model):
        from composer.spec.template import variables

        for variable in variables(text):
            known = found.get(variable.name)
            if known is None or (not known.required and variable.required):
                found[variable.name] = variable
    if args.format == "json":
        import json

        table = {
            name: {
                "Name": name,
                "DefaultValue": variable.default,
                "PresenceValue": variable.presence,
                "Required": variable.required,
            }
            for name, variable in sorted(found.items())
        }
        context.print(json.dumps(table, indent=2))
        return 0
    rows = [_COLUMNS] + [
        (name, "true" if variable.required else "false", variable.default, variable.presence)
        for name, variable in sorted(found.items())
    ]
    widths = [max(len(row[column]) for row in rows) + 3 for column in range(len(_COLUMNS))]
    for row in rows:
        context.print("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return 0


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
