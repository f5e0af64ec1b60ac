"""What is looked at before anything is changed: images, files, ports, attributes nobody can carry out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from composer.controller import plan as ops
from composer.controller.connections import published_ports
from composer.controller.containers import KNOWN_LOG_DRIVERS, image_mounts_label
from composer.controller.divergence import ServiceFacts, files_hash
from composer.controller.image_source import built_from, image_name
from composer.controller.mounts import check_sources, written_files
from composer.controller.reconcile import selected_services
from composer.controller.world import new_id
from composer.engine import ContainerConfig, Process
from composer.errors import ComposerError, ConflictError, ImageError, unknown_service
from composer.events import Event
from composer.images.platforms import normalise, parse_platform, rank

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from composer.controller.image_source import ImageSource
    from composer.controller.observe import Observed
    from composer.controller.options import UpOptions
    from composer.controller.plan import Plan
    from composer.engine import ContainerState, Engine
    from composer.events import Report
    from composer.graph import Graph
    from composer.images.store import Image
    from composer.spec.model import Project, Service


def chosen_services(project: Project, graph: Graph, options: UpOptions) -> tuple[str, ...]:
    """The services in question, dependencies first.

    Raises:
        NotFoundError: A service does not exist, or a bind source of one does not.
    """
    order = graph.sorted(selected_services(project, graph, options.services, no_deps=options.no_deps))
    for name in options.scale:
        if name not in project.services:
            raise unknown_service(name, project.services)
    for name in order:
        check_sources(project, project.services[name])
    return order


def refuse_unsupported(project: Project) -> None:
    """Refuse by name what this engine cannot do; the table of the loader says what.

    Raises:
        UnsupportedError: An attribute is not supported.
    """
    from composer.spec.attributes import unsupported

    for error in unsupported(project):
        raise error


def warn(project: Project, services: Iterable[str], report: Report) -> None:
    """Mention what is done otherwise than the file says, and what does nothing here."""
    from composer.spec.attributes import ignored

    chosen = set(services)
    for name, path, reason in ignored(project):
        if name in chosen:
            report(Event("warning", name, service=name, text=f"{path}: {reason}"))
    for name in chosen:
        service = project.services[name]
        if service.logging is not None and service.logging.driver not in KNOWN_LOG_DRIVERS:
            text = (
                f'service "{name}": log driver {service.logging.driver} is not supported, json-file is used'
            )
            report(Event("warning", name, service=name, text=text))


# Images


def _mounted_name(project: Project, source: str) -> str:
    service = project.services.get(source)
    return image_name(project, service) if service is not None else source


async def present_images(
    images: ImageSource, project: Project, services: Iterable[str]
) -> dict[str, Image | None]:
    """By name: the images of *services* and of their image mounts, as far as they are on this machine.

    Raises:
        ImageError: A name is not one of an image.
    """
    paths: dict[str, str] = {}
    for key in services:
        service = project.services[key]
        paths.setdefault(image_name(project, service), f"services.{key}.image")
        for needed in built_from(service):
            if needed in project.services:
                paths.setdefault(image_name(project, project.services[needed]), f"services.{needed}.image")
        for position, mount in enumerate(service.volumes):
            if mount.type == "image":
                name = _mounted_name(project, mount.source)
                paths.setdefault(name, f"services.{key}.volumes[{position}]")
    found = {}
    for name, path in paths.items():
        try:
            found[name] = await images.find(name)
        except ImageError as error:
            error.path = error.path or path
            error.where = error.where or project.locate(path)
            raise
    return found


def check_platforms(project: Project, services: Iterable[str], present: Mapping[str, Image | None]) -> None:
    """Make sure that what is on this machine is for the platforms that *services* ask for.

    Raises:
        ImageError: An image is for another one.
    """
    for key in services:
        service = project.services[key]
        name = image_name(project, service)
        image = present.get(name)
        if not service.platform or image is None or not image.config.architecture:
            continue
        path = f"services.{key}.platform"
        config = image.config
        try:
            wanted = parse_platform(service.platform)
        except ImageError as error:
            error.where, error.path = project.locate(path), path
            raise
        actual = normalise(config.os, config.architecture, config.variant)
        if rank(actual, wanted) is None:
            raise ImageError(
                f"{name} is on this machine for {actual}, not for {wanted}",
                hint="pull or build it for that platform, or remove platform:",
                where=project.locate(path),
                path=path,
            )


def by_service(project: Project, present: Mapping[str, Image | None]) -> dict[str, Image]:
    """The image of each service that has one."""
    found = {}
    for name, service in project.services.items():
        if (image := present.get(image_name(project, service))) is not None:
            found[name] = image
    return found


def by_mount(project: Project, present: Mapping[str, Image | None]) -> dict[str, Image]:
    """The image of each source of an image mount."""
    found = {}
    for service in project.services.values():
        for mount in service.volumes:
            if mount.type == "image":
                image = present.get(_mounted_name(project, mount.source))
                if image is not None:
                    found[mount.source] = image
    return found


def facts_of(
    project: Project, services: Iterable[str], present: Mapping[str, Image | None]
) -> dict[str, ServiceFacts]:
    """What reconciling must know of images and files.

    Raises:
        SpecError: A config or secret cannot be read.
    """
    facts = {}
    mounted = by_mount(project, present)
    for name in services:
        service = project.services[name]
        image = present.get(image_name(project, service))
        facts[name] = ServiceFacts(
            image_id=image.id if image else "",
            image_mounts=image_mounts_label(service, mounted),
            files_hash=files_hash(written_files(project, service)),
        )
    return facts


async def other_containers(engine: Engine, services: Iterable[Service]) -> dict[str, ContainerState]:
    """Containers of the whole machine by name, only when a service refers to one of them."""
    for service in services:
        modes = (service.network_mode, service.ipc, service.pid, *service.volumes_from)
        if service.external_links or any(value.startswith("container:") for value in modes):
            return {state.name: state for state in await engine.containers()}
    return {}


# Ports


async def check_ports(engine: Engine, project: Project, plan: Plan, observed: Observed) -> None:
    """One clear error before anything starts; ports of containers that the plan stops count as free.

    Raises:
        ConflictError: Two containers want one port, or somebody else has it.
    """
    leaving = {operation.container for operation in plan if isinstance(operation, ops.StopContainer)}
    freed = {
        (port.host_port, port.protocol)
        for container in observed.containers
        if container.id in leaving
        for port in container.ports
    }
    wanted: dict[tuple[str, int, str], str] = {}
    configs = []
    for operation in plan:
        if not isinstance(operation, ops.CreateContainer):
            continue
        ports = []
        for port in published_ports(project.services[operation.service]):
            if not port.host_port or port.host_port_end:
                continue
            key = (port.host_ip, port.host_port, port.protocol)
            if key in wanted:
                raise ConflictError(
                    f"{operation.name} and {wanted[key]} both want host port {port.host_port}",
                    hint="give them different ports, or a range, or none",
                    where=project.locate(port.path),
                    path=port.path,
                )
            wanted[key] = operation.name
            if (port.host_port, port.protocol) not in freed:
                ports.append(port)
        if ports:
            process = Process(args=("true",))
            config = ContainerConfig(
                id=operation.replaces or new_id(), name=operation.name, process=process, ports=tuple(ports)
            )
            configs.append(config)
    if not configs:
        return
    try:
        await engine.check_ports(configs)
    except ComposerError as error:
        error.where = error.where or project.locate(error.path)
        raise
