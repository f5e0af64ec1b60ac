"""Compose files to `Project`: pure, reads files and the given environment, touches nothing else.

`load` and `LoadedProject` are here at the first use, so that importing a small part of this package (a
duration, a hash) does not import the YAML parser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from composer.spec.loading import LoadedProject, load
    from composer.spec.model import Project

__all__ = ["LoadedProject", "Project", "load"]


def __getattr__(name: str) -> Any:
    if name in ("load", "LoadedProject"):
        from importlib import import_module

        module = import_module("composer.spec.loading")
        value = getattr(module, name)
        globals()[name] = value
        return value
    if name == "Project":
        from composer.spec.model import Project

        return Project
    raise AttributeError(name)
