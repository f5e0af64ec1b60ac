"""A workshop: a directory with a Dockerfile, built in an installation of its own."""

from __future__ import annotations

import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from composer.build.tree import LayeredTree, resolve
from composer.images.store import Store

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path

    from composer.images.store import Image
    from tests.support.home import Home


class Workshop:
    """Writes contexts, builds them, and reads what came of them."""

    def __init__(self, home: Home, root: Path) -> None:
        self.home = home
        self.root = root
        self.context = root / "context"
        self.context.mkdir()
        self.store = Store(home.paths)

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.context / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def build(self, dockerfile: str, *options: str, tag: str = "it", check: bool = True, **more: Any) -> Any:
        """Build the context; the result has `code`, `out`, `err`."""
        self.write("Dockerfile", dockerfile)
        return self.home.run("image", "build", "-t", tag, *options, str(self.context), check=check, **more)

    def image(self, tag: str = "it") -> Image:
        return self.store.get(tag)

    def tree(self, tag: str = "it") -> LayeredTree:
        return LayeredTree(self.image(tag).layer_dirs)

    def read(self, path: str, tag: str = "it") -> str:
        tree = self.tree(tag)
        with open(tree.host_path(resolve(tree, path)), encoding="utf-8") as file:
            return file.read()

    def stat(self, path: str, tag: str = "it") -> os.stat_result | None:
        return self.tree(tag).lstat(path)

    def layer_of(self, number: int, tag: str = "it") -> LayeredTree:
        """One layer alone, counted from the top (-1)."""
        return LayeredTree([self.image(tag).layer_dirs[number]])


@pytest.fixture
def workshop(composer_home: Home, tmp_path: Path, busybox_image: str) -> Workshop:
    assert busybox_image
    return Workshop(composer_home, tmp_path)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """Debian's docker-registry on a free port of loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "registry.yml"
    config.write_text(
        "version: 0.1\n"
        f"storage: {{filesystem: {{rootdirectory: {tmp_path}/registry}}}}\n"
        f"http: {{addr: 127.0.0.1:{port}}}\n"
    )
    process = subprocess.Popen(
        ["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            with socket.socket() as attempt:
                if attempt.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
