"""`run`: a service altered for one container and one command; compose-reference.md section 8.9. Pure."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING

from composer.controller.containers import Identity
from composer.controller.world import new_id
from composer.spec.decode import build
from composer.spec.model import Mount, Port

if TYPE_CHECKING:
    from composer.controller.options import RunOptions
    from composer.spec.model import Project, Service


def run_identity(project: Project, options: RunOptions) -> Identity:
    """`<project>-<service>-run-<12 hex>`, or the name that was given."""
    slug = secrets.token_hex(32)
    name = options.name or f"{project.name}-{options.service}-run-{slug[:12]}"
    return Identity(id=new_id(), name=name, slug=slug)


def run_service(project: Project, options: RunOptions) -> Service:
    """The service as the one container has it: no restart, no ports unless asked for, the options on top."""
    service = project.services[options.service]
    entrypoint, command = service.entrypoint, service.command
    if options.entrypoint is not None:
        entrypoint, command = options.entrypoint, ()
    if options.command is not None:
        command = options.command
    environment = dict(service.environment)
    for entry in options.environment:
        key, equals, value = entry.partition("=")
        environment[key] = value if equals else None
    added = tuple(build(Mount, entry) for entry in options.volumes)
    targets = {mount.target for mount in added}
    ports = tuple(build(Port, entry) for entry in options.ports)
    return replace(
        service,
        entrypoint=entrypoint,
        command=command,
        environment=environment,
        user=options.user or service.user,
        working_dir=options.working_dir or service.working_dir,
        labels={**service.labels, **options.labels},
        volumes=(*(mount for mount in service.volumes if mount.target not in targets), *added),
        ports=(*(service.ports if options.service_ports else ()), *ports),
        cap_add=(*service.cap_add, *options.cap_add),
        cap_drop=(*service.cap_drop, *options.cap_drop),
        tty=options.tty,
        stdin_open=options.stdin_open,
        restart="no",
        deploy=replace(service.deploy, restart_policy=None) if service.deploy is not None else None,
        container_name="",
        networks=dict(service.networks),
    )
