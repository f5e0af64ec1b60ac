"""The disk of the virtual machine: made once with mmdebstrap, then kept under .vm/.

Nothing of the working tree is inside; that travels on a second disk, see `payload`. The key of the cached
image is a hash of this file and of guest/, so that a change here makes a new image.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
CACHE = REPOSITORY / ".vm"
GUEST = HERE / "guest"
SIZE = "8G"  # sparse

PACKAGES = (
    # a machine as people have it
    "linux-image-cloud-amd64", "initramfs-tools", "zstd", "systemd", "systemd-sysv", "dbus", "udev", "kmod",
    "libpam-systemd", "netbase", "ca-certificates", "login", "procps", "e2fsprogs",
    # what composer needs
    "python3", "python3-venv", "nftables", "libnftables1", "iproute2", "uidmap", "passt",
    # what its tests need
    "iputils-ping", "busybox-static", "curl", "docker-registry", "skopeo", "openssl", "git", "xz-utils",
    "podman", "apache2-utils", "firewalld", "ufw",
)  # fmt: skip


class Image(NamedTuple):
    """A root file system image, and the kernel and initramfs to boot it with."""

    disk: Path
    kernel: Path
    initrd: Path


def cached_image() -> Image:
    """The image, built when it is not there yet (about a minute and a half).

    Raises:
        RuntimeError: mmdebstrap or mke2fs failed; the end of its output is in the message.
    """
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(GUEST.rglob("*")):
        if path.is_file():
            digest.update(path.name.encode() + path.read_bytes())
    directory = CACHE / digest.hexdigest()[:12]
    image = Image(directory / "root.img", directory / "vmlinuz", directory / "initrd.img")
    if not all(path.exists() for path in image):
        _remove_others(directory)
        _build(directory)
    return image


def _remove_others(keep: Path) -> None:
    """Images of earlier versions: each is two gigabytes that nobody will read again."""
    for other in CACHE.glob("????????????"):
        if other != keep:
            shutil.rmtree(other)


def _build(directory: Path) -> None:
    CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="build-") as work:
        root = Path(work) / "root"
        command = [
            "mmdebstrap", "--variant=minbase", "--include", ",".join(PACKAGES),
            '--aptopt=APT::Install-Recommends "false"',
            # The order of the hooks is the order of the lines.
            f"--customize-hook=copy-in {GUEST}/etc {GUEST}/usr /",
            '--customize-hook=chroot "$1" python3 -m venv /opt/composer',
            ('--customize-hook=chroot "$1" systemctl enable composer-payload.service serial-getty@ttyS0.service '
            "systemd-networkd.service"),
            ('--customize-hook=chroot "$1" systemctl disable docker-registry.service firewalld.service '
            "apt-daily.timer apt-daily-upgrade.timer fstrim.timer e2scrub_all.timer"),
            '--customize-hook=rm -f "$1/etc/resolv.conf"; echo nameserver 127.0.0.1 >"$1/etc/resolv.conf"',
            '--customize-hook=echo composer-vm >"$1/etc/hostname"; chroot "$1" passwd -d root',
            '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*',
            "bookworm", str(root),
        ]  # fmt: skip
        if mirror := os.environ.get("COMPOSER_DEBIAN_MIRROR"):
            command.append(mirror)
        _run(command)
        made = Path(work) / "image"
        made.mkdir()
        for name, target in (("vmlinuz", "vmlinuz"), ("initrd.img", "initrd.img")):
            shutil.copyfile(root / name, made / target)  # links in / to the newest kernel
        disk = made / "root.img"
        _run(["truncate", "-s", SIZE, str(disk)])
        # No journal and no checksums: the file system lives for one test run.
        _run(["mke2fs", "-q", "-t", "ext4", "-L", "root", "-O", "^has_journal,^metadata_csum", "-E",
              "lazy_itable_init=1", "-d", str(root), str(disk)])  # fmt: skip
        made.rename(directory)


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        tail = b"\n".join(done.stdout.splitlines()[-25:]).decode(errors="replace")
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{tail}")
