"""Whole Dockerfiles as a language: what BuildKit makes of each in `dockerfiles.yaml` is what we make of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from composer.values import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.build.conftest import Workshop

pytestmark = pytest.mark.root

CASES: dict[str, dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("dockerfiles.yaml").read_text(encoding="utf-8")
)
CONFIGURED = (
    "cmd", "entrypoint", "env", "exposed_ports", "healthcheck", "labels", "on_build", "shell", "stop_signal",
    "user", "volumes", "working_dir",
)  # fmt: skip


def lay_out(workshop: Workshop, files: dict[str, Any]) -> None:
    for name, content in files.items():
        if isinstance(content, str):
            workshop.write(name, content)
        elif "link" in content:
            (workshop.context / name).symlink_to(content["link"])
        else:
            workshop.write(name, content["text"], int(content["mode"], 8))
    for directory, _, _ in os.walk(workshop.context):
        os.chmod(directory, 0o755)


def listing(workshop: Workshop, path: str = "") -> Iterator[str]:
    tree = workshop.tree()
    for name in tree.listdir(path):
        child = f"{path}/{name}".lstrip("/")
        found = tree.lstat(child)
        assert found is not None
        host = tree.host_path(child)
        line = f"{stat.S_IMODE(found.st_mode):o} {found.st_uid}:{found.st_gid} {child}"
        if stat.S_ISLNK(found.st_mode):
            yield f"{found.st_uid}:{found.st_gid} {child} -> {os.readlink(host)}"
        elif stat.S_ISDIR(found.st_mode):
            yield f"{line}/"
            yield from listing(workshop, child)
        else:
            yield f"{line} = {Path(host).read_text(encoding='utf-8').rstrip()}".rstrip()


@pytest.mark.parametrize("name", CASES)
def test_a_dockerfile_means_what_it_means_elsewhere(workshop: Workshop, name: str) -> None:
    case = CASES[name]
    lay_out(workshop, case.get("files", {}))
    done = workshop.build(case["dockerfile"], *case.get("options", ()), check=False)
    if "error" in case:
        assert done.code == 1
        assert case["error"] in done.err
        return
    assert done.code == 0, done.err
    config = to_json(workshop.image().config)
    assert {key: config[key] for key in CONFIGURED if config.get(key)} == case["config"]
    assert list(listing(workshop)) == case["tree"]
