"""Named and anonymous volumes: one directory each, with their configuration beside their data.

    volumes/<name>/config.json   what was asked for
    volumes/<name>/_data         what containers see

Options are those of Docker's local driver: `type`, `device` and `o` as in mount(8). A bind (`o: bind`) is
its device; any other type is mounted on `_data` when it is first used and unmounted when it is removed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from composer.engine import VolumeConfig, VolumeState
from composer.errors import ConflictError, EngineError, NotFoundError, UnsupportedError
from composer.state.files import locked, read_json, write_json
from composer.values import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from composer.state.paths import Paths

_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
_MAX_NAME = 255


class VolumeManager:
    """The volumes of one installation."""

    def __init__(self, paths: Paths) -> None:
        self._root = paths.volumes

    def create(self, config: VolumeConfig) -> VolumeState:
        """Make a volume, or return the one that exists with the same driver and options.

        Raises:
            UnsupportedError: The driver is not `local`.
            ConflictError: It exists with another driver or other options.
            EngineError: The name is not a volume name, or the file system it names cannot be mounted.
        """
        _check_name(config.name)
        if config.driver not in ("", "local"):
            raise UnsupportedError(
                f"volume {config.name}: there is no volume driver {config.driver!r}",
                hint="use the local driver; its options mount nfs, cifs and other file systems",
            )
        directory = self._root / config.name
        with self._lock():
            existing = self._read(config.name)
            if existing is not None:
                if dict(existing.config.options) != dict(config.options):
                    raise ConflictError(f"volume {config.name} exists with other driver options")
                return existing
            data = directory / "_data"
            data.mkdir(parents=True, exist_ok=True)
            data.chmod(0o755)
            made = replace(config, created=config.created or time.time())
            write_json(directory / "config.json", to_json(made), durable=True)
        return VolumeState(made, self._mountpoint(made))

    def list(self, project: str | None = None) -> Sequence[VolumeState]:
        """All volumes (of *project*), by name."""
        if not self._root.is_dir():
            return ()
        names = sorted(entry.name for entry in os.scandir(self._root) if entry.is_dir())
        found = [state for name in names if (state := self._read(name)) is not None]
        return [state for state in found if project is None or state.config.project == project]

    def get(self, name: str) -> VolumeState:
        """One volume.

        Raises:
            NotFoundError: There is none of this name.
        """
        _check_name(name)
        state = self._read(name)
        if state is None:
            raise NotFoundError(f"no such volume: {name}")
        return state

    def activate(self, name: str) -> str:
        """Make the volume ready for a container and return the directory to mount.

        Raises:
            NotFoundError: There is none of this name.
            EngineError: mount(8) failed.
        """
        state = self.get(name)
        options = state.config.options
        kind = options.get("type", "")
        if kind and not _is_bind(state.config) and not os.path.ismount(state.mountpoint):
            with self._lock():
                if not os.path.ismount(state.mountpoint):
                    _mount(state)
        elif _is_bind(state.config) and not os.path.exists(state.mountpoint):
            raise EngineError(f"volume {name}: {state.mountpoint} does not exist")
        return state.mountpoint

    def remove(self, name: str) -> None:
        """Remove a volume with all it holds; what an `o: bind` volume points at is left alone.

        Raises:
            NotFoundError: There is none of this name.
            EngineError: It cannot be unmounted.
        """
        state = self.get(name)
        with self._lock():
            if not _is_bind(state.config) and os.path.ismount(state.mountpoint):
                _run(["umount", state.mountpoint], f"volume {name} cannot be unmounted")
            # Renaming first makes the removal one step for everybody else.
            grave = self._root / f".removed-{name}-{time.time_ns()}"
            (self._root / name).rename(grave)
        shutil.rmtree(grave, ignore_errors=True)

    def _lock(self) -> AbstractContextManager[int]:
        return locked(self._root / ".lock")

    def _read(self, name: str) -> VolumeState | None:
        if name.startswith("."):
            return None
        data = read_json(self._root / name / "config.json")
        if data is None:
            return None
        config = from_json(VolumeConfig, data)
        return VolumeState(config, self._mountpoint(config))

    def _mountpoint(self, config: VolumeConfig) -> str:
        if _is_bind(config):
            return config.options["device"]
        return str(self._root / config.name / "_data")


def _check_name(name: str) -> None:
    if not name or len(name) > _MAX_NAME or name[0] in ".-_" or not _NAME_CHARACTERS.issuperset(name):
        raise EngineError(
            f"{name!r} is not a volume name",
            hint="use letters, digits and _.- and start with a letter or digit",
        )


def _is_bind(config: VolumeConfig) -> bool:
    words = config.options.get("o", "").split(",")
    return bool(config.options.get("device")) and ("bind" in words or "rbind" in words)


def _mount(state: VolumeState) -> None:
    options = state.config.options
    command = ["mount", "-t", options["type"]]
    if options.get("o"):
        command += ["-o", options["o"]]
    command += [options.get("device") or options["type"], str(Path(state.mountpoint))]
    _run(command, f"volume {state.config.name} cannot be mounted")


def _run(command: list[str], failure: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UnsupportedError(f"{failure}: {command[0]} is not installed") from error
    if done.returncode:
        raise EngineError(f"{failure}: {done.stderr.strip() or f'exit code {done.returncode}'}")
