"""Debian's docker-registry on the loopback address of the benchmark's network namespace."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.docker import Docker

_CONFIG = """version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
http: {{addr: "127.0.0.1:{port}"}}
"""


@contextlib.contextmanager
def registry(docker: Docker, port: int) -> Iterator[str]:
    """Start an empty registry; yields `127.0.0.1:PORT`.

    Raises:
        RuntimeError: It did not answer within 20 seconds.
    """
    directory = Path(tempfile.mkdtemp(prefix="registry-", dir=docker.directory))
    config = directory / "config.yml"
    config.write_text(_CONFIG.format(root=directory / "data", port=port), encoding="utf-8")
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            docker.inside(["docker-registry", "serve", str(config)]),
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        address = f"127.0.0.1:{port}"
        probe = docker.inside(
            ["curl", "--silent", "--fail", "--output", "/dev/null", f"http://{address}/v2/"]
        )
        deadline = time.monotonic() + 20
        while subprocess.run(probe, check=False).returncode:
            if time.monotonic() > deadline or process.poll() is not None:
                raise RuntimeError((directory / "log").read_text("utf-8", errors="replace"))
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)
