"""The services as they were last applied: only so that a plan can say which attribute changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.errors import ComposerError
from composer.state.files import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from composer.spec.model import Project
    from composer.state.paths import Paths


def load_applied(paths: Paths, project: str) -> Mapping[str, Mapping[str, Any]]:
    """Canonical services by name; empty when nothing is known, which costs words and nothing else."""
    try:
        found = read_json(paths.project(project) / "applied.json")
    except ComposerError:
        return {}
    return found if isinstance(found, dict) else {}


def save_applied(paths: Paths, project: Project) -> None:
    """Remember *project*; the file holds environments, so only its owner may read it.

    Raises:
        ComposerError: The disk is full.
    """
    directory = paths.project(project.name)
    directory.mkdir(parents=True, exist_ok=True)
    services = dict(project.document.get("services") or {})
    known = load_applied(paths, project.name)
    kept = {name: known[name] for name in project.disabled_services if name in known}
    merged = {**kept, **services}
    if merged != known:
        write_json(directory / "applied.json", merged, mode=0o600)
