"""The mounts of a container: volumes, tmpfs, configs, secrets, `volumes_from`, and the image's volumes.

One mount per target; what a service says itself wins over `volumes_from`, and both win over the image.
"""

from __future__ import annotations

import base64
import os.path
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from composer.engine import Mount, VolumeConfig
from composer.errors import NotFoundError, SpecError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from composer.engine import ContainerState
    from composer.images.store import Image
    from composer.spec.model import FileObject, FileReference, Project, Service
    from composer.spec.model import Mount as ServiceMount


@dataclass(slots=True)
class Mounts:
    """The result: mounts, parents first, and the anonymous volumes that must be made for them."""

    mounts: tuple[Mount, ...] = ()
    anonymous: list[VolumeConfig] = field(default_factory=list)


def build_mounts(
    project: Project,
    service: Service,
    *,
    image_volumes: Iterable[str],
    mounted_images: Mapping[str, Image],
    shared: Sequence[tuple[ContainerState, bool]],
    inherited: Mapping[str, str],
    new_volume: Callable[[], str],
) -> Mounts:
    """All mounts of one container.

    Args:
        project: The project.
        service: Its service.
        image_volumes: VOLUMEs of its image.
        mounted_images: Images by the source of `type: image` entries.
        shared: Containers of `volumes_from`, each with whether read-only.
        inherited: Anonymous volumes by target, of the container that is replaced.
        new_volume: Makes a name for an anonymous volume.

    Raises:
        SpecError: A config or secret is not defined, has no value, or its file is missing.
        UnsupportedError: A kind of mount that this engine does not have.
    """
    result = Mounts()
    found: dict[str, Mount] = {}

    def anonymous(target: str, path: str, options: Mapping[str, str] | None = None) -> Mount:
        name = inherited.get(target) or new_volume()
        result.anonymous.append(
            VolumeConfig(name=name, project=project.name, anonymous=True, labels=options or {})
        )
        return Mount("volume", target, source=name, path=path)

    for container, read_only in shared:
        for mount in container.config.mounts:
            if mount.type in ("bind", "volume"):
                found[mount.target] = replace(mount, read_only=mount.read_only or read_only, no_copy=True)
    for position, entry in enumerate(service.volumes):
        path = f"services.{service.name}.volumes[{position}]"
        target = _normal(entry.target)
        if entry.type == "volume" and not entry.source:
            options = entry.volume.labels if entry.volume else None
            found[target] = replace(
                anonymous(target, path, options),
                read_only=entry.read_only,
                no_copy=bool(entry.volume and entry.volume.nocopy),
            )
        else:
            found[target] = _mount(project, entry, target, path, mounted_images)
    for position, text in enumerate(service.tmpfs):
        written, _, words = text.partition(":")
        target = _normal(written)
        found[target] = Mount(
            "tmpfs",
            target,
            options=tuple(option for option in words.split(",") if option),
            path=f"services.{service.name}.tmpfs[{position}]",
        )
    for mount in file_mounts(project, service):
        found[mount.target] = mount
    for volume in image_volumes:
        target = os.path.normpath(volume)
        if target not in found:
            found[target] = anonymous(target, "")
    result.mounts = tuple(sorted(found.values(), key=lambda mount: mount.target.rstrip("/").count("/")))
    return result


def inherited_volumes(container: ContainerState | None, anonymous: Collection[str]) -> dict[str, str]:
    """The anonymous volumes of a container that is about to be replaced, by target."""
    if container is None:
        return {}
    return {
        mount.target: mount.source
        for mount in container.config.mounts
        if mount.type == "volume" and mount.source in anonymous
    }


def _normal(target: str) -> str:
    path = os.path.normpath(target)
    return path[1:] if path.startswith("//") else path  # POSIX lets two slashes mean something else


def _mount(
    project: Project,
    entry: ServiceMount,
    target: str,
    path: str,
    mounted_images: Mapping[str, Image],
) -> Mount:
    if entry.type == "bind":
        bind = entry.bind
        return Mount(
            "bind",
            target,
            source=entry.source,
            read_only=entry.read_only,
            propagation=(bind.propagation if bind else "") or "rprivate",
            recursive=not (bind and bind.recursive == "disabled"),
            create_source=bool(bind and bind.create_host_path),
            path=path,
        )
    if entry.type == "volume":
        options = entry.volume
        volume = project.volumes.get(entry.source)
        return Mount(
            "volume",
            target,
            source=volume.name if volume else entry.source,
            read_only=entry.read_only,
            no_copy=bool(options and (options.nocopy or options.subpath)),
            subpath=options.subpath if options else "",
            path=path,
        )
    if entry.type == "tmpfs":
        words = []
        if entry.tmpfs and entry.tmpfs.size:
            words.append(f"size={entry.tmpfs.size}")
        if entry.tmpfs and entry.tmpfs.mode is not None:
            words.append(f"mode={entry.tmpfs.mode:o}")
        return Mount("tmpfs", target, read_only=entry.read_only, options=tuple(words), path=path)
    if entry.type == "image":
        return Mount(
            "image",
            target,
            source=entry.source,
            read_only=True,
            subpath=entry.image.subpath if entry.image else "",
            layers=mounted_images[entry.source].layer_dirs,
            path=path,
        )
    raise UnsupportedError(
        f"mounts of type {entry.type} do not exist on Linux", where=project.locate(path), path=path
    )


