"""A container that fills the disk can be taken down."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.home import Home

pytestmark = pytest.mark.root


def test_down_frees_the_disk_that_a_container_filled(
    composer_home: Home, busybox_rootfs: Path, tmp_path: Path
) -> None:
    root = composer_home.paths.root
    root.mkdir(parents=True, exist_ok=True)
    name = f"full{time.monotonic_ns()}"
    fill = "dd if=/dev/zero of=/x bs=1M count=100 2>/dev/null; touch /tmp/full; sleep 1000"
    (tmp_path / "compose.yaml").write_text(
        f"name: {name}\nservices:\n"
        f"  a: {{image: busybox, command: [sh, -c, '{fill}'], tmpfs: /tmp,\n"
        "      healthcheck: {test: 'test -e /tmp/full', interval: 1s}}\n"
        "  b: {image: busybox, command: sleep 1000}\n"
    )
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", root], check=True)
    try:
        composer_home.import_image(busybox_rootfs, "busybox:latest")
        composer_home.run("up", "-d", "--wait", cwd=tmp_path, check=False)
        try:
            assert subprocess.run(["touch", root / "probe"], check=False).returncode == 0
            with pytest.raises(OSError, match="No space left"):
                (root / "probe").write_bytes(bytes(1 << 16))
            done = composer_home.run("up", "-d", "--force-recreate", "b", cwd=tmp_path, check=False)
            assert "No space left on device" in done.err
        finally:
            composer_home.run("down", "-t", "0", cwd=tmp_path)
        (root / "probe").write_bytes(bytes(8 << 20))
        assert composer_home.run("ps", "-aq", cwd=tmp_path).out == ""
    finally:
        subprocess.run(["umount", "-l", root], check=True)
