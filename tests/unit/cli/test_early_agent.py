"""Commands that will need an agent let it start before they look at anything else."""

from __future__ import annotations

import pytest

from composer.cli.main import main


@pytest.fixture
def started(monkeypatch, tmp_path):
    """The projects for which an agent was started early, from a directory with a project of this name."""
    projects: list[str] = []
    monkeypatch.setattr(
        "composer.agent.client.start_early", lambda _paths, project, fork: projects.append(project)
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COMPOSER_HOME", str(tmp_path / "home"))
    (tmp_path / "compose.yaml").write_text("name: early\nservices: {a: {image: 3}}\n", encoding="utf-8")
    return projects


@pytest.mark.parametrize("command", [("up", "-d"), ("create",), ("run", "a")])
def test_it_starts_for_the_project_before_a_mistake_is_found(command, started, capsys):
    assert main(command) == 1
    assert "services.a.image" in capsys.readouterr().err
    assert started == ["early"]


def test_the_name_on_the_command_line_counts(started):
    main(["-p", "other", "up", "--nonsense"])
    assert started == ["other"]


@pytest.mark.parametrize(
    "words", [("up", "--help"), ("--dry-run", "up"), ("down",), ("config", "-q")], ids=" ".join
)
def test_others_start_none(words, started):
    main(words)
    assert started == []
