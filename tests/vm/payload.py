"""What travels into the machine: the working tree's tests, composer built as a wheel, its wheels, root file systems.

Everything is prepared on the host, since the machine has no network and a translated processor is slow:
wheels are unpacked and compiled here, and the guest only copies files.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING

from tests.support import shop
from tests.vm.image import CACHE, REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

# Debian 12's interpreter, which the wheels must fit.
PYTHON = "3.11"
TEST_PACKAGES = (
    "pytest",
    "pytest-timeout",
    "pytest-randomly",
    "pytest-xdist",
    "hypothesis",
    "dnspython",
    "blockbuster",
    "jsonschema",
)
# What PyPI has no wheel for; pure Python.
SOURCE_ONLY = ("forbiddenfruit",)
TREE = (
    "composer",
    "schemas",
    "tests",
    "examples",
    "tools",
    "docs",
    "pyproject.toml",
    "README.md",
    "Makefile",
    "LICENSE",
)
ROOTFS = ("busybox", "debian")


def build(script: str, *, with_shop: bool = True) -> Path:
    """A tar archive with `run` (a shell script), the tree, site-packages, root file systems.

    Args:
        script: What the machine runs.
        with_shop: The images of examples/shop too, 900 MB that take minutes to build the first time.
    """
    CACHE.mkdir(exist_ok=True)
    site = _site_packages()
    target = CACHE / "payload.tar"
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for name in TREE:
            if (REPOSITORY / name).exists():
                archive.add(REPOSITORY / name, f"tree/{name}", filter=_without_caches)
        archive.add(site, "site")
        for name in ROOTFS:
            made = subprocess.run(
                [REPOSITORY / "tools/rootfs.sh", name], check=True, stdout=subprocess.PIPE, text=True
            )
            archive.add(made.stdout.strip(), f"tree/.cache/rootfs/{name}.tar")
        if with_shop:
            archive.add(shop.archive(), "images/shop.tar")
        run = CACHE / "run"
        run.write_text(script, encoding="utf-8")
        run.chmod(0o755)
        archive.add(run, "run")
    return target


def _without_caches(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
    parts = info.name.split("/")
    if "__pycache__" in parts or any(part.startswith(".") and part.endswith("_cache") for part in parts):
        return None
    info.uid = info.gid = 0
    info.uname = info.gname = "root"
    return info


def _site_packages() -> Path:
    """Dependencies unpacked for the guest's interpreter; made again when pyproject.toml changes."""
    key = hashlib.sha256(
        (REPOSITORY / "pyproject.toml").read_bytes() + repr(TEST_PACKAGES).encode()
    ).hexdigest()
    site = CACHE / f"site-{key[:12]}"
    if site.exists():
        return site
    for old in CACHE.glob("site-*"):
        shutil.rmtree(old)
    wheel_dir = CACHE / "wheel"
    shutil.rmtree(wheel_dir, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    _quiet([*pip, "wheel", "--no-deps", "--wheel-dir", wheel_dir, REPOSITORY, *SOURCE_ONLY])
    part = CACHE / f"part-{os.getpid()}"
    _quiet(
        [*pip, "install", "--find-links", wheel_dir, "--target", part, "--python-version", PYTHON, "--implementation", "cp",
         "--platform", "manylinux_2_36_x86_64", "--platform", "manylinux_2_28_x86_64",
         "--platform", "manylinux_2_17_x86_64", "--platform", "manylinux2014_x86_64",
         "--platform", "manylinux_2_5_x86_64", "--platform", "manylinux1_x86_64",
         "--only-binary", ":all:", *wheel_dir.glob("composer-*.whl"), *TEST_PACKAGES]
    )  # fmt: skip
    # The working tree's composer is used, not this copy; its metadata stays for the pytest plugin's entry point.
    shutil.rmtree(part / "composer")
    part.rename(site)
    return site


def _quiet(command: list[str | Path]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"pip ended with {done.returncode}:\n{done.stdout[-2000:]}")
