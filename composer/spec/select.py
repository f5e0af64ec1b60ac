"""Which services are active: profiles, named services and what they need; which resources are used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.errors import SpecError, suggestion
from composer.spec.tree import Map, spec_error

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def split_by_profiles(document: Any, profiles: Sequence[str]) -> dict[str, Any]:
    """Take the services that *profiles* do not include out of *document* and return them."""
    services = document.get("services") or {}
    disabled: dict[str, Any] = {}
    if "*" in profiles:
        return disabled
    for name in list(services):
        own = services[name].get("profiles")
        if own and not set(own) & set(profiles):
            disabled[name] = services.pop(name)
    return disabled


def _keep_dependencies(service: Any, keep: Any) -> None:
    dependencies = service.get("depends_on")
    if not dependencies:
        return
    kept = Map(getattr(dependencies, "place", None))
    places = getattr(dependencies, "places", {})
    for name, value in dependencies.items():
        if keep(name):
            kept.put(name, value, places.get(name))
    if kept:
        service["depends_on"] = kept
    else:
        del service["depends_on"]


def enable(document: Any, disabled: dict[str, Any], names: Iterable[str]) -> list[str]:
    """Activate the profiles of named services; returns the profiles that came with them."""
    services = document["services"]
    further: list[str] = []
    for name in names:
        if name not in services and name in disabled:
            further.extend(disabled[name].get("profiles") or ())
    if further:
        for name in [
            name for name, service in disabled.items() if set(service.get("profiles") or ()) & set(further)
        ]:
            services[name] = disabled.pop(name)
    return further


def select(document: Any, disabled: dict[str, Any], names: Sequence[str]) -> None:
    """Keep the named services and what they depend on; the others become disabled.

    Raises:
        SpecError: There is no such service, or a required dependency is not active.
    """
    services = document["services"]
    wanted: set[str] = set()
    todo: list[tuple[str, str]] = [(name, "") for name in names]
    while todo:
        name, needed_by = todo.pop()
        if name in wanted:
            continue
        if name not in services:
            if needed_by:
                required = services[needed_by]["depends_on"][name].get("required")
                if not required:
                    continue
                raise spec_error(
                    f'service "{needed_by}" depends on service "{name}", which no active profile includes',
                    document,
                    ("services", needed_by, "depends_on", name),
                    hint="enable its profile with --profile",
                )
            raise SpecError(f"no such service: {name}", hint=suggestion(name, [*services, *disabled]))
        wanted.add(name)
        todo.extend((other, name) for other in services[name].get("depends_on") or ())
    for name in list(services):
        if name not in wanted:
            disabled[name] = services.pop(name)
    for service in services.values():
        _keep_dependencies(service, wanted.__contains__)


def drop_unused(document: Any) -> None:
    """Remove networks, volumes, configs, secrets and models that no active service uses."""
    used: dict[str, set[str]] = {
        kind: set() for kind in ("networks", "volumes", "configs", "secrets", "models")
    }
    for service in (document.get("services") or {}).values():
        used["networks"].update(service.get("networks") or ())
        used["models"].update(service.get("models") or ())
        for volume in service.get("volumes") or ():
            if volume.get("type") == "volume" and volume.get("source"):
                used["volumes"].add(volume["source"])
        for kind in ("configs", "secrets"):
            used[kind].update(entry["source"] for entry in service.get(kind) or () if entry.get("source"))
        build = service.get("build") or {}
        used["secrets"].update(entry["source"] for entry in build.get("secrets") or ())
    for kind, names in used.items():
        entries = document.get(kind)
        if not entries:
            continue
        for name in list(entries):
            if name not in names:
                del entries[name]
        if not entries:
            del document[kind]
