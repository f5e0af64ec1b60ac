"""What the controller asks about images, and the pure plan that makes them available."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from composer.controller.plan import BuildImage, Operation, Plan, PullImage
from composer.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

    from composer.controller.options import BuildPolicy, PullPolicy
    from composer.events import Report
    from composer.images.store import Image
    from composer.spec.model import Project, Service


class ImageSource(Protocol):
    """Where images come from; `composer.app` makes one of store, registry client and builder."""

    def using(self) -> AbstractAsyncContextManager[Callable[[], None]]:
        """Nobody removes the layers of what `find` returns inside; containers refer to theirs themselves.

        Gives what ends it early, when all containers are made.
        """
        ...

    async def find(self, name: str) -> Image | None:
        """The image of this name or id on this machine, or None."""
        ...

    async def pull(self, name: str, *, platform: str, report: Report) -> Image:
        """Download it.

        Raises:
            RegistryError: It is not there, or cannot be reached.
        """
        ...

    async def build(self, project: Project, service: Service, *, report: Report) -> Image:
        """Build it from a service's `build`, and give it the service's name.

        Raises:
            BuildError: A step failed.
        """
        ...

    async def remove(self, name: str) -> None:
        """Remove the name, and the image with its last name.

        Raises:
            ConflictError: A container uses it.
            NotFoundError: There is no such image.
        """
        ...


def image_name(project: Project, service: Service) -> str:
    """The name of a service's image: its own, or `<project>-<service>`."""
    return service.image or f"{project.name}-{service.name}"


def plan_images(
    project: Project,
    services: Iterable[str],
    present: Mapping[str, Image | None],
    *,
    pull: PullPolicy = "",
    build: BuildPolicy = "missing",
    now: float = 0.0,
) -> Plan:
    """What must be pulled or built before containers of *services* can be made.

    Args:
        project: The project.
        services: Names of the services.
        present: By image name: what is on this machine.
        pull: Instead of each service's `pull_policy`.
        build: When to build services that have `build`.
        now: Seconds since the epoch, for the policies that pull again after some time.

    Raises:
        ImageError: An image is missing, and may be neither pulled nor built.
    """
    operations: dict[str, Operation] = {}
    chosen = _with_build_contexts(project, services)
    for name in chosen:
        service = project.services[name]
        wanted = image_name(project, service)
        policy = pull or service.pull_policy or "missing"
        found = present.get(wanted)
        if service.build is not None:
            _plan_built(operations, service, wanted, policy, build, found, project)
        elif (builder := _builder(project, wanted)) is None:
            _plan_pulled(operations, service, wanted, policy, found, now, project)
        elif found is None and builder.name not in chosen:
            # An image that the project builds is never pulled, even if its builder is not to run.
            _plan_built(operations, builder, wanted, "build", build, found, project)
        for mount in service.volumes:
            if mount.type == "image" and mount.source not in project.services:
                _plan_pulled(
                    operations,
                    service,
                    mount.source,
                    pull or "missing",
                    present.get(mount.source),
                    now,
                    project,
                )
    return Plan(project.name, tuple(operations.values()))


def built_from(service: Service) -> list[str]:
    """The services whose images the build of *service* reads (`additional_contexts: service:x`)."""
    if service.build is None or not service.build.additional_contexts:
        return []
    from composer.build.compose import needed_services

    return needed_services(service)


def _builder(project: Project, image: str) -> Service | None:
    """The service whose `build` makes *image*; others name it without a `build` of their own."""
    return next(
        (
            service
            for service in project.services.values()
            if service.build is not None and image_name(project, service) == image
        ),
        None,
    )


def _with_build_contexts(project: Project, services: Iterable[str]) -> list[str]:
    """*services*, each after those whose images its build reads."""
    ordered: dict[str, None] = {}

    def add(name: str, path: tuple[str, ...]) -> None:
        for needed in built_from(project.services[name]):
            if needed in project.services and needed not in path:
                add(needed, (*path, needed))
        ordered[name] = None

    for name in services:
        if name not in ordered:
            add(name, (name,))
    return list(ordered)


def _plan_built(
    operations: dict[str, Operation],
    service: Service,
    name: str,
    policy: str,
    build: BuildPolicy,
    found: Image | None,
    project: Project,
) -> None:
    always = build == "always" or (policy == "build" and build != "never")
    if not always and found is not None and policy != "always":
        return
    after: tuple[str, ...] = ()
    reason = "asked for" if always else "it is not on this machine"
    if not always and service.image and policy not in ("never", "build"):
        pull = PullImage(
            key=f"pull {name}",
            name=name,
            service=service.name,
            optional=build != "never",
            reason="pull_policy: always" if found else reason,
        )
        operations[pull.key] = pull
        after = (pull.key,)
        if found is not None:
            return
    if build == "never":
        if not after:
            raise ImageError(
                f"no such image: {name}",
                hint="build it, without --no-build",
                where=project.locate(f"services.{service.name}.build"),
                path=f"services.{service.name}.build",
            )
        return
    contexts = [
        f"build {image_name(project, project.services[needed])}"
        for needed in built_from(service)
        if needed in project.services
    ]
    after = (*after, *(key for key in contexts if key in operations))
    operations[f"build {name}"] = BuildImage(
        key=f"build {name}", name=name, service=service.name, after=after, reason=reason
    )


def _plan_pulled(
    operations: dict[str, Operation],
    service: Service,
    name: str,
    policy: str,
    found: Image | None,
    now: float,
    project: Project,
) -> None:
    reason = ""
    if found is None:
        reason = "it is not on this machine"
        if policy in ("never", "build"):
            raise ImageError(
                f"no such image: {name}",
                hint="its pull_policy forbids to pull it; pull or load it by hand",
                where=project.locate(f"services.{service.name}.image"),
                path=f"services.{service.name}.image",
            )
    elif policy == "always":
        reason = "pull policy: always"
    elif (age := _max_age(policy)) is not None and now - max(found.updated.values(), default=0) > age:
        reason = f"pull_policy: {policy}"
    if reason:
        operations[f"pull {name}"] = PullImage(
            key=f"pull {name}", name=name, service=service.name, reason=reason
        )


def _max_age(policy: str) -> float | None:
    """Seconds after which an image is pulled again: daily, weekly, `every_12h`; None: never."""
    match policy:
        case "daily":
            return 86400.0
        case "weekly":
            return 7 * 86400.0
    if match := re.fullmatch(r"every_(.+)", policy):
        from composer.spec.units import parse_duration

        return parse_duration(match[1]) / 1e9
    return None
