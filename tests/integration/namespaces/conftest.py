"""A laboratory: one installation, one image, and short ways to make containers of it."""

from __future__ import annotations

import json
import secrets
import subprocess
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from composer.engine import ContainerConfig, Process

if TYPE_CHECKING:
    from pathlib import Path

    from composer.engine import ContainerState
    from composer.namespaces.engine import NamespaceEngine
    from tests.support.home import Home

CAPABILITIES = tuple(
    "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD"
    " AUDIT_WRITE SETFCAP".split()
)


class Laboratory:
    """Makes configurations and reads what came of them."""

    def __init__(self, home: Home, layer: Path) -> None:
        self.paths = home.paths
        self.layer = layer
        self.project = f"lab{secrets.token_hex(3)}"

    def config(self, *args: str, **changes: Any) -> ContainerConfig:
        """A container that runs *args*; fields of Process and of ContainerConfig may be changed."""
        fields = set(Process.__dataclass_fields__) - {"privileged"}
        process = {key: changes.pop(key) for key in list(changes) if key in fields}
        process.setdefault("capabilities", CAPABILITIES)
        identity = secrets.token_hex(32)
        changes.setdefault("network_mode", "none")
        changes.setdefault("layers", (str(self.layer),))
        return ContainerConfig(
            id=identity,
            name=f"{self.project}-{identity[:8]}",
            project=self.project,
            process=Process(args=args, **process),
            **changes,
        )

    def log(self, container_id: str) -> str:
        """Everything that it wrote."""
        path = self.paths.container(container_id) / "container.log"
        return "".join(json.loads(line)["log"] for line in path.read_text().splitlines())

    async def finish(self, engine: NamespaceEngine, config: ContainerConfig) -> tuple[ContainerState, str]:
        """Create, start, wait, remove; returns the last state and the output."""
        await engine.create(config)
        try:
            await engine.start(config.id)
            with anyio.fail_after(30):
                state = await engine.wait(config.id)
            return state, self.log(config.id)
        finally:
            await engine.remove(config.id, force=True)


@pytest.fixture(scope="session")
def layer(busybox_rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The busybox image, unpacked, with a directory that belongs to uid 1000."""
    directory = tmp_path_factory.mktemp("image") / "layer"
    directory.mkdir()
    subprocess.run(["tar", "-xf", busybox_rootfs, "-C", directory], check=True)
    data = directory / "data"
    data.mkdir()
    (data / "seed").write_text("seed\n")
    subprocess.run(["chown", "-R", "1000:1000", data], check=True)
    passwd = directory / "etc" / "passwd"
    passwd.write_text(passwd.read_text().rstrip("\n") + "\ntester:x:1000:1000::/home/tester:/bin/sh\n")
    group = directory / "etc" / "group"
    group.write_text(group.read_text().rstrip("\n") + "\ntester:x:1000:\nextra:x:2000:tester\n")
    return directory


@pytest.fixture
def laboratory(composer_home: Home, layer: Path) -> Laboratory:
    """See `Laboratory`."""
    return Laboratory(composer_home, layer)
