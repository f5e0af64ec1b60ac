"""The pipeline from files to one model: read, interpolate, include, extend, merge, validate, complete."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from composer.errors import Location, SpecError
from composer.spec import canonical, resolve
from composer.spec.discover import read_env_files, read_file
from composer.spec.extends import apply_extends
from composer.spec.interpolate import interpolate
from composer.spec.merge import enforce_unicity, merge
from composer.spec.tree import Map, Path, place_of, spec_error
from composer.spec.validate import validate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from composer.spec.reader import Document
    from composer.spec.warn import Warnings

_KINDS = ("services", "volumes", "networks", "secrets", "configs", "models")
_MAX_INCLUDES = 1000


class Options(NamedTuple):
    """How files are loaded.

    Attributes:
        interpolate: Replace variables.
        resolve_paths: Make paths absolute.
        home: The home directory for `~`.
        warnings: Collects warnings.
        budget: One entry per file that was included, to bound a chain.
    """

    interpolate: bool
    resolve_paths: bool
    home: str
    warnings: Warnings
    budget: list[str]


class Source(NamedTuple):
    """A Compose file that was read."""

    path: str
    documents: Sequence[Document]


class Scope(NamedTuple):
    """Where the files of one project (the main one or an included one) live.

    Attributes:
        directory: Relative paths are made to start from here; relative itself for an included project.
        base: Directory that names of further files (include, extends) start from.
        environment: For variables.
        included: Files that are being included, outermost first.
    """

    directory: str
    base: str
    environment: Mapping[str, str]
    included: tuple[str, ...] = ()


def load_model(sources: Sequence[Source], scope: Scope, options: Options) -> Map:
    """The complete model of *sources*, merged in order.

    Raises:
        SpecError: Something in them is wrong.
    """
    model = Map()
    for source in sources:
        model = merge_file(model, source, scope, options)
    canonical.set_defaults(model)
    resolve.check_fields(model)
    if options.resolve_paths:
        resolve.resolve_paths(model, scope.directory, options.home)
    resolve.resolve_environment(model, scope.environment)
    return model


def merge_file(model: Map, source: Source, scope: Scope, options: Options) -> Map:
    """Each document of *source* over *model*."""
    for document in source.documents:
        if document.root is None:
            continue
        config = prepare(document, source.path, scope, options)
        included = (*scope.included, source.path)
        _include(config, scope._replace(included=included), options, document.resets)
        apply_resets(model, document.resets)
        apply_extends(config, source.path, scope, options, document.resets)
        model = merge(model, config)
        if model.place is None:
            model.place = config.place
        enforce_unicity(model)
        validate(model)
        if "version" in model:
            options.warnings.add(
                f"{source.path}: the attribute `version` is obsolete, it will be ignored, "
                "please remove it to avoid potential confusion"
            )
            del model["version"]
        canonical.Canonical(model, options.warnings, lenient=not options.interpolate).run()
        canonical.drop_empty_dns(model)
        enforce_unicity(model)
    return model


def prepare(document: Document, path: str, scope: Scope, options: Options) -> Map:
    """One document with its variables replaced.

    Raises:
        SpecError: It is not a mapping, or a variable is wrong.
    """
    config = document.root
    if not isinstance(config, Map):
        place = getattr(config, "place", None)
        where = Location(*place) if place else Location(path, 1)
        raise SpecError("top-level object must be a mapping", where=where, hint="start with services:")
    if options.interpolate:
        interpolate(config, scope.environment.get, options.warnings)
    return config


def apply_resets(tree: Any, resets: Sequence[Path]) -> None:
    """Delete what `!reset` and `!override` tags name."""
    for path in resets:
        holder = tree
        for part in path[:-1]:
            if isinstance(holder, dict):
                holder = holder.get(part)
            elif isinstance(holder, list) and isinstance(part, int) and part < len(holder):
                holder = holder[part]
            else:
                holder = None
        if isinstance(holder, dict) and path and path[-1] in holder:
            del holder[path[-1]]


def _include(config: Map, scope: Scope, options: Options, resets: Sequence[Path]) -> None:
    entries = config.pop("include", None)
    if entries is None:
        return
    if not isinstance(entries, list):
        raise spec_error("include must be a list", config, ("include",), hint="write - other.yaml")
    for index, entry in enumerate(entries):
        place = place_of(entries, index)
        try:
            imported = _load_included(entry, scope, options)
        except SpecError as error:
            if error.where is None and place is not None:
                error.where = Location(*place)
                error.path = error.path or f"include[{index}]"
            raise
        _import(imported, config, resets)


def _texts(value: Any, name: str) -> list[str]:
    items = value if isinstance(value, list) else [] if value is None else [value]
    for item in items:
        if not isinstance(item, str):
            raise SpecError(f"include.{name} must be a string or a list of strings")
    return items


def _load_included(entry: Any, scope: Scope, options: Options) -> Map:
    config = {"path": entry} if isinstance(entry, str) else entry
    if not isinstance(config, dict) or not (names := _texts(config.get("path"), "path")):
        raise SpecError("an include needs a path", hint="write - other.yaml, or path: other.yaml")
    if unknown := set(config) - {"path", "project_directory", "env_file"}:
        raise SpecError(f"include: additional properties {min(unknown)!r} not allowed")
    options.budget.append(names[0])
    if len(options.budget) > _MAX_INCLUDES:
        raise SpecError(
            f"more than {_MAX_INCLUDES} includes", hint="an include may include itself in a circle"
        )
    paths = [os.path.normpath(os.path.join(scope.base, _user(name, options.home))) for name in names]
    for name in names:
        _refuse_remote(name)
    directory = config.get("project_directory")
    if not directory:
        directory = os.path.dirname(paths[0])
        relative = _relative(directory, scope.base)
    elif os.path.isabs(directory):
        relative = directory
    else:
        directory = os.path.normpath(os.path.join(scope.base, directory))
        relative = _relative(directory, scope.base)
    if paths[0] in scope.included:
        chain = "\n include ".join([*scope.included[1:], paths[0]])
        raise SpecError(
            f"include cycle detected:\n{scope.included[0]}\n include {chain}",
            hint="remove one of the includes",
        )
    environment = dict(scope.environment)
    env_files = _env_files(config, directory, scope.base)
    for key, value in read_env_files(environment, env_files, options.warnings).items():
        environment.setdefault(key, value)
    inner = Scope(
        _directory(relative, scope, options),
        directory,
        environment,
        scope.included,
    )
    sources = [Source(path, read_file(path, named_by="the path")) for path in paths]
    return load_model(sources, inner, options._replace(resolve_paths=True))


def _directory(relative: str, scope: Scope, options: Options) -> str:
    """Where an included project's paths start from: relative as long as the including one's are."""
    if not options.resolve_paths or not os.path.isabs(scope.directory):
        return relative
    return os.path.normpath(os.path.join(scope.directory, relative))


def _refuse_remote(name: str) -> None:
    if name.startswith(("oci://", "git@", "git://", "ssh://", "https://", "http://", "github.com/")):
        raise SpecError(f"remote Compose files are not supported: {name}", hint="copy the file here")


def _user(name: str, home: str) -> str:
    return home + name[1:] if name.startswith("~/") else name


def _relative(directory: str, base: str) -> str:
    return os.path.relpath(directory, base)


def _env_files(config: Any, directory: str, base: str) -> list[str]:
    names = _texts(config.get("env_file"), "env_file")
    if not names:
        default = os.path.join(directory, ".env")
        return [default] if os.path.isfile(default) else []
    return [os.path.normpath(os.path.join(base, name)) for name in names if name != "/dev/null"]


def _import(imported: Map, config: Map, resets: Sequence[Path]) -> None:
    for kind in _KINDS:
        entries = imported.get(kind)
        if not entries:
            continue
        ours = config.get(kind)
        if ours is None:
            ours = Map(getattr(entries, "place", None))
            config.put(kind, ours, place_of(imported, kind))
        if not isinstance(ours, dict):
            raise spec_error(f"{kind} must be a mapping", config, (kind,))
        for name, entry in entries.items():
            if name not in ours:
                ours[name] = entry
                if isinstance(ours, Map) and (place := place_of(entries, name)):
                    ours.places[name] = place
                continue
            holder = {kind: {name: entry}}
            apply_resets(holder, resets)
            merged = merge(holder[kind].get(name), ours[name], (kind, name))
            ours[name] = merged
