"""`load`: from files on disk to one project."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from composer.errors import Location, SpecError
from composer.spec import discover, dotenv
from composer.spec import normalize as normalization
from composer.spec.consistency import check_consistency
from composer.spec.document import canonical_document
from composer.spec.pipeline import Options, Scope, Source, load_model
from composer.spec.resolve import VALUE
from composer.spec.select import (
    drop_unused,
    enable,
    select,
    split_by_profiles,
)
from composer.spec.tree import Map, Place, like, locations, nearest, place_of, spec_error
from composer.spec.warn import Warnings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from composer.spec.model import Project


class LoadedProject:
    """A project as its files say it, before it becomes typed.

    Attributes:
        name: Project name.
        document: The canonical document of the active services.
        disabled: Canonical services that no profile or selection includes, by key.
        model: The model before conversion, for `config --no-interpolate`.
        warnings: Sentences for the user.
        working_dir: Absolute project directory.
        config_files: Absolute paths, in order; `-` is standard input.
        env_files: Absolute paths given with --env-file.
        environment: The project environment.
        profiles: Active profiles.
    """

    __slots__ = (
        "_locations",
        "config_files",
        "disabled",
        "document",
        "env_files",
        "environment",
        "model",
        "name",
        "profiles",
        "warnings",
        "working_dir",
    )

    def __init__(self, name: str, document: Any, disabled: dict[str, Any], model: Any) -> None:
        self.name = name
        self.document = document
        self.disabled = disabled
        self.model = model
        self.warnings: tuple[str, ...] = ()
        self.working_dir = "/"
        self.config_files: tuple[str, ...] = ()
        self.env_files: tuple[str, ...] = ()
        self.environment: dict[str, str] = {}
        self.profiles: tuple[str, ...] = ()
        self._locations: dict[str, Place] | None = None

    @property
    def locations(self) -> dict[str, Place]:
        """YAML path to (file, line, column)."""
        if self._locations is None:
            self._locations = locations(self.document)
        return self._locations

    @property
    def service_names(self) -> tuple[str, ...]:
        """Active services, sorted."""
        return tuple(sorted(self.document.get("services") or {}))

    def locate(self, path: str) -> Location | None:
        """See `Project.locate`."""
        place = nearest(self.locations, path)
        return None if place is None else Location(*place)

    def project(self) -> Project:
        """The typed project."""
        from composer.spec.model import Project

        return Project.from_canonical(
            self.document,
            disabled=self.disabled,
            locations=self.locations,
            working_dir=self.working_dir,
            config_files=self.config_files,
            env_files=self.env_files,
            environment=self.environment,
            profiles=self.profiles,
        )


def load(
    files: Sequence[str] = (),
    *,
    working_dir: str = "",
    environ: Mapping[str, str] | None = None,
    project_name: str = "",
    project_directory: str = "",
    profiles: Sequence[str] = (),
    env_files: Sequence[str] = (),
    services: Sequence[str] = (),
    interpolate: bool = True,
    normalize: bool = True,
    resolve_paths: bool = True,
    consistency: bool = True,
    resolve_environment: bool = True,
    all_resources: bool = False,
) -> LoadedProject:
    """Read Compose files.

    Args:
        files: Compose files; none: `COMPOSE_FILE`, else the default names here and above.
        working_dir: The directory the command was given in; empty: the process's.
        environ: The environment; None: the process's.
        project_name: `--project-name`.
        project_directory: `--project-directory`.
        profiles: `--profile`; none: `COMPOSE_PROFILES`.
        env_files: `--env-file`.
        services: Keep these and what they depend on; their profiles are activated.
        interpolate: Replace variables.
        normalize: Add default networks, implied dependencies and real names.
        resolve_paths: Make paths absolute.
        consistency: Check what needs several elements at once.
        resolve_environment: Fold env files and label files into `environment` and `labels`.
        all_resources: Keep networks, volumes, configs and secrets that no service uses.

    Raises:
        SpecError: Something is wrong; `where` points at the place.
    """
    warnings = Warnings()
    environ = os.environ if environ is None else environ
    working_dir = working_dir or os.getcwd()
    try:
        found = discover.discover(
            files,
            working_dir=working_dir,
            environ=environ,
            project_directory=project_directory,
            env_files=env_files,
            warnings=warnings,
        )
        sources = [
            Source("<stdin>" if path == "-" else path, discover.read_file(path)) for path in found.files
        ]
        written = [source.documents for source in sources]
        name = discover.project_name(project_name, written, found, interpolate=interpolate, warnings=warnings)
        given = bool(project_name or found.environment.get("COMPOSE_PROJECT_NAME"))
        found.environment["COMPOSE_PROJECT_NAME"] = name
        options = Options(
            interpolate, resolve_paths, environ.get("HOME") or os.path.expanduser("~"), warnings, []
        )
        scope = Scope(found.directory, found.directory, found.environment)
        model = load_model(sources, scope, options)
        if not model:
            raise _empty(sources[-1].path)
        if normalize:
            normalization.normalize(model, name, found.environment)
        active = _profiles(profiles, found.environment)
        if interpolate:
            document, disabled = _complete(
                model,
                name,
                found,
                active,
                services,
                warnings,
                consistency=consistency,
                resolve_environment=resolve_environment,
            )
            if not all_resources:
                drop_unused(document)
            if not normalize and not given and isinstance(model.get("name"), str):
                document["name"] = model["name"]
        else:
            document, disabled = _uninterpolated(model, name), {}
    except SpecError as error:
        if error.where is not None:
            error.where = error.where.seen_from(working_dir)
        raise
    loaded = LoadedProject(name, document, disabled, model)
    loaded.warnings = tuple(warnings.messages)
    loaded.working_dir = found.directory
    loaded.config_files = found.files
    loaded.env_files = found.env_files
    loaded.environment = found.environment
    loaded.profiles = tuple(active)
    return loaded


def _empty(path: str) -> SpecError:
    return SpecError("empty compose file", where=Location(path, 1), hint="add services:")


def _complete(
    model: Any,
    name: str,
    found: discover.Found,
    active: list[str],
    services: Sequence[str],
    warnings: Warnings,
    *,
    consistency: bool,
    resolve_environment: bool,
) -> tuple[Any, dict[str, Any]]:
    """The canonical document of the active services, and the others; *active* grows by their profiles."""
    document = canonical_document(model, name)
    document.setdefault("services", Map())
    disabled = split_by_profiles(document, active)
    if consistency:
        check_consistency(document, disabled)
    active += enable(document, disabled, services)
    if services:
        select(document, disabled, services)
    for key, service in document["services"].items():
        if resolve_environment:
            _resolve_variables(document, key, service, found, warnings)
        _resolve_labels(document, key, service, found, warnings)
    return document, disabled


def _uninterpolated(model: Any, name: str) -> Any:
    """The model as it is: with variables in place numbers and sizes cannot be read yet."""
    document = like(model)
    document["name"] = name
    for key, value in model.items():
        if key in ("configs", "secrets"):
            document.put(key, _without_values(value), place_of(model, key))
        elif key != "name":
            document.put(key, value, place_of(model, key))
    document.setdefault("services", Map())
    return document


def _without_values(entries: Any) -> Any:
    """Configs or secrets without what the environment holds."""
    if not isinstance(entries, dict):
        return entries
    return {
        name: {key: value for key, value in entry.items() if key != VALUE}
        if isinstance(entry, dict)
        else entry
        for name, entry in entries.items()
    }


def _profiles(given: Sequence[str], environment: Mapping[str, str]) -> list[str]:
    if given:
        return list(given)
    names = environment.get("COMPOSE_PROFILES", "").split(",")
    return [name.strip() for name in names if name.strip()]


def _resolve_variables(
    document: Any, key: str, service: Any, found: discover.Found, warnings: Warnings
) -> None:
    """Fold env files into `environment`."""
    environment = found.environment
    own = service.get("environment")
    env_files = service.pop("env_file", None) or ()
    if own or env_files:
        resolved = Map() if own is None else like(own)
        for name, value in (own or {}).items():
            resolved.put(name, environment.get(name) if value is None else value, place_of(own, name))
        values: dict[str, Any] = {}
        for index, entry in enumerate(env_files):
            path: Any = ("services", key, "env_file", index)
            values.update(_env_file(entry, found, resolved, warnings, document, path))
        for name, value in values.items():
            if name not in resolved:
                resolved[name] = value
        if resolved:
            service["environment"] = resolved


def _resolve_labels(document: Any, key: str, service: Any, found: discover.Found, warnings: Warnings) -> None:
    """Fold label files into `labels`."""
    if label_files := service.pop("label_file", None):
        labels: dict[str, str] = {}
        for index, name in enumerate(label_files):
            file = os.path.join(found.directory, name)
            _readable(file, "label file", document, ("services", key, "label_file", index))
            labels.update(dotenv.parse(dotenv.read(file), labels.get, file=file, missing=warnings.unset))
        labels.update(service.get("labels") or {})
        service["labels"] = labels


def _env_file(
    entry: Any, found: discover.Found, own: Any, warnings: Warnings, document: Any, path: Any
) -> dict[str, str]:
    file = os.path.join(found.directory, entry.get("path", ""))
    if not os.path.exists(file) and not entry.get("required", True):
        return {}
    _readable(file, "env file", document, path)

    def lookup(name: str) -> str | None:
        value = found.environment.get(name)
        return own.get(name) if value is None else value

    kind = entry.get("format", "")
    if kind == "raw":
        return dotenv.parse_raw(dotenv.read(file), lookup, file=file)
    if kind:
        raise spec_error(
            f"unsupported env_file format {kind!r}", document, path, hint="use raw, or no format"
        )
    return dotenv.parse(dotenv.read(file), lookup, file=file, missing=warnings.unset)


def _readable(file: str, kind: str, document: Any, path: Any) -> None:
    if not os.path.exists(file):
        raise spec_error(
            f"{kind} {file} not found: stat {file}: no such file or directory",
            document,
            path,
            hint="create it, or set required: false" if kind == "env file" else "create it",
        )
    if os.path.isdir(file):
        raise spec_error(f"{kind} {file} is a directory", document, path)
