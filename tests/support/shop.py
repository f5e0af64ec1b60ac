"""The images of examples/shop: built by composer from the Dockerfiles, kept as an archive below .cache/.

Building installs packages from the network. The archive is made again when a file of the example changes,
and is carried into the virtual machine, which has no network.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from pathlib import Path

from tests.support.home import REPOSITORY, Home

SHOP = REPOSITORY / "examples" / "shop"
BASE = "debian:bookworm-slim"
IMAGES = ("shop-proxy:1", "shop-web:1", "shop-db:1", "shop-cache:1")
NAME = "COMPOSER_SHOP_ARCHIVE"


def archive() -> Path:
    """The archive of the four images; built when there is none for the present files."""
    if given := os.environ.get(NAME):
        return Path(given)
    directory = REPOSITORY / ".cache" / "images"
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # test workers wait for each other
        target = directory / f"shop-{_key()}.tar"
        if not target.exists():
            for old in directory.glob("shop-*.tar"):
                old.unlink()
            _build(target)
    return target


def _key() -> str:
    digest = hashlib.sha256((REPOSITORY / "tools" / "rootfs.sh").read_bytes())
    for path in sorted(SHOP.rglob("*")):
        if path.is_file() and path.name not in ("compose.yaml", "README.md"):
            digest.update(str(path.relative_to(SHOP)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _build(target: Path) -> None:
    base = subprocess.run(
        [REPOSITORY / "tools/rootfs.sh", "debian"], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()
    with Home.temporary() as home:
        home.import_image(Path(base), BASE)
        home.run("--progress", "plain", "build", cwd=SHOP, timeout=900)
        part = target.with_suffix(".part")
        home.run("image", "save", "-o", part, *IMAGES, timeout=300)
        part.rename(target)
        home.tear_down()
