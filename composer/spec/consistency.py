"""The checks that look at several elements of a project at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.errors import suggestion
from composer.spec.normalize import IMPLY_DEPENDENCY
from composer.spec.tree import Path, place_of, spec_error

if TYPE_CHECKING:
    from composer.errors import SpecError


def check_consistency(document: Any, disabled: Any) -> None:
    """Check the canonical *document*; *disabled* are the services that no active profile includes.

    Raises:
        SpecError: At the first contradiction.
    """
    _Checker(document, disabled).run()


def _asked_by(service: Any, other: str) -> Path:
    """The attribute that makes *service* depend on *other*: `depends_on`, or one that implies it."""
    place = place_of(service["depends_on"], other)
    implied = (key for key in IMPLY_DEPENDENCY if key in service and place_of(service, key) == place)
    holder = next(implied, None) if place is not None else None
    return (holder,) if holder else ("depends_on", other)


class _Checker:
    """One check of one document."""

    def __init__(self, document: Any, disabled: Any) -> None:
        self.document = document
        self.services = document.get("services") or {}
        self.disabled = disabled

    def fail(self, message: str, path: Path, *, hint: str = "") -> SpecError:
        return spec_error(message, self.document, path, hint=hint)

    def run(self) -> None:
        for name in sorted(self.services):
            service = self.services[name]
            self.image(name, service)
            self.build(name, service)
            self.networks(name, service)
            self.probe(name, service)
            self.dependencies(name, service)
            self.references(name, service)
            self.scale(name, service)
            self.mounts(name, service)
            self.watch(name, service)
        for name, secret in (self.document.get("secrets") or {}).items():
            if not (secret.get("external") or secret.get("file") or secret.get("environment")):
                raise self.fail(
                    f'secret "{name}" must declare either `file` or `environment`', ("secrets", name)
                )
        self.names()
        self.cycle()

    def image(self, name: str, service: Any) -> None:
        if not ("build" in service or service.get("image") or "provider" in service):
            raise self.fail(
                f'service "{name}" has neither an image nor a build context specified',
                ("services", name),
                hint="add image: or build:",
            )

    def build(self, name: str, service: Any) -> None:
        build = service.get("build")
        if build is None:
            return
        path: Path = ("services", name, "build")
        if build.get("dockerfile") and build.get("dockerfile_inline"):
            raise self.fail(
                f'service "{name}" declares mutualy exclusive dockerfile and dockerfile_inline',
                (*path, "dockerfile_inline"),
                hint="remove one of them",
            )
        for key, context in (build.get("additional_contexts") or {}).items():
            if not context.startswith("service:"):
                continue
            other = context[len("service:") :]
            target = self.services.get(other) or self.disabled.get(other)
            where = (*path, "additional_contexts", key)
            if target is None:
                raise self.fail(
                    f'service "{name}" declares unknown service "{other}" as additional contexts {key}', where
                )
            if "build" not in target:
                raise self.fail(
                    f'service "{name}" declares non-buildable service "{other}" as additional contexts {key}',
                    where,
                )
        platform = service.get("platform")
        if platform and build.get("platforms") and platform not in build["platforms"]:
            raise self.fail(f'service.build.platforms MUST include service.platform "{platform}"', path)
        known = self.document.get("secrets") or {}
        for index, secret in enumerate(build.get("secrets") or ()):
            if secret.get("source") not in known:
                raise self.undefined(
                    name, "build secret", secret.get("source"), known, (*path, "secrets", index)
                )

    def networks(self, name: str, service: Any) -> None:
        mode, networks = service.get("network_mode"), service.get("networks")
        path: Path = ("services", name)
        if mode and networks:
            raise self.fail(
                f"service {name} declares mutually exclusive `network_mode` and `networks`",
                (*path, "network_mode"),
                hint="remove one of them",
            )
        known = self.document.get("networks") or {}
        for key in networks or ():
            if key not in known:
                raise self.undefined(name, "network", key, known, (*path, "networks", key))
        if mode and mode.startswith("service:"):
            other = mode[len("service:") :]
            if other not in self.services:
                raise self.fail(
                    f"service \"{other}\" not found for network_mode 'service:{other}'",
                    (*path, "network_mode"),
                    hint=suggestion(other, self.services),
                )

    def undefined(self, name: str, kind: str, key: Any, known: Any, path: Path) -> SpecError:
        hint = suggestion(str(key), known) or f"define it under the top-level {kind.rsplit(maxsplit=1)[-1]}s:"
        return self.fail(f'service "{name}" refers to undefined {kind} {key}', path, hint=hint)

    def probe(self, name: str, service: Any) -> None:
        test = (service.get("healthcheck") or {}).get("test")
        if test and test[0] not in ("CMD", "CMD-SHELL", "NONE"):
            raise spec_error(
                'healthcheck.test must start either by "CMD", "CMD-SHELL" or "NONE"',
                self.document,
                ("services", name, "healthcheck", "test"),
                hint='put "CMD" in front',
            )

    def dependencies(self, name: str, service: Any) -> None:
        for other, dependency in (service.get("depends_on") or {}).items():
            if other in self.services or (other in self.disabled and not dependency.get("required")):
                continue
            hint = suggestion(other, self.services)
            if other in self.disabled:
                profiles = ", ".join(self.disabled[other].get("profiles") or ())
                hint = f"enable it with --profile, it belongs to {profiles}" if profiles else ""
            raise self.fail(
                f'service "{name}" depends on undefined service "{other}"',
                ("services", name, *_asked_by(service, other)),
                hint=hint,
            )

    def references(self, name: str, service: Any) -> None:
        path: Path = ("services", name)
        known = self.document.get("volumes") or {}
        for index, volume in enumerate(service.get("volumes") or ()):
            source = volume.get("source")
            if volume.get("type") == "volume" and source and source not in known:
                raise self.undefined(name, "volume", source, known, (*path, "volumes", index))
        for kind in ("configs", "secrets"):
            known = self.document.get(kind) or {}
            for index, entry in enumerate(service.get(kind) or ()):
                if entry.get("source") not in known:
                    raise self.undefined(name, kind[:-1], entry.get("source"), known, (*path, kind, index))
        known = self.document.get("models") or {}
        for key in service.get("models") or ():
            if key not in known:
                raise self.undefined(name, "model", key, known, (*path, "models", key))

    def scale(self, name: str, service: Any) -> None:
        path: Path = ("services", name)
        scale, deploy = service.get("scale"), service.get("deploy")
        replicas = deploy.get("replicas") if deploy else None
        if scale is not None and scale < 0:
            raise self.fail("must be greater than or equal to 0", (*path, "scale"))
        if replicas is not None and replicas < 0:
            raise self.fail(
                "must be greater than or equal to 0",
                (*path, "deploy", "replicas"),
            )
        if deploy is not None:
            self.distinct(name, service, deploy)
            if scale is not None:
                deploy["replicas"] = scale
        wanted = scale if scale is not None else 1 if replicas is None else replicas
        if wanted > 1 and service.get("container_name"):
            attribute = "deploy.replicas" if scale is None else "scale"
            raise self.fail(
                f"can't set container_name and {attribute} as container name must be unique",
                (*path, "container_name"),
                hint="remove container_name",
            )

    def distinct(self, name: str, service: Any, deploy: Any) -> None:
        resources = deploy.get("resources") or {}
        limits, reservations = resources.get("limits"), resources.get("reservations")
        pairs: tuple[tuple[str, str, Any, str], ...] = (
            ("scale", "deploy.replicas", deploy if "replicas" in deploy else None, "replicas"),
            ("cpus", "deploy.resources.limits.cpus", limits, "cpus"),
            ("mem_limit", "deploy.resources.limits.memory", limits, "memory"),
            ("mem_reservation", "deploy.resources.reservations.memory", reservations, "memory"),
            ("pids_limit", "deploy.resources.limits.pids", limits, "pids"),
        )
        for ours, theirs, block, key in pairs:
            value = service.get(ours)
            if value is None or block is None or (not value and ours != "scale"):
                continue
            if _figure(value) != _figure(block.get(key) or 0):
                raise self.fail(
                    f"can't set distinct values on '{ours}' and '{theirs}'",
                    ("services", name, ours),
                    hint="keep one of them",
                )

    def mounts(self, name: str, service: Any) -> None:
        taken: dict[str, str] = {}
        for kind in ("tmpfs", "volumes"):
            for index, entry in enumerate(service.get(kind) or ()):
                target = entry.partition(":")[0] if isinstance(entry, str) else entry.get("target")
                here = f"services.{name}.{kind}[{index}]"
                if target in taken:
                    raise self.fail(
                        f"target {target} already mounted as {taken[target]}",
                        ("services", name, kind, index),
                    )
                taken[target] = here

    def watch(self, name: str, service: Any) -> None:
        for index, rule in enumerate((service.get("develop") or {}).get("watch") or ()):
            if not rule.get("target") and rule.get("action") not in ("rebuild", "restart"):
                raise self.fail(
                    "target is required for non-rebuild actions",
                    ("services", name, "develop", "watch", index),
                    hint="add target:",
                )

    def names(self) -> None:
        owners: dict[str, str] = {}
        for name in sorted(self.services):
            container = self.services[name].get("container_name")
            if container and container in owners:
                raise self.fail(
                    f'container name "{container}" is already in use by service "{owners[container]}"',
                    ("services", name, "container_name"),
                )
            if container:
                owners[container] = name

    def cycle(self) -> None:
        done: set[str] = set()
        for start in sorted(self.services):
            trail: list[str] = []
            stack = [(start, iter(sorted(self.services[start].get("depends_on") or ())))]
            if start in done:
                continue
            trail.append(start)
            while stack:
                name, others = stack[-1]
                for other in others:
                    if other in trail:
                        loop = [*trail[trail.index(other) :], other]
                        raise spec_error(
                            f"dependency cycle detected: {' -> '.join(loop)}",
                            self.document,
                            ("services", name, "depends_on", other),
                            hint="remove one of these dependencies",
                        )
                    if other in self.services and other not in done:
                        trail.append(other)
                        further = self.services[other].get("depends_on") or ()
                        stack.append((other, iter(sorted(further))))
                        break
                else:
                    done.add(name)
                    trail.pop()
                    stack.pop()


def _figure(value: Any) -> float:
    return float(value)
