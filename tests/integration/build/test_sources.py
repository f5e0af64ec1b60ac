"""Contexts and ADD from elsewhere: URLs, repositories, archives, standard input, named contexts, ONBUILD."""

from __future__ import annotations

import functools
import hashlib
import http.server
import io
import json
import subprocess
import tarfile
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.build.conftest import Workshop

pytestmark = pytest.mark.root


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    root = tmp_path / "served"
    root.mkdir()
    handler = functools.partial(Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield root, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def repository(path: Path) -> str:
    """A repository with two commits; returns the first one's id."""
    (path / "sub").mkdir(parents=True)
    git = [
        "git",
        "-C",
        str(path),
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@t",
        "-c",
        "init.defaultBranch=main",
    ]
    subprocess.run([*git, "init", "-q"], check=True)
    (path / "sub/f").write_text("one")
    (path / "Dockerfile").write_text("FROM busybox\nCOPY sub/f /f\n")
    subprocess.run([*git, "add", "."], check=True)
    subprocess.run([*git, "commit", "-qm", "one"], check=True)
    first = subprocess.run(
        [*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    subprocess.run([*git, "tag", "v1"], check=True)
    (path / "sub/f").write_text("two")
    subprocess.run([*git, "commit", "-qam", "two"], check=True)
    subprocess.run([*git, "update-server-info"], check=True)
    return first


def test_add_a_url(workshop: Workshop, served: tuple[Path, str]) -> None:
    root, url = served
    (root / "file").write_text("content")
    digest = hashlib.sha256(b"content").hexdigest()
    workshop.build(f"FROM busybox\nADD --checksum=sha256:{digest} {url}/file /d/\n")
    found = workshop.stat("d/file")
    assert found is not None
    assert found.st_mode & 0o7777 == 0o600
    assert int(found.st_mtime) == int((root / "file").stat().st_mtime)
    again = workshop.build(f"FROM busybox\nADD --checksum=sha256:{digest} {url}/file /d/\n")
    assert "CACHED" in again.err
    workshop.build(f"FROM busybox\nADD {url}/file /other\n")
    assert workshop.read("other") == "content"
    wrong = workshop.build(f"FROM busybox\nADD --checksum=sha256:{'0' * 64} {url}/file /d/\n", check=False)
    assert "has the checksum" in wrong.err
    gone = workshop.build(f"FROM busybox\nADD {url}/gone /d/\n", check=False)
    assert "404" in gone.err
    copied = workshop.build(f"FROM busybox\nCOPY {url}/file /d/\n", check=False)
    assert "use ADD" in copied.err


def test_add_a_repository_and_build_from_one(
    workshop: Workshop, tmp_path: Path, served: tuple[Path, str]
) -> None:
    root, url = served
    first = repository(root / "r")
    (root / "r/.git").rename(root / "r.git")
    workshop.build(f"FROM busybox\nADD {url}/r.git#v1:sub /d/\nADD {url}/r.git /all/\n", check=True)
    assert workshop.read("d/f") == "one"
    assert workshop.read("all/sub/f") == "two"
    assert workshop.stat("all/.git") is None
    wrong = workshop.build(f"FROM busybox\nADD --checksum={'0' * 40} {url}/r.git#v1 /d/\n", check=False)
    assert first in wrong.err
    workshop.home.run("image", "build", "-t", "remote", f"{url}/r.git#v1")
    assert workshop.read("f", "remote") == "one"


def test_a_context_as_an_archive(workshop: Workshop, served: tuple[Path, str]) -> None:
    root, url = served
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for name, text in (("Dockerfile", b"FROM busybox\nCOPY x/f /f\n"), ("x/f", b"packed")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    (root / "c.tar.gz").write_bytes(data.getvalue())
    workshop.home.run("image", "build", "-t", "it", f"{url}/c.tar.gz")
    assert workshop.read("f") == "packed"


def test_named_contexts_replace_images_and_stages(workshop: Workshop) -> None:
    other = workshop.root / "other"
    other.mkdir()
    (other / "f").write_text("other")
    text = "FROM nosuch.example/img AS base\nFROM busybox\nCOPY --from=base /f /a\nCOPY --from=named /f /b\n"
    workshop.build(
        text, "--build-context", f"nosuch.example/img={other}", "--build-context", f"named={other}"
    )
    assert workshop.read("a") == workshop.read("b") == "other"


def test_onbuild_triggers_run_in_the_next_build_only(workshop: Workshop) -> None:
    workshop.write("f", "mine")
    workshop.build("FROM busybox\nONBUILD COPY f /f\nONBUILD RUN <<E\ncat /f > /ran\nE\n", tag="parent")
    workshop.build("FROM parent\nRUN cat /ran > /after\n", tag="child")
    assert workshop.read("after", "child") == "mine"
    assert workshop.image("child").config.on_build == ()


def test_the_base_comes_from_an_argument(workshop: Workshop) -> None:
    text = (
        "ARG B=busybox\nARG S=one\nFROM ${B} AS one\nLABEL a=1\nFROM $B AS two\nLABEL a=2\nFROM $S\nCMD x\n"
    )
    workshop.build(text)
    assert workshop.image().config.labels == {"a": "1"}
    workshop.build(text, "--build-arg", "S=two")
    assert workshop.image().config.labels == {"a": "2"}


def test_a_pattern_in_a_directory_that_is_not_there_is_refused(workshop: Workshop) -> None:
    workshop.write("etc/a.conf", "a")
    failed = workshop.build("FROM scratch\nCOPY etc conf/*.conf /etc/\n", check=False)
    assert failed.code == 1
    assert "Dockerfile:2:1: 'conf' does not exist in the build context" in failed.err
    workshop.build("FROM scratch\nCOPY etc etc/*.ini /etc/\n")


def test_a_blank_base_is_refused_also_in_a_stage_that_nobody_needs(workshop: Workshop) -> None:
    failed = workshop.build("ARG B\nFROM $B AS unused\nFROM busybox\nRUN true\n", check=False)
    assert failed.code == 1
    assert "Dockerfile:2:1: the base image '$B' is blank" in failed.err


def test_an_unknown_base_says_what_to_do(workshop: Workshop) -> None:
    done = workshop.build("FROM 127.0.0.1:1/no/such\n", check=False)
    assert done.code == 1
    assert "Dockerfile:1:1: cannot get base image '127.0.0.1:1/no/such'" in done.err


@pytest.mark.parametrize("kind", ["fifo", "link", "directory", "binary"])
def test_strange_dockerfiles_are_refused_at_once(workshop: Workshop, kind: str) -> None:
    import os

    path = workshop.context / "Dockerfile"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to("/dev/zero")
    elif kind == "directory":
        path.mkdir()
    else:
        path.write_bytes(b"FROM \xff\xfe\n")
    done = workshop.home.run("image", "build", "-t", "it", str(workshop.context), check=False, timeout=20)
    assert done.code == 1
    assert "Traceback" not in done.err


def test_a_named_context_replaces_a_stage(workshop: Workshop) -> None:
    other = workshop.root / "other"
    other.mkdir()
    (other / "x").write_text("other")
    text = "FROM busybox AS base\nRUN exit 3\nFROM scratch AS last\nCOPY --from=base /x /x\n"
    workshop.build(text, "--build-context", f"base={other}")
    assert workshop.read("x") == "other"
    workshop.build(text, "--build-context", f"LAST={other}")
    assert workshop.read("x") == "other", "the target itself can be replaced"


def test_an_oci_layout_is_a_named_context(workshop: Workshop, tmp_path: Path) -> None:
    workshop.build("FROM busybox\nRUN echo base > /base\nENV who=layout\n", tag="example.com/a:1")
    archive, layout = tmp_path / "a.tar", tmp_path / "layout"
    workshop.home.run("image", "save", "example.com/a:1", "-o", archive)
    layout.mkdir()
    subprocess.run(["tar", "-xf", archive, "-C", layout], check=True)
    workshop.home.run("image", "rm", "example.com/a:1")
    text = "FROM nowhere.invalid/base\nRUN echo $who > /who\nFROM scratch\nCOPY --from=0 /who /base /\n"
    digest = json.loads((layout / "index.json").read_text())["manifests"][0]["digest"]
    for end in ("", f"@{digest}", ":1"):
        workshop.build(text, "--build-context", f"nowhere.invalid/base=oci-layout://{layout}{end}")
        assert (workshop.read("who"), workshop.read("base")) == ("layout\n", "base\n")
    done = workshop.build(
        text, "--build-context", f"nowhere.invalid/base=oci-layout://{layout}:9", check=False
    )
    assert f"{layout} has no image 9 (name one by its tag or digest)" in done.err
