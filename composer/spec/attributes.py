"""Every attribute of a Compose file and what becomes of it at run time.

No attribute is silently ignored: it is supported, ignored with the reason named here (as the reference
ignores it), or refused by name before anything starts. `docs/reference/attributes.md` is made from this
table, and a test keeps both and the schema's words equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from composer.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from composer.spec.model import Project

State: TypeAlias = Literal["supported", "ignored", "refused"]


class Attribute(NamedTuple):
    """One attribute: its path with `*` for names and `[]` for items, its state, and why."""

    path: str
    state: State = "supported"
    reason: str = ""


_WINDOWS: Final = "means something on Windows only"
_CLUSTER: Final = "means something in a cluster only; the reference ignores it on one machine"
_CGROUP: Final = "the kernel's cgroup v2 has no such control"

_IGNORED: Final[dict[str, str]] = {
    "services.*.cpu_count": _WINDOWS,
    "services.*.cpu_percent": _WINDOWS,
    "services.*.cpu_rt_period": _CGROUP,
    "services.*.cpu_rt_runtime": _CGROUP,
    "services.*.mem_swappiness": _CGROUP,
    "services.*.oom_kill_disable": _CGROUP,
    "services.*.annotations": "metadata for other container runtimes; ours has no use for it",
    "services.*.deploy.mode": _CLUSTER,
    "services.*.deploy.endpoint_mode": _CLUSTER,
    "services.*.deploy.labels": "labels of a cluster's service object; containers have `labels`",
    "services.*.deploy.placement": _CLUSTER,
    "services.*.deploy.update_config": _CLUSTER,
    "services.*.deploy.rollback_config": _CLUSTER,
    "services.*.deploy.resources.reservations.cpus": _CLUSTER,
    "services.*.deploy.resources.reservations.pids": _CLUSTER,
    "services.*.deploy.resources.reservations.generic_resources": _CLUSTER,
    "services.*.deploy.resources.limits.devices": _CLUSTER,
    "services.*.deploy.resources.limits.generic_resources": _CLUSTER,
    "services.*.deploy.restart_policy.delay": "the reference ignores it; restarts back off from 100 ms",
    "services.*.deploy.restart_policy.window": "the reference ignores it",
    "services.*.volumes[].consistency": "means something on macOS only",
    "services.*.volumes[].bind.selinux": "relabels where SELinux is in force; this engine sets no labels",
    "services.*.ports[].mode": _CLUSTER,
    "services.*.ports[].name": "metadata",
    "services.*.ports[].app_protocol": "metadata",
    "services.*.build.isolation": _WINDOWS,
    "services.*.build.provenance": "attestations are not made",
    "services.*.build.sbom": "attestations are not made",
    "networks.*.attachable": "means something in a cluster only; here every network can be joined",
    "secrets.*.labels": "metadata of a cluster's secret store",
    "configs.*.labels": "metadata of a cluster's config store",
}

_REFUSED: Final[dict[str, str]] = {
    "services.*.gpus": "GPUs are not supported",
    "services.*.deploy.resources.reservations.devices": "reserving devices such as GPUs is not supported",
    "services.*.provider": "providers are programs of Docker's CLI",
    "services.*.models": "models need Docker's model runner",
    "services.*.use_api_socket": "there is no Docker socket to give to the container",
    "services.*.credential_spec": _WINDOWS,
    "services.*.storage_opt": "the writable layer has no quota",
    "configs.*.driver": "config drivers belong to a cluster",
    "configs.*.driver_opts": "config drivers belong to a cluster",
    "configs.*.template_driver": "templates belong to a cluster",
    "secrets.*.driver": "secret drivers belong to a cluster",
    "secrets.*.driver_opts": "secret drivers belong to a cluster",
    "secrets.*.template_driver": "templates belong to a cluster",
}

_PARTLY: Final[dict[str, str]] = {
    "services.*.runtime": "`composer` only; another runtime is refused",
    "services.*.isolation": "`default` only; others mean something on Windows and are refused",
    "services.*.logging.driver": "json-file, local and none; others become json-file with a warning",
    "services.*.pre_start[].per_replica": "true is refused, as by the reference",
    "services.*.volumes[].type": "npipe and cluster are refused",
    "configs.*.external": "true is refused: there is no store of configs on one machine",
    "secrets.*.external": "true is refused: there is no store of secrets on one machine",
    "volumes.*.driver": "`local` only",
    "networks.*.driver": "bridge, macvlan, ipvlan, host and none",
    "networks.*.ipam.driver": "`default` only",
}

_RUNTIMES: Final = ("", "composer")
_NETWORK_DRIVERS: Final = ("", "default", "bridge", "macvlan", "ipvlan", "host", "none", "null")


def attributes() -> list[Attribute]:
    """The whole table, in the order of the canonical document."""
    # Here and below: 5 ms that an agent, which asks for refusals only, does not need.
    from composer.spec.fields import PROJECT

    rows: list[Attribute] = []
    for kind, struct in PROJECT.items():
        _collect(struct, f"{kind}.*", rows)
    for path in ("models.*.name", "models.*.model", "models.*.context_size", "models.*.runtime_flags"):
        index = next(number for number, row in enumerate(rows) if row.path == path)
        rows[index] = Attribute(path, "refused", "models need Docker's model runner")
    return rows


def _collect(struct: Any, prefix: str, rows: list[Attribute]) -> None:
    from composer.spec.fields import ListOf, MapOf, Struct

    for name, field in struct.fields.items():
        path = f"{prefix}.{name}"
        if path in _REFUSED:
            rows.append(Attribute(path, "refused", _REFUSED[path]))
            continue
        if path in _IGNORED:
            rows.append(Attribute(path, "ignored", _IGNORED[path]))
            continue
        rows.append(Attribute(path, "supported", _PARTLY.get(path, "")))
        kind: Any = field.convert
        if isinstance(kind, ListOf):
            _collect(kind.item, f"{path}[]", rows)
        elif isinstance(kind, MapOf) and isinstance(kind.item, Struct):
            _collect(kind.item, f"{path}.*", rows)
        elif isinstance(kind, Struct):
            _collect(kind, path, rows)


def unsupported(project: Project) -> Iterator[UnsupportedError]:
    """One error for each thing in the active services and their resources that this engine refuses."""
    for name in sorted(project.services):
        path = f"services.{name}"
        service = project.document["services"][name]
        for pattern, reason in _REFUSED.items():
            if pattern.startswith("services.*.") and (
                found := _reach(service, pattern[len("services.*.") :])
            ):
                yield _error(project, f"{path}.{found}", reason)
        yield from _service(project, path, service)
    for kind in ("configs", "secrets"):
        for name, entry in (project.document.get(kind) or {}).items():
            for key in ("driver", "template_driver"):
                if entry.get(key):
                    yield _error(project, f"{kind}.{name}.{key}", _REFUSED[f"{kind}.*.{key}"])
            if entry.get("external"):
                reason = f"there is no store of {kind} on one machine"
                yield _error(
                    project, f"{kind}.{name}.external", reason, "use file:, environment: or content:"
                )
    for name, volume in project.volumes.items():
        if volume.driver not in ("", "local"):
            yield _error(project, f"volumes.{name}.driver", f"volume driver {volume.driver} is not supported")
    for name, network in project.networks.items():
        if network.driver not in _NETWORK_DRIVERS:
            yield _error(
                project, f"networks.{name}.driver", f"network driver {network.driver} is not supported"
            )
        if network.ipam.driver not in ("", "default"):
            yield _error(
                project, f"networks.{name}.ipam.driver", f"IPAM driver {network.ipam.driver} is not supported"
            )


def ignored(project: Project) -> Iterator[tuple[str, str, str]]:
    """Service, path and reason of each attribute in use that means nothing here, metadata aside."""
    for name in sorted(project.services):
        service = project.document["services"][name]
        for pattern, reason in _IGNORED.items():
            below = pattern.removeprefix("services.*.")
            if below != pattern and "[]" not in below and below != "annotations" and _reach(service, below):
                yield name, f"services.{name}.{below}", reason


_SHARED: Final = {
    "network_mode": ("bridge", "host", "none"),
    "ipc": ("host", "none", "private", "shareable"),
    "pid": ("host",),
    "uts": ("host", "private"),
}
"""The words of each attribute that says with whom a namespace is shared."""


def _service(project: Project, path: str, service: Any) -> Iterator[UnsupportedError]:
    for attribute, known in _SHARED.items():
        value = service.get(attribute, "")
        others = () if attribute == "uts" else ("service:NAME", "container:NAME")
        if value and value not in known and not (others and value.startswith(("service:", "container:"))):
            yield _error(
                project,
                f"{path}.{attribute}",
                f"{attribute} {value!r} is not supported",
                f"the words are {', '.join((*known, *others))}",
            )
    yield from _targets(project, path, service)
    if service.get("runtime", "") not in _RUNTIMES:
        reason = f"runtime {service['runtime']} is not supported"
        yield _error(project, f"{path}.runtime", reason, "remove runtime:")
    if service.get("isolation", "default") not in ("", "default"):
        yield _error(project, f"{path}.isolation", _WINDOWS)
    for index, volume in enumerate(service.get("volumes") or ()):
        if volume.get("type") in ("npipe", "cluster"):
            yield _error(
                project, f"{path}.volumes[{index}]", f"mounts of type {volume['type']} are not supported"
            )
    for index, port in enumerate(service.get("ports") or ()):
        if not port.get("target"):
            yield _error(project, f"{path}.ports[{index}]", "a container has no port 0", "name a port")
    for index, hook in enumerate(service.get("pre_start") or ()):
        if hook.get("per_replica"):
            yield _error(project, f"{path}.pre_start[{index}].per_replica", "per_replica is not supported")


def _targets(project: Project, path: str, service: Any) -> Iterator[UnsupportedError]:
    """Mounts at places that no working directory makes clear."""
    places = [
        (f"volumes[{index}]", entry.get("target", ""))
        for index, entry in enumerate(service.get("volumes") or ())
        if entry.get("type") not in ("npipe", "cluster")
    ]
    places += [
        (f"tmpfs[{index}]", text.partition(":")[0]) for index, text in enumerate(service.get("tmpfs") or ())
    ]
    for below, target in places:
        if not target.startswith("/"):
            drive = target[1:2] == ":" and target[0].isalpha()
            yield _error(
                project,
                f"{path}.{below}",
                f"mount target {target!r} is not an absolute path",
                "one letter and a colon is a drive of Windows: give the volume a longer name"
                if drive
                else "begin it with /",
            )


def _reach(value: Any, path: str) -> str:
    """*path* when something is there, else an empty string."""
    for part in path.split("."):
        if not isinstance(value, dict) or not value.get(part):
            return ""
        value = value[part]
    return path


def _error(project: Project, path: str, reason: str, hint: str = "") -> UnsupportedError:
    return UnsupportedError(reason, where=project.locate(path), path=path, hint=hint)


def markdown() -> str:
    """`docs/reference/attributes.md`."""
    lines = [
        "# Attributes of a Compose file",
        "",
        "<!-- made by composer/spec/attributes.py: do not edit, run `python -m composer.spec.attributes` -->",
        "",
        "What becomes of each attribute at run time. Everything is read, checked and shown by",
        "`composer config`; what is refused is refused by name, with its line, before anything starts.",
        "",
        "| Attribute | State | Remark |",
        "| --- | --- | --- |",
    ]
    lines += [f"| `{row.path}` | {row.state} | {row.reason} |" for row in attributes()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
