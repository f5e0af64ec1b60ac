from __future__ import annotations

import io
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from composer.cli.context import Context
from composer.cli.options import GlobalOptions
from composer.namespaces.shim.state import start_time

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def make_context(tmp_path: Path, home: Path) -> Callable[..., Context]:
    """`make_context(tty=False, environ={...}, **global options)`."""

    def make(*, tty: bool = False, environ: dict[str, str] | None = None, **options: Any) -> Context:
        stream = Terminal if tty else io.StringIO
        return Context(
            GlobalOptions(**options),
            environ={"COMPOSER_HOME": str(home), **(environ or {})},
            stdout=stream(),
            stderr=stream(),
            cwd=str(tmp_path),
        )

    return make


@pytest.fixture
def add_container(home: Path) -> Callable[..., str]:
    """Writes the files of a container as engine and shim do; returns its id."""
    count = 0

    def add(service: str, *, project: str = "shop", number: int = 1, state: Any = None, **config: Any) -> str:
        nonlocal count
        count += 1
        container_id = f"{count:064x}"
        directory = home / "lib" / "containers" / container_id
        directory.mkdir(parents=True)
        labels = {
            "com.docker.compose.project": project,
            "com.docker.compose.service": service,
            "com.docker.compose.container-number": str(number),
            "com.docker.compose.oneoff": "False",
            "com.docker.compose.project.config_files": "/srv/compose.yaml",
        }
        labels.update(config.pop("labels", {}))
        value = {
            "id": container_id,
            "name": f"{project}-{service}-{number}",
            "process": {"args": ["nginx", "-g", "daemon off;"]},
            "project": project,
            "service": service,
            "labels": labels,
            "image": "nginx:1",
            "created": 1000.0,
            **config,
        }
        (directory / "config.json").write_text(json.dumps(value))
        if state is not None:
            run = home / "run" / "containers" / container_id
            run.mkdir(parents=True)
            shim = {"pid": os.getpid(), "start": start_time(os.getpid()), "init": [0, 0]}
            values = {"id": container_id, "name": value["name"], "shim": shim, **state}
            (run / "state.json").write_text(json.dumps(values))
        return container_id

    return add
