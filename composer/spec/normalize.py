"""What a model means without saying it: default networks, implied dependencies, real names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.spec.scalars import go_text
from composer.spec.tree import Map, like, place_of, places_of, seq_like
from composer.spec.volumes import clean_path

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAMESPACES = ("network_mode", "ipc", "pid", "uts", "cgroup")
IMPLY_DEPENDENCY = ("links", *_NAMESPACES, "volumes_from")
"""Attributes that make a service depend on another one, as `depends_on` does."""


def normalize(model: Any, name: str, environment: Mapping[str, str]) -> None:
    """Fill in *model*, whose project is called *name*."""
    _networks(model)
    for service in (model.get("services") or {}).values():
        _service(service, environment)
    for kind in ("networks", "volumes", "configs", "secrets"):
        _names(model, kind, name)


def _networks(model: Any) -> None:
    networks = model.get("networks")
    if networks is None:
        networks = Map()
    used = False
    for key, service in (model.get("services") or {}).items():
        if "provider" in service or service.get("network_mode"):
            continue
        if not service.get("networks"):
            default = Map()
            default.put("default", None, place_of(model["services"], key))
            service["networks"] = default
            used = True
        elif "default" in service["networks"]:
            used = True
    if used and "default" not in networks:
        networks["default"] = None
    if networks:
        model["networks"] = networks


def _service(service: Any, environment: Mapping[str, str]) -> None:
    if service.get("pull_policy") == "if_not_present":
        service["pull_policy"] = "missing"
    build = service.get("build")
    if isinstance(build, dict):
        if build.get("context") is None:
            build["context"] = "."
        if build.get("dockerfile") is None and build.get("dockerfile_inline") is None:
            build["dockerfile"] = "Dockerfile"
        if build.get("args") is not None:
            build["args"] = look_up(build["args"], environment, keep=False)
    if service.get("environment") is not None:
        service["environment"] = look_up(service["environment"], environment, keep=True)
    _dependencies(service)
    for volume in service.get("volumes") or ():
        if isinstance(volume, dict) and isinstance(volume.get("target"), str):
            volume["target"] = clean_path(volume["target"])
    for hook in service.get("pre_start") or ():
        if isinstance(hook, dict) and not hook.get("image") and service.get("image"):
            hook["image"] = service["image"]


def _dependencies(service: Any) -> None:
    known = service.get("depends_on")
    dependencies: Any = Map() if known is None else known

    def add(name: str, holder: str, *, restart: bool) -> None:
        if name not in dependencies:
            value = {"condition": "service_started", "restart": restart, "required": True}
            dependencies[name] = value
            if isinstance(dependencies, Map) and (place := place_of(service, holder)):
                dependencies.places[name] = place

    for link in service.get("links") or ():
        if isinstance(link, str):
            add(link.partition(":")[0], "links", restart=True)
    for namespace in _NAMESPACES:
        reference = service.get(namespace)
        if isinstance(reference, str) and reference.startswith("service:"):
            add(reference[len("service:") :], namespace, restart=True)
    for volume in service.get("volumes_from") or ():
        if isinstance(volume, str) and not volume.startswith("container:"):
            add(volume.partition(":")[0], "volumes_from", restart=False)
    if dependencies:
        service["depends_on"] = dependencies


def look_up(variables: Any, environment: Mapping[str, str], *, keep: bool) -> Any:
    """Give keys without a value that of *environment*; without one there, keep or drop the key."""
    if isinstance(variables, list):
        result = seq_like(variables)
        for item, place in zip(variables, places_of(variables), strict=True):
            text = go_text(item)
            if "=" not in text:
                if text in environment:
                    text = f"{text}={environment[text]}"
                elif not keep:
                    continue
            result.add(text, place)
        return result
    if isinstance(variables, dict):
        mapping = like(variables)
        for key, value in variables.items():
            place = place_of(variables, key)
            if value is not None:
                mapping.put(key, value, place)
            elif key in environment:
                mapping.put(key, environment[key], place)
            elif keep:
                mapping.put(key, None, place)
        return mapping
    return variables


def _names(model: Any, kind: str, project: str) -> None:
    entries = model.get(kind)
    if not isinstance(entries, dict):
        return
    for key, entry in entries.items():
        resource = Map(place_of(entries, key)) if entry is None else entry
        if isinstance(resource, dict) and resource.get("name") is None:
            external = resource.get("external") in (True, "true", "True")
            resource["name"] = key if external else f"{project}_{key}"
        entries[key] = resource
