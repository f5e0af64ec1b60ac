from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from composer.cli.copying import pack, unpack
from composer.errors import ComposerError, NotFoundError

if TYPE_CHECKING:
    from pathlib import Path


def copy(source: str, target: str, **options) -> None:
    stream = io.BytesIO()
    pack(source, stream, **options)
    stream.seek(0)
    unpack(stream, target, owner=(os.getuid(), os.getgid()))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "file").write_text("content")
    (source / "sub" / "deep").write_text("deep")
    (source / "link").symlink_to("/nowhere")
    os.link(source / "file", source / "sub" / "hard")
    os.chmod(source / "file", 0o640)
    return source


def test_a_file_to_a_new_name(tree, tmp_path) -> None:
    copy(f"{tree}/file", f"{tmp_path}/new")
    assert (tmp_path / "new").read_text() == "content"
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640


def test_a_file_into_a_directory(tree, tmp_path) -> None:
    (tmp_path / "to").mkdir()
    copy(f"{tree}/file", f"{tmp_path}/to")
    assert (tmp_path / "to" / "file").read_text() == "content"


def test_a_directory_to_a_new_name(tree, tmp_path) -> None:
    copy(str(tree), f"{tmp_path}/new")
    new = tmp_path / "new"
    assert (new / "sub" / "deep").read_text() == "deep"
    assert os.readlink(new / "link") == "/nowhere"
    assert (new / "sub" / "hard").stat().st_ino == (new / "file").stat().st_ino


def test_a_directory_into_a_directory(tree, tmp_path) -> None:
    (tmp_path / "to").mkdir()
    copy(str(tree), f"{tmp_path}/to")
    assert (tmp_path / "to" / "source" / "sub" / "deep").exists()


def test_the_contents_of_a_directory(tree, tmp_path) -> None:
    (tmp_path / "to").mkdir()
    copy(f"{tree}/.", f"{tmp_path}/to")
    assert (tmp_path / "to" / "sub" / "deep").exists()


def test_links_are_copied_or_followed(tree, tmp_path) -> None:
    (tree / "to-file").symlink_to("file")
    copy(f"{tree}/to-file", f"{tmp_path}/a")
    copy(f"{tree}/to-file", f"{tmp_path}/b", follow=True)
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "b").read_text() == "content"
    assert not (tmp_path / "b").is_symlink()


def test_what_is_not_there_is_named(tree, tmp_path) -> None:
    with pytest.raises(NotFoundError, match="nothing: no such file"):
        copy(f"{tree}/nothing", str(tmp_path))
    with pytest.raises(NotFoundError, match="no/where: no such directory"):
        copy(f"{tree}/file", f"{tmp_path}/no/where/x")
    with pytest.raises(NotFoundError, match="no such directory"):
        copy(f"{tree}/file", f"{tmp_path}/new/")


def test_a_directory_does_not_replace_a_file(tree, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ComposerError, match="cannot copy a directory over the file"):
        copy(str(tree), f"{tmp_path}/file")


@pytest.mark.parametrize("name", ["../evil", "/evil", "a/../../evil"])
def test_a_hostile_archive_stays_inside(tmp_path, name) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    stream.seek(0)
    (tmp_path / "to").mkdir()
    with pytest.raises(ComposerError, match="outside of itself"):
        unpack(stream, f"{tmp_path}/to", owner=None)
    assert not (tmp_path / "evil").exists()
