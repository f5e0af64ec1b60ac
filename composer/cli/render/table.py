"""Lists for people and programs: aligned columns, JSON, and Go templates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from composer.cli.context import Context


def format_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of left-aligned columns, three blanks apart, as Go's tabwriter prints them."""
    widths = [max(len(row[index]) for row in (header, *rows)) for index in range(len(header))]
    return [
        "   ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (header, *rows)
    ]


def print_rows(
    context: Context,
    rows: Sequence[Mapping[str, Any]],
    *,
    columns: Mapping[str, str],
    style: str = "table",
    lines: bool = True,
) -> None:
    """Print *rows* as `--format` says.

    Args:
        context: Where to print.
        rows: One mapping per line; its keys are those of `--format json` and of templates.
        columns: Heading -> key, for the table.
        style: `table`, `json`, `table TEMPLATE` or `TEMPLATE`.
        lines: JSON as one object per line, else as one array.

    Raises:
        UsageError: The template is wrong or names an unknown key.
    """
    if style in ("", "table", "pretty"):
        cells = [[str(row[key]) for key in columns.values()] for row in rows]
        for line in format_table(list(columns), cells):
            context.print(line)
        return
    if style == "json":
        import json

        if lines:
            for row in rows:
                context.print(json.dumps(row, ensure_ascii=False, separators=(",", ":")))
        else:
            context.print(json.dumps(list(rows), ensure_ascii=False, separators=(",", ":")))
        return
    from composer.cli.render.template import parse

    heading = style.startswith("table ")
    template = parse(style.removeprefix("table ").replace("\\t", "\t").replace("\\n", "\n"))
    texts = [template.render(row) for row in rows]
    if not heading:
        for text in texts:
            context.print(text)
        return
    titles = {key: title for title, key in columns.items()}
    header = template.render({key: titles.get(key, key.upper()) for key in template.fields})
    if len({text.count("\t") for text in (header, *texts)}) > 1:
        raise UsageError("a value of this table contains a tab; use --format without table")
    for line in format_table(header.split("\t"), [text.split("\t") for text in texts]):
        context.print(line)