# Configs and secrets


def file_mounts(project: Project, service: Service) -> Iterator[Mount]:
    """Configs, then secrets, as mounts; a file without owner or mode is bound, so that edits are seen."""
    for kind, references, objects, directory in (
        ("config", service.configs, project.configs, "/"),
        ("secret", service.secrets, project.secrets, "/run/secrets"),
    ):
        for position, reference in enumerate(references):
            path = f"services.{service.name}.{kind}s[{position}]"
            if reference.source not in objects:
                raise SpecError(
                    f'service "{service.name}" refers to undefined {kind} {reference.source}',
                    where=project.locate(path),
                    path=path,
                )
            target = os.path.normpath(os.path.join(directory, reference.target or reference.source))
            yield _file_mount(project, kind, objects[reference.source], reference, target, path)


def _file_mount(
    project: Project, kind: str, item: FileObject, reference: FileReference, target: str, path: str
) -> Mount:
    key_path = f"{kind}s.{reference.source}"
    where = project.locate(key_path)
    if item.external or item.driver or item.template_driver:
        raise UnsupportedError(
            f"{kind} {reference.source} is external or has a driver, which needs a cluster",
            hint=f"give the {kind} a `file` or `environment`",
            where=where,
            path=key_path,
        )
    if item.file and not (reference.uid or reference.gid or reference.mode is not None):
        if not os.path.exists(item.file):
            raise _missing(kind, reference.source, item.file, project)
        return Mount("bind", target, source=item.file, read_only=True, path=path)
    data = file_content(project, kind, item, reference.source)
    return Mount(
        "content",
        target,
        read_only=True,
        content=base64.b64encode(data).decode(),
        uid=_number(reference.uid, f"{path}.uid", project),
        gid=_number(reference.gid, f"{path}.gid", project),
        mode=0o444 if reference.mode is None else reference.mode,
        path=path,
    )


def file_content(project: Project, kind: str, item: FileObject, key: str) -> bytes:
    """What a config or secret holds.

    Raises:
        SpecError: Its file cannot be read, or its variable is not set.
    """
    if item.file:
        try:
            with open(item.file, "rb") as file:
                return file.read()
        except OSError as error:
            raise _missing(kind, key, item.file, project, error.strerror or "") from error
    if item.content is not None:
        return item.content.encode()
    if item.environment and (value := project.environment.get(item.environment)) is not None:
        return value.encode()
    raise SpecError(
        f'environment variable "{item.environment}" required by {kind} "{key}" is not set',
        hint="set it, or put it into the .env file",
        where=project.locate(f"{kind}s.{key}"),
        path=f"{kind}s.{key}.environment",
    )


def written_files(project: Project, service: Service) -> dict[str, bytes]:
    """By target: the configs and secrets that are written into the container when it is made."""
    return {
        mount.target: base64.b64decode(mount.content)
        for mount in file_mounts(project, service)
        if mount.type == "content"
    }


def check_sources(project: Project, service: Service) -> None:
    """Make sure that every bind source that is not created on demand exists.

    Raises:
        NotFoundError: One does not.
    """
    for position, entry in enumerate(service.volumes):
        if entry.type != "bind" or (entry.bind and entry.bind.create_host_path):
            continue
        if not os.path.lexists(entry.source):
            path = f"services.{service.name}.volumes[{position}]"
            raise NotFoundError(
                f"bind source path does not exist: {entry.source}",
                hint="create it, or set bind.create_host_path: true",
                where=project.locate(path),
                path=path,
            )


def _missing(kind: str, key: str, file: str, project: Project, why: str = "no such file") -> SpecError:
    return SpecError(
        f"cannot read {kind} {key} from {file}: {why}",
        where=project.locate(f"{kind}s.{key}.file"),
        path=f"{kind}s.{key}.file",
    )


def _number(text: str, path: str, project: Project) -> int:
    if not text:
        return 0
    if not text.isdecimal():
        raise SpecError(f"{text!r} is not a numeric id", where=project.locate(path), path=path)
    return int(text)
