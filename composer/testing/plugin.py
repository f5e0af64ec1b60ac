"""The pytest plugin: `composer_project` (per test) and `composer_session` (once per session).

Both make `composer.testing.ComposeProject`s, bring them up, and take them down at the end. When a test
fails, its report gets the state and the logs of every project in use. `--composer-keep` leaves the projects
of a failed run alive and prints how to look at them and how to remove them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from composer.testing.project import ComposeProject

_projects = pytest.StashKey["list[ComposeProject]"]()
_kept = pytest.StashKey["list[str]"]()


class ProjectFactory:
    """Makes projects for one scope; call it with what `ComposeProject` takes.

    Args:
        config: pytest's configuration, which knows the projects that are up.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._running = config.stash.setdefault(_projects, [])
        self.made: list[ComposeProject] = []

    def __call__(
        self, file: str | Path | Mapping[str, Any], *, up: bool = True, timeout: float = 300, **options: Any
    ) -> ComposeProject:
        """Make a project and, unless *up* is false, bring it up and wait until it is healthy."""
        from composer.testing.project import ComposeProject

        project = ComposeProject(file, **options)
        self.made.append(project)
        self._running.append(project)
        if up:
            project.up(timeout=timeout)
        return project

    def close(self, *, keep: bool) -> None:
        """Take down what was made, newest first."""
        for project in reversed(self.made):
            self._running.remove(project)
            if not keep:
                project.down()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--composer-keep`."""
    parser.getgroup("composer").addoption(
        "--composer-keep", action="store_true", help="leave projects up after a run with failures"
    )


@pytest.fixture
def composer_project(request: pytest.FixtureRequest) -> Iterator[ProjectFactory]:
    """Factory of projects that end with the test."""
    yield from _factory(request)


@pytest.fixture(scope="session")
def composer_session(request: pytest.FixtureRequest) -> Iterator[ProjectFactory]:
    """Factory of projects that end with the session (of each worker, under pytest-xdist)."""
    yield from _factory(request)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Add state and logs of the projects in use to the report of a failed test."""
    report = yield
    if report.failed:
        for project in item.config.stash.get(_projects, []):
            report.sections.append((f"composer project {project.name}", project.report()))
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what was kept, and how to remove it."""
    for name in config.stash.get(_kept, []):
        terminalreporter.write_line(f"kept: composer -p {name} ps, then composer -p {name} down -v")


def _factory(request: pytest.FixtureRequest) -> Iterator[ProjectFactory]:
    factory = ProjectFactory(request.config)
    yield factory
    keep = bool(request.config.getoption("--composer-keep") and request.session.testsfailed)
    if keep:
        names = [project.name for project in factory.made]
        request.config.stash.setdefault(_kept, []).extend(names)
    factory.close(keep=keep)
