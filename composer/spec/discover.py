"""Which files, which directory, which environment, which name: what is settled before anything is merged."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from composer.errors import Location, SpecError
from composer.spec import dotenv
from composer.spec.reader import MAX_BYTES, Document, read_documents
from composer.spec.template import TemplateError, substitute

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from composer.spec.warn import Warnings

FILES: Final = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
OVERRIDES: Final = (
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
)
_TRUE: Final = frozenset(("1", "t", "T", "true", "TRUE", "True"))


class Found(NamedTuple):
    """What a load starts from.

    Attributes:
        files: Absolute paths of the Compose files, `-` for standard input.
        directory: The project directory.
        environment: Process environment over env files.
        env_files: Absolute paths given with --env-file or COMPOSE_ENV_FILES.
    """

    files: tuple[str, ...]
    directory: str
    environment: dict[str, str]
    env_files: tuple[str, ...]


def discover(
    files: Sequence[str],
    *,
    working_dir: str,
    environ: Mapping[str, str],
    project_directory: str = "",
    env_files: Sequence[str] = (),
    warnings: Warnings,
) -> Found:
    """Find files, directory and environment.

    Args:
        files: `-f` options.
        working_dir: The directory the command was given in.
        environ: The process environment.
        project_directory: `--project-directory`.
        env_files: `--env-file` options.
        warnings: Told when several default files exist.

    Raises:
        SpecError: There is no Compose file, or an env file is missing or malformed.
    """
    environment = dict(environ)
    environment.setdefault("PWD", working_dir)
    paths = [_absolute(path, working_dir) for path in files]
    directory = _absolute(project_directory, working_dir) if project_directory else ""
    given = list(env_files) or [name for name in environ.get("COMPOSE_ENV_FILES", "").split(",") if name]
    given = [_absolute(path, working_dir) for path in given]
    dotenv_wanted = not given and environ.get("COMPOSE_DISABLE_ENV_FILE", "") not in _TRUE
    _merge_env(environment, given, warnings)
    if dotenv_wanted:
        _merge_env(environment, _dotenv(_directory(paths, directory) or working_dir), warnings)
    if not paths and (names := environment.get("COMPOSE_FILE")):
        separator = environment.get("COMPOSE_PATH_SEPARATOR") or ":"
        paths = [_absolute(path, working_dir) for path in names.split(separator) if path]
    if not paths:
        paths = _default_files(directory or working_dir, warnings)
    found = _directory(paths, directory) or working_dir
    if dotenv_wanted:
        _merge_env(environment, _dotenv(found), warnings)
    return Found(tuple(paths), found, environment, tuple(given))


def _absolute(path: str, directory: str) -> str:
    return path if path == "-" else os.path.normpath(os.path.join(directory, path))


def _directory(paths: Sequence[str], directory: str) -> str:
    if directory:
        return directory
    return next((os.path.dirname(path) for path in paths if path != "-"), "")


def _dotenv(directory: str) -> list[str]:
    path = os.path.join(directory, ".env")
    return [path] if os.path.isfile(path) else []


def _merge_env(environment: dict[str, str], paths: Sequence[str], warnings: Warnings) -> None:
    for key, value in read_env_files(environment, paths, warnings).items():
        environment.setdefault(key, value)


def read_env_files(
    environment: Mapping[str, str], paths: Sequence[str], warnings: Warnings
) -> dict[str, str]:
    """The keys of env files; later files win, *environment* is looked up first.

    Raises:
        SpecError: One is missing or malformed.
    """
    values: dict[str, str] = {}

    def lookup(name: str) -> str | None:
        found = environment.get(name)
        return values.get(name) if found is None else found

    for path in paths:
        if not os.path.exists(path):
            raise SpecError(f"couldn't find env file: {path}", hint="check --env-file")
        if os.path.isdir(path):
            raise SpecError(f"{path} is a directory, not an env file")
        values.update(dotenv.parse(dotenv.read(path), lookup, file=path, missing=warnings.unset))
    return values


def _default_files(directory: str, warnings: Warnings) -> list[str]:
    place = directory
    while True:
        names = [name for name in FILES if os.path.isfile(os.path.join(place, name))]
        if names:
            break
        parent = os.path.dirname(place)
        if parent == place:
            raise SpecError(
                "no configuration file provided: not found",
                hint=f"create {FILES[0]} here, or name a file with -f",
            )
        place = parent
    if len(names) > 1:
        shown = ", ".join(os.path.join(place, name) for name in names)
        warnings.add(f"Found multiple config files with supported names: {shown}")
        warnings.add(f"Using {os.path.join(place, names[0])}")
    files = [os.path.join(place, names[0])]
    overrides = [name for name in OVERRIDES if os.path.isfile(os.path.join(place, name))]
    if len(overrides) > 1:
        shown = ", ".join(os.path.join(place, name) for name in overrides)
        warnings.add(f"Found multiple override files with supported names: {shown}")
    return files + [os.path.join(place, name) for name in overrides[:1]]


def read_file(path: str, *, named_by: str = "-f and COMPOSE_FILE") -> list[Document]:
    """The documents of a Compose file; `-` is standard input.

    Args:
        path: Where it is.
        named_by: What to check when it is not there.

    Raises:
        SpecError: It cannot be read, or is not YAML.
    """
    try:
        if path == "-":
            data = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with open(path, "rb") as file:
                data = file.read(MAX_BYTES + 1)
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise SpecError(f"open {path}: {reason}", hint=f"check {named_by}") from None
    name = "<stdin>" if path == "-" else path
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            text = data.decode("utf-16", "replace")
        else:
            line = data.count(b"\n", 0, error.start) + 1
            raise SpecError("not UTF-8 text", where=Location(name, line)) from None
    return read_documents(text, name)


def project_name(
    explicit: str,
    documents: Sequence[Sequence[Document]],
    found: Found,
    *,
    interpolate: bool,
    warnings: Warnings,
) -> str:
    """The project's name: `-p`, `COMPOSE_PROJECT_NAME`, `name:` of the last file, the directory.

    Raises:
        SpecError: It is not a valid name, or nothing is left of it.
    """
    wanted = explicit or found.environment.get("COMPOSE_PROJECT_NAME", "")
    if wanted:
        if normal_name(wanted) != wanted:
            raise SpecError(
                f'invalid project name "{wanted}": must consist only of lowercase alphanumeric characters, '
                "hyphens, and underscores as well as start with a letter or number",
                hint=f"did you mean {normal_name(wanted)}?" if normal_name(wanted) else "",
            )
        return wanted
    written = ""
    for file in documents:
        for document in file:
            name: Any = document.root.get("name") if isinstance(document.root, dict) else None
            if isinstance(name, str) and name:
                written = name
    if interpolate and "$" in written:
        try:
            written = substitute(written, found.environment.get, warnings.unset)
        except TemplateError as error:
            raise SpecError(f"error while interpolating name: {error}", path="name") from None
    return normal_name(written) or normal_name(os.path.basename(found.directory)) or _no_name()


def _no_name() -> str:
    raise SpecError("project name must not be empty", hint="give one with -p or name:")


def normal_name(name: str) -> str:
    """*name* as a project name: lower case, other characters dropped."""
    return re.sub(r"[^-_a-z0-9]", "", name.lower()).lstrip("_-")
