"""Which project a command means: its name without parsing YAML where that is safe, or all of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from composer.errors import NotFoundError, SpecError, unknown_service

if TYPE_CHECKING:
    from collections.abc import Sequence

    from composer.cli.context import Context
    from composer.cli.snapshot import Container
    from composer.spec import LoadedProject

FILES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_xX0123456789-.")
_NAME_START = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_NAME = _NAME_START | frozenset("_-")


def valid_name(name: str) -> bool:
    """Whether *name* may be a project's name: `[a-z0-9][a-z0-9_-]*`."""
    return bool(name) and name[0] in _NAME_START and all(letter in _NAME for letter in name)


def normalise(name: str) -> str:
    """Lower case, other characters dropped, leading `_-` stripped: `My.App_1` becomes `myapp_1`."""
    return "".join(letter for letter in name.lower() if letter in _NAME).lstrip("_-")


def find_name(context: Context) -> str:
    """The project's name, by `-p`, `COMPOSE_PROJECT_NAME`, `name:` or the directory.

    YAML is parsed only when the quick look (see `quick_name`) cannot be sure.

    Raises:
        SpecError: The name is not allowed, or there is no Compose file.
    """
    options = context.options
    given = options.project_name or context.environ.get("COMPOSE_PROJECT_NAME", "")
    if given:
        if not valid_name(given):
            raise SpecError(
                f"invalid project name {given!r}",
                hint="use lower case letters, digits, _ and -, starting with a letter or digit",
            )
        return given
    return quick_name(context) or load(context, ()).name


def quick_name(context: Context) -> str:
    """The name when it can be told from the top level of the Compose files' text, else an empty string.

    Safe because a key of the top-level block mapping starts in the first column, and nothing else but
    comments and document marks does; whatever looks different (flow style, quoted keys, merge keys,
    variables) is left to the loader, and so are `.env` files that set `COMPOSE_` variables.
    """
    options = context.options
    if options.env_files or "COMPOSE_ENV_FILES" in context.environ or "COMPOSE_FILE" in context.environ:
        return ""
    files = [os.path.join(context.cwd, file) for file in options.files if file != "-"]
    if len(files) != len(options.files):
        return ""
    if not files:
        files = _discover(context.cwd)
        if not files:
            return ""
    directory = os.path.join(context.cwd, options.project_directory) if options.project_directory else ""
    directory = directory or os.path.dirname(files[0])
    if any(_sets_compose(os.path.join(place, ".env")) for place in {context.cwd, directory}):
        return ""
    name = os.path.basename(os.path.abspath(directory))
    for file in files:
        found = _top_level_name(file)
        if found is None:
            return ""
        name = found or name
    name = normalise(name)
    return name if valid_name(name) else ""


def _discover(directory: str) -> list[str]:
    """The Compose file of *directory* or the nearest parent, and its override."""
    place = os.path.abspath(directory)
    while True:
        names = set(os.listdir(place))
        if hits := [name for name in FILES if name in names]:
            if len(hits) > 1:
                return []
            override = [name for name in OVERRIDES if name in names]
            return [os.path.join(place, name) for name in (hits[0], *override[:1])]
        parent = os.path.dirname(place)
        if parent == place:
            return []
        place = parent


def _sets_compose(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return b"COMPOSE_" in file.read()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


def _top_level_name(path: str) -> str | None:
    """The plain value of `name:` in *path*, an empty string when it has none, None when in doubt."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError):
        return None
    found = ""
    for line in text.splitlines():
        if not line or line[0] in " #" or line.startswith("---"):
            continue
        key, colon, value = line.partition(":")
        if not colon or not all(letter in _PLAIN for letter in key.rstrip()):
            return None
        if key.rstrip() != "name":
            continue
        value = value.partition(" #")[0].strip()
        if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        # What YAML could read as a number, a boolean or an alias, or Compose as a variable: the loader's.
        if not value or not all(letter in _PLAIN for letter in value) or not value[0].isalpha():
            return None
        if value.lower() in ("true", "false", "null", "yes", "no", "on", "off", "y", "n"):
            return None
        found = value
    return found


def load(
    context: Context, services: Sequence[str] = (), *, locked: bool = True, **more: Any
) -> LoadedProject:
    """Read the Compose files; print their warnings.

    Args:
        context: Options, environment.
        services: Named services; their profiles are activated.
        locked: Put in the digests that `compose.lock` beside the first file names.
        more: Handed on to `composer.spec.load`.

    Raises:
        SpecError: A file is wrong, or there is none.
    """
    from composer import spec

    options = context.options
    loaded = spec.load(
        options.files,
        working_dir=context.cwd,
        environ=context.environ,
        project_name=options.project_name,
        project_directory=options.project_directory,
        profiles=options.profiles,
        env_files=options.env_files,
        services=tuple(services),
        all_resources=options.all_resources,
        **more,
    )
    for warning in loaded.warnings:
        context.warn(str(warning))
    if locked and loaded.config_files:
        lock = os.path.join(os.path.dirname(loaded.config_files[0]), "compose.lock")
        if os.path.exists(lock):
            from pathlib import Path

            from composer.images.lockfile import apply_lock, read_lock

            every = {**loaded.document.get("services", {}), **loaded.disabled}
            apply_lock(every, read_lock(Path(lock)))
    return loaded


def select(context: Context, services: Sequence[str], *, oneoff: bool = True) -> list[Container]:
    """The project's containers, of the named services.

    Raises:
        NotFoundError: A name is neither the service of a container nor one in the Compose files.
    """
    from composer.cli.snapshot import containers, of_services

    found = [
        container
        for container in containers(context.paths, context.project_name)
        if oneoff or not container.oneoff
    ]
    check_services(context, services, found)
    return of_services(found, services)


def check_services(context: Context, services: Sequence[str], found: Sequence[Container]) -> None:
    """See that each name is a service, looking into the Compose files only when no container has it.

    Raises:
        NotFoundError: One is not.
    """
    known = {container.service for container in found}
    unknown = [name for name in services if name not in known]
    if not unknown:
        return
    from contextlib import suppress

    with suppress(SpecError):
        loaded = load(context, ())
        known.update(loaded.service_names, loaded.disabled)
    _refuse_unknown(unknown, known)


def check_declared(loaded: LoadedProject, services: Sequence[str]) -> None:
    """See that each name is a service of the Compose files.

    Raises:
        NotFoundError: One is not.
    """
    _refuse_unknown(services, set(loaded.service_names))


def _refuse_unknown(names: Sequence[str], known: set[str]) -> None:
    for name in names:
        if name not in known:
            raise unknown_service(name, known)


def one_container(context: Context, service: str, index: int = 0) -> Container:
    """The running container of *service* that exec, attach, cp and port mean: number *index*, or the first.

    Raises:
        NotFoundError: There is no such service, or it does not run.
    """
    found = [container for container in select(context, [service]) if not container.oneoff]
    found.sort(key=lambda container: container.number)
    if index:
        for container in found:
            if container.number == index and container.alive:
                return container
        raise NotFoundError(f"service {service!r} has no running container with number {index}")
    for container in found:
        if container.status in ("running", "paused"):
            return container
    raise NotFoundError(
        f'service "{service}" is not running', hint=f"start it with: composer up -d {service}"
    )
