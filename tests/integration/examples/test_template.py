"""The production Dockerfile template builds and runs unchanged; a changed source file reruns only what follows its COPY."""

from __future__ import annotations

import os
import shutil
import socket
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.support.home import REPOSITORY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.home import Home

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        "COMPOSER_VM" in os.environ, reason="installs packages, and the virtual machine has no network"
    ),
]
EXAMPLE = REPOSITORY / "examples" / "template"


def test_the_template_builds_runs_and_is_cached(
    composer_home: Home, debian_image: str, tmp_path: Path
) -> None:
    project = tmp_path / "template"
    shutil.copytree(EXAMPLE, project)
    composer_home.run("image", "build", "-t", "node:20-alpine", project / "base", timeout=600)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])

    def composer(*words: str) -> tuple[str, str]:
        done = composer_home.run(*words, cwd=project, env={"TEMPLATE_PORT": port}, timeout=300)
        return done.out, done.err

    composer("up", "-d", "--wait")
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
        mode, _, user = answer.read().decode().strip().partition(" as ")
    assert mode == "production"
    assert int(user) > 0, "the template's USER is not root"
    history, _ = composer("image", "history", "--no-trunc", "template-app:1")
    assert 'CMD ["node"' in history, history
    assert "HEALTHCHECK" in history, history

    source = project / "src" / "server.js"
    source.write_text(source.read_text(encoding="utf-8") + "// changed\n", encoding="utf-8")
    _, progress = composer("--progress", "plain", "build")
    steps = {line.split("] ", 1)[1]: line for line in progress.splitlines() if "] " in line}
    cached = {text for text in steps if text.endswith("CACHED")}
    assert any("npm ci" in text for text in cached), progress
    assert any(text.startswith("RUN npm run build") and not text.endswith("CACHED") for text in steps), (
        progress
    )
