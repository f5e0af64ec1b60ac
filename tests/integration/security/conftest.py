"""A sandbox to attack: one engine, one image as a directory that a test may poison, containers run to the end."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from composer.engine import ContainerConfig, Process
from composer.namespaces.engine import open_engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.home import Home

DEFAULT_CAPABILITIES = tuple(
    "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD"
    " AUDIT_WRITE SETFCAP".split()
)
PATH = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Ended:
    """How a container ended, and what it printed on both streams."""

    code: int
    output: str
    oom_killed: bool
    seconds: float


class Sandbox:
    """Runs containers from one poisonable layer.

    Args:
        home: The installation.
        layer: The image's only layer.
    """

    def __init__(self, home: Home, layer: Path) -> None:
        self.home = home
        self.layer = layer

    def config(self, *args: str, **changes: Any) -> ContainerConfig:
        """A container of the image that runs *args*; fields of Process and ContainerConfig may be changed."""
        process_fields = set(Process.__dataclass_fields__) - {
            "privileged"
        }  # the container's own flag is meant
        process = {key: changes.pop(key) for key in list(changes) if key in process_fields}
        settings: dict[str, Any] = {"capabilities": DEFAULT_CAPABILITIES, "env": (PATH,), **process}
        identity = secrets.token_hex(32)
        return ContainerConfig(
            id=identity,
            name=f"sec-{identity[:12]}",
            project="sec",
            process=Process(args=args, **settings),
            layers=(str(self.layer),),
            network_mode=changes.pop("network_mode", "none"),
            **changes,
        )

    def run(self, *args: str, **changes: Any) -> Ended:
        """Run to the end and remove."""
        return self.run_config(self.config(*args, **changes))

    def sh(self, script: str, **changes: Any) -> Ended:
        """Run a shell script."""
        return self.run("/bin/sh", "-c", script, **changes)

    def run_config(self, config: ContainerConfig) -> Ended:
        """Run *config* to the end and remove it."""
        return anyio.run(self._run, replace(config))

    async def _run(self, config: ContainerConfig) -> Ended:
        async with open_engine(self.home.paths) as engine:
            await engine.create(config)
            try:
                started = anyio.current_time()
                await engine.start(config.id)
                with anyio.fail_after(60):
                    state = await engine.wait(config.id)
                seconds = anyio.current_time() - started
            finally:
                output = self._log(config.id)
                await engine.remove(config.id, force=True, volumes=True)
            return Ended(state.exit_code, output, state.oom_killed, seconds)

    def _log(self, container_id: str) -> str:
        path = self.home.paths.container(container_id) / "container.log"
        if not path.exists():
            return ""
        return "".join(json.loads(line)["log"] for line in path.read_text().splitlines())


@pytest.fixture(scope="session")
def pristine_layer(busybox_rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The busybox image, unpacked; not to be changed."""
    directory = tmp_path_factory.mktemp("image") / "layer"
    directory.mkdir()
    subprocess.run(["tar", "-xf", busybox_rootfs, "-C", directory], check=True)
    return directory


@pytest.fixture
def sandbox(composer_home: Home, pristine_layer: Path) -> Sandbox:
    """A sandbox on the busybox image as it is."""
    return Sandbox(composer_home, pristine_layer)


@pytest.fixture
def poisoned(composer_home: Home, pristine_layer: Path, tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox on a copy of the busybox image, for the test to change."""
    layer = tmp_path / "poisoned"
    subprocess.run(["cp", "-a", pristine_layer, layer], check=True)
    yield Sandbox(composer_home, layer)
    shutil.rmtree(layer, ignore_errors=True)


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[Path]:
    """A directory on the host with a secret file; unchanged afterwards, or the test fails."""
    directory = tmp_path / "canary"
    directory.mkdir(mode=0o700)
    secret = directory / "secret"
    secret.write_text("canary-" + secrets.token_hex(8))
    secret.chmod(0o600)
    before = (secret.read_text(), sorted(path.name for path in directory.iterdir()))
    yield directory
    assert (secret.read_text(), sorted(path.name for path in directory.iterdir())) == before
