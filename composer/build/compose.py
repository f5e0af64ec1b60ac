"""The `build:` section of a Compose service -> `BuildRequest`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from composer.build.options import parse_ssh, split_fields
from composer.build.request import BuildRequest, SecretSource
from composer.errors import SpecError

if TYPE_CHECKING:
    from composer.spec.model import Project, Service
    from composer.spec.parts import Build

_RESERVED = "com.docker.compose"


def request_for(project: Project, service: Service) -> BuildRequest:
    """What building *service* means.

    Raises:
        SpecError: It has no `build:`, or a secret that the project does not define.
    """
    section = service.build
    path = f"services.{service.name}.build"
    if section is None:
        raise SpecError(f"service {service.name!r} has no build section", path=path)
    image = image_of(project, service)
    network = section.network if section.network not in ("", "default") else ""
    return BuildRequest(
        context=section.context,
        dockerfile=section.dockerfile,
        dockerfile_inline=section.dockerfile_inline,
        tags=tuple(dict.fromkeys((image, *section.tags))),
        name=image,
        service=service.name,
        args={name: value for name, value in section.args.items() if value is not None},
        labels={
            **section.labels,
            f"{_RESERVED}.project": project.name,
            f"{_RESERVED}.service": service.name,
        },
        target=section.target,
        no_cache=section.no_cache,
        no_cache_filter=section.no_cache_filter,
        pull=section.pull,
        contexts=_contexts(project, section),
        secrets=_secrets(project, section, path),
        ssh=dict(parse_ssh(text, project.environment) for text in section.ssh),
        network=network,
        extra_hosts=section.extra_hosts,
        shm_size=section.shm_size,
        ulimits={name: (limit.soft, limit.hard) for name, limit in section.ulimits.items()},
        privileged=section.privileged,
        allow=frozenset(section.entitlements),
        platforms=section.platforms if not service.platform else (service.platform,),
        cache_from=tuple(_absolute(project, text) for text in section.cache_from),
        cache_to=tuple(_absolute(project, text) for text in section.cache_to),
        source_date_epoch=_epoch(project),
    )


def image_of(project: Project, service: Service) -> str:
    """The name that a service's image gets."""
    return service.image or f"{project.name}-{service.name}"


def needed_services(service: Service) -> list[str]:
    """Services whose images this one's build reads (`additional_contexts: x: service:NAME`)."""
    section = service.build
    if section is None:
        return []
    return [
        value.removeprefix("service:")
        for value in section.additional_contexts.values()
        if value.startswith("service:")
    ]


def _contexts(project: Project, section: Build) -> dict[str, str]:
    result = {}
    for name, value in section.additional_contexts.items():
        if value.startswith("service:"):
            other = value.removeprefix("service:")
            known = project.services.get(other) or project.disabled_services.get(other)
            result[name] = (
                f"docker-image://{image_of(project, known) if known else f'{project.name}-{other}'}"
            )
        else:
            result[name] = value
    return result


def _secrets(project: Project, section: Build, path: str) -> dict[str, SecretSource]:
    result = {}
    for reference in section.secrets:
        secret = project.secrets.get(reference.source)
        if secret is None:
            raise SpecError(
                f"secret {reference.source!r} is not defined at the top level", path=f"{path}.secrets"
            )
        name = reference.target or reference.source
        if secret.content is not None:
            result[name] = SecretSource(value=secret.content)
        elif secret.environment:
            result[name] = SecretSource(value=project.environment.get(secret.environment, ""))
        else:
            result[name] = SecretSource(file=secret.file)
    return result


def _absolute(project: Project, text: str) -> str:
    """Paths in `type=local,src=DIR` are relative to the project."""
    fields = []
    for key, value in split_fields(text):
        if key in ("src", "dest") and value:
            fields.append(f"{key}={os.path.join(project.working_dir, value)}")
        else:
            fields.append(key if value is None else f"{key}={value}")
    return ",".join(fields)


def _epoch(project: Project) -> int | None:
    text = project.environment.get("SOURCE_DATE_EPOCH", "")
    return int(text) if text.isdigit() and len(text) < 13 else None
