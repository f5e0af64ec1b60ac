"""Where everything lives: the lasting root, the run directory, and the names below them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Paths(NamedTuple):
    """The two roots of one installation.

    `root` lasts (images, volumes, container directories, logs); `run` is gone after a reboot (sockets,
    process ids, mount points), and then every container is known as exited.
    """

    root: Path
    run: Path

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Paths:
        """`COMPOSER_HOME` if set (`lib` and `run` below it), else the system's or the user's directories."""
        env = os.environ if environ is None else environ
        if home := env.get("COMPOSER_HOME"):
            base = Path(home).absolute()
            return cls(base / "lib", base / "run")
        if os.geteuid() == 0:
            return cls(Path("/var/lib/composer"), Path("/run/composer"))
        data = env.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
        run = env.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
        return cls(Path(data) / "composer", Path(run) / "composer")

    @property
    def suffix(self) -> str:
        """What keeps machine-wide names (nft table, cgroup root) of another `COMPOSER_HOME` apart."""
        if self.root == Path("/var/lib/composer"):
            return ""
        import hashlib  # 5 ms that `ps` does not need

        return "-" + hashlib.sha256(str(self.root).encode()).hexdigest()[:6]

    @property
    def database(self) -> Path:
        """SQLite file with images, networks, volumes and address leases."""
        return self.root / "composer.db"

    @property
    def layers(self) -> Path:
        """Unpacked image layers, one directory per chain ID."""
        return self.root / "layers"

    @property
    def blobs(self) -> Path:
        """Content-addressed blobs (`sha256/<hex>`): manifests, image configs, kept layer archives."""
        return self.root / "blobs"

    @property
    def volumes(self) -> Path:
        """Named and anonymous volumes, `<name>/_data` each."""
        return self.root / "volumes"

    def container(self, container_id: str) -> Path:
        """The lasting directory of a container: config.json, upper, work, log, generated files."""
        return self.root.joinpath("containers", container_id)

    def container_run(self, container_id: str) -> Path:
        """The run directory of a container: state.json, shim.sock, rootfs mount point."""
        return self.run.joinpath("containers", container_id)

    def project(self, name: str) -> Path:
        """The lasting directory of a project: last applied document, event log, agent log."""
        return self.root.joinpath("projects", name)

    def project_run(self, name: str) -> Path:
        """The run directory of a project: agent.sock, agent.lock."""
        return self.run.joinpath("projects", name)
