"""Control groups: one API over cgroup v2, hybrid and v1, see cgroups(7).

Lean on purpose: the shim of each container uses it. Resources come as the JSON form of `engine.Resources`,
so that nothing here imports the engine's value types.
"""

from __future__ import annotations

from composer.namespaces.cgroups.base import Cgroup
from composer.namespaces.cgroups.layout import ROOT, Layout, detect

_machine: Layout | None = None


def machine() -> Layout:
    """What this machine has. Looked up once: it does not change, and what is forked later knows it."""
    global _machine  # noqa: PLW0603 - one machine
    if _machine is None:
        _machine = detect(ROOT)
    return _machine


def open_cgroup(path: str, *, layout: Layout | None = None) -> Cgroup:
    """The control group *path* (such as `/composer/shop/1f2e...`), whether it exists yet or not.

    Args:
        path: Absolute within the hierarchy.
        layout: What this machine has; found out when not given.
    """
    found = layout or machine()
    if found.mode == "unified":
        from composer.namespaces.cgroups.v2 import UnifiedCgroup

        return UnifiedCgroup(path, found)
    from composer.namespaces.cgroups.v1 import LegacyCgroup

    return LegacyCgroup(path, found)


__all__ = ["ROOT", "Cgroup", "Layout", "detect", "machine", "open_cgroup"]
