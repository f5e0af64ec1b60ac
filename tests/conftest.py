"""Fixtures for every kind of test: an installation of composer of its own, images in it, and the program.

`composer_home` fails a test that leaves something behind, and names it. Nothing here knows a room's inside:
the fixtures use the command line and look at the kernel.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_configure() -> None:
    """A shell without job control starts background jobs with SIGINT ignored, and children inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need root are skipped for other users, and fail in CI, where a skip would hide them."""
    if os.geteuid() == 0 or os.environ.get("CI"):
        return
    skip = pytest.mark.skip(reason="needs root")
    for item in items:
        if item.get_closest_marker("root"):
            item.add_marker(skip)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """See above: in CI the missing privilege is a failure."""
    if item.get_closest_marker("root") and os.geteuid() != 0:
        pytest.fail("this test needs root, and CI must run it", pytrace=False)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the caller that change what Compose files or the program mean."""
    for name in list(os.environ):
        if name.startswith(("COMPOSE_", "COMPOSER_HOME", "DOCKER_")) or name in ("NO_COLOR", "CLICOLOR"):
            monkeypatch.delenv(name)


def rootfs(name: str, *packages: str) -> Path:
    """The archive that tools/rootfs.sh makes (or made) for *name*."""
    made = subprocess.run(
        [REPOSITORY / "tools" / "rootfs.sh", name, *packages], check=True, stdout=subprocess.PIPE, text=True
    )
    return Path(made.stdout.strip())


@pytest.fixture(scope="session")
def busybox_rootfs() -> Path:
    """A tar archive with Debian's static busybox under all its names, /etc/passwd and /etc/group."""
    return rootfs("busybox")


@pytest.fixture(scope="session")
def debian_rootfs() -> Path:
    """A tar archive with Debian 12 as small as debian:bookworm-slim (126 MB; made once, 20 seconds)."""
    return rootfs("debian")


@pytest.fixture
def composer_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """An installation of composer for this test alone.

    Afterwards all its projects are taken down, and the test fails if a process, mount, network link,
    nftables table or cgroup of it is left.
    """
    # A short path: unix sockets live below it, and their names end at 107 bytes.
    with Home.temporary() as home:
        yield home
        left = home.tear_down()
    if left:
        pytest.fail("left behind:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture
def run_composer(composer_home: Home) -> Callable[..., object]:
    """`run_composer(*args, cwd=, input=, env=, timeout=60, check=True)`: `.code`, `.out`, `.err`."""
    return composer_home.run


@pytest.fixture
def busybox_image(composer_home: Home, busybox_rootfs: Path) -> str:
    """`busybox:latest` is in the test's store."""
    return composer_home.import_image(busybox_rootfs, "busybox:latest")


@pytest.fixture
def debian_image(composer_home: Home, debian_rootfs: Path) -> str:
    """`debian:bookworm-slim` is in the test's store."""
    return composer_home.import_image(debian_rootfs, "debian:bookworm-slim")


@pytest.fixture(scope="session")
def shop_archive() -> Path:
    """The images of examples/shop in one archive, built once from their Dockerfiles (about a minute)."""
    from tests.support.shop import archive

    return archive()
