"""Container directories: what was asked for, what is, and who has which name. Reading needs no agent.

root/containers/ID/   config.json upper/ work/ content/ hosts hostname resolv.conf container.log state.json
root/names/NAME       a link to ID: a name is taken by making it
run/containers/ID/    state.json shim.sock    gone after a reboot
    run/rootfs/           where every container attaches its root, each in its own mount namespace
"""

from __future__ import annotations

import base64
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

from composer.engine import ContainerConfig, ContainerState, Endpoint, PublishedPort
from composer.errors import ConflictError, EngineError, NotFoundError
from composer.namespaces.shim.state import ACTIVE, start_time
from composer.state.files import read_json, spread, write_json
from composer.values import from_json, to_json

if TYPE_CHECKING:
    from pathlib import Path

    from composer.state.paths import Paths

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*\Z")
_ID = re.compile(r"[0-9a-f]{64}\Z")
KILLED = 137
SHIM_KILLED = "its shim was killed"
_LOST = 255


class ContainerStore:
    """Everything about containers that is on disk.

    Args:
        paths: Where this installation lives.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._configs: dict[str, tuple[tuple[int, int], ContainerConfig]] = {}
        for folder in (paths.root / "containers", paths.root / "names", paths.run / "containers"):
            if not folder.is_dir():
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                spread(folder)
        (paths.root / "empty").mkdir(exist_ok=True)
        (paths.run / "rootfs").mkdir(exist_ok=True, mode=0o700)

    def create(self, config: ContainerConfig) -> None:
        """Take the name and make the directory.

        Raises:
            ConflictError: The name is taken.
            EngineError: The name or the id cannot be one.
        """
        if not _ID.match(config.id):
            raise EngineError(f"container id {config.id!r} is not 64 hex digits")
        self._take(config.name, config.id)
        directory = self._paths.container(config.id)
        try:
            self.make_directories(config)
            path = directory / "config.json"
            write_json(path, to_json(config), mode=0o600)
            self._configs[config.id] = (_version(os.stat(path)), config)
        except FileNotFoundError as error:
            self.remove(config.id, config.name)
            raise EngineError(
                f"image layer {error.filename} is missing", hint="pull or import the image again"
            ) from error
        except BaseException:
            self.remove(config.id, config.name)
            raise

    def make_directories(self, config: ContainerConfig) -> None:
        """The container's directory with an empty writable layer; its root looks like the image's."""
        directory = self._paths.container(config.id)
        directory.mkdir(mode=0o700)
        upper = directory / "upper"
        upper.mkdir(mode=0o755)
        (directory / "work").mkdir(mode=0o700)
        if config.layers:
            top = os.stat(config.layers[-1])
            os.chown(upper, top.st_uid, top.st_gid)
            os.chmod(upper, top.st_mode & 0o7777)
        self._write_content(config, directory)

    def _write_content(self, config: ContainerConfig, directory: Path) -> None:
        for index, mount in enumerate(config.mounts):
            if mount.type != "content":
                continue
            folder = directory / "content"
            folder.mkdir(exist_ok=True, mode=0o700)
            path = folder / str(index)
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(base64.b64decode(mount.content))
            os.chown(path, mount.uid, mount.gid)
            os.chmod(path, mount.mode)

    def _take(self, name: str, container_id: str) -> None:
        if not _NAME.match(name) or len(name) > 253:
            raise EngineError(
                f"container name {name!r} is not valid", hint="use letters, digits, '_', '.' and '-'"
            )
        link = self._paths.root / "names" / name
        try:
            os.symlink(container_id, link)
        except FileExistsError:
            holder = os.readlink(link)
            if self._paths.container(holder).joinpath("config.json").exists():
                raise ConflictError(
                    f"container name {name} is already in use by container {holder[:12]}",
                    hint=f"remove it, or choose another container_name than {name}",
                ) from None
            # Whoever took the name died before the container existed.
            os.unlink(link)
            os.symlink(container_id, link)

    def rename(self, container_id: str, name: str) -> ContainerConfig:
        """Give a container another name; returns the new configuration.

        Raises:
            ConflictError: The name is taken.
            NotFoundError: No such container.
        """
        import dataclasses

        config = self.config(container_id)
        if config.name == name:
            return config
        self._take(name, container_id)
        renamed = dataclasses.replace(config, name=name)
        write_json(self._paths.container(container_id) / "config.json", to_json(renamed), mode=0o600)
        (self._paths.root / "names" / config.name).unlink(missing_ok=True)
        return renamed

    def ids(self) -> list[str]:
        """Every container on this machine."""
        return [name for name in os.listdir(self._paths.root / "containers") if _ID.match(name)]

    def config(self, container_id: str) -> ContainerConfig:
        """What a container was made from.

        Raises:
            NotFoundError: No such container.
        """
        path = self._paths.container(container_id) / "config.json"
        try:
            status = os.stat(path)
        except FileNotFoundError:
            raise NotFoundError(f"no such container: {container_id[:12]}") from None
        version = _version(status)
        cached = self._configs.get(container_id)
        if cached and cached[0] == version:
            return cached[1]
        data = read_json(path)
        if data is None:
            raise NotFoundError(f"no such container: {container_id[:12]}")
        config = from_json(ContainerConfig, data)
        self._configs[container_id] = (version, config)
        return config

    def state(self, container_id: str) -> ContainerState:
        """A container as it is now.

        Raises:
            NotFoundError: No such container.
        """
        config = self.config(container_id)
        values = self.raw_state(container_id)
        if values is None:
            return ContainerState(container_id, config.name, "created", config)
        return state_from(values, config)

    def raw_state(self, container_id: str) -> dict[str, Any] | None:
        """The state file of a container, corrected for a shim that is gone; None when it never ran."""
        directory = self._paths.container(container_id)
        path = self._paths.container_run(container_id) / "state.json"
        values: dict[str, Any] | None = read_json(path)
        if values is not None and values["status"] in ACTIVE and not shim_alive(values):
            values = read_json(path)  # its last word may have come between the reading and the look
        if values is not None:
            if values["status"] in ACTIVE and not shim_alive(values):
                values = {**values, "status": "exited", "pid": 0, "health": "none", "exit_code": KILLED}
                values["error"] = values["error"] or SHIM_KILLED
            return values
        values = read_json(directory / "state.json")
        # With a run directory it is just being started: its shim opens the log before it writes a state.
        if values is None and (directory / "container.log").exists() and not path.parent.is_dir():
            return {
                "id": container_id,
                "name": self.config(container_id).name,
                "status": "exited",
                "exit_code": _LOST,
                "error": "the machine was restarted while it ran",
            }
        return values

    def states(self, project: str | None = None) -> list[ContainerState]:
        """All containers (of *project*); what is half made or half removed is left out."""
        found = []
        for container_id in self.ids():
            try:
                if project is None or self.config(container_id).project == project:
                    found.append(self.state(container_id))
            except NotFoundError:
                continue
        return found

    def write_stopped(self, container_id: str, **changes: Any) -> None:
        """Record something about a container that has no shim."""
        values = self.raw_state(container_id)
        if values is None:
            return
        values.update(changes)
        write_json(self._paths.container(container_id) / "state.json", values)
        run = self._paths.container_run(container_id)
        if run.is_dir():
            write_json(run / "state.json", values)

    def prepare_run(self, container_id: str) -> None:
        """Make the run directory."""
        self._paths.container_run(container_id).mkdir(mode=0o700, exist_ok=True)

    def remove(self, container_id: str, name: str) -> None:
        """Remove the directories and give the name back. May take long when much was written."""
        shutil.rmtree(self._paths.container_run(container_id), ignore_errors=True)
        shutil.rmtree(self._paths.container(container_id), ignore_errors=True)
        link = self._paths.root / "names" / name
        try:
            if os.readlink(link) == container_id:
                os.unlink(link)
        except OSError:
            return
        finally:
            self._configs.pop(container_id, None)


def _version(status: os.stat_result) -> tuple[int, int]:
    """Two writes within a tick of the clock share a time; what replaced a file is a new inode."""
    return status.st_mtime_ns, status.st_ino


def shim_alive(values: dict[str, Any]) -> bool:
    """Whether the shim that wrote a state file still runs: pid and start time name one process."""
    shim = values.get("shim") or {}
    return bool(shim) and start_time(shim["pid"]) == shim["start"]


def state_from(values: dict[str, Any], config: ContainerConfig) -> ContainerState:
    """A state file's values as `ContainerState`."""
    special = ("shim", "name", "endpoints", "ports")
    return ContainerState(
        name=config.name,
        config=config,
        endpoints=tuple(from_json(Endpoint, entry) for entry in values.get("endpoints", ())),
        ports=tuple(from_json(PublishedPort, entry) for entry in values.get("ports", ())),
        **{key: item for key, item in values.items() if key not in special},
    )
