from __future__ import annotations

from pathlib import Path

from composer.cli.describe import describe_all
from composer.cli.reference import markdown

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"


def test_the_page_is_what_the_commands_say() -> None:
    assert PAGE.read_text() == markdown(describe_all()), (
        "python -m composer.cli.reference > docs/reference/cli.md"
    )
