"""Whole environments in tests: `ComposeProject` for any test runner, fixtures for pytest.

    def test_counter(composer_project):
        shop = composer_project("examples/shop/compose.yaml")
        with urllib.request.urlopen(shop.url("proxy", 80)) as answer:
            assert answer.status == 200

The fixtures are in `composer.testing.plugin`.
"""

from __future__ import annotations

from composer.testing.project import CommandError, ComposeProject, Result

__all__ = ["CommandError", "ComposeProject", "Result"]
