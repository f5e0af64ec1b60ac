"""Volumes are directories with a configuration; an empty one is filled once from the image."""

import os

import pytest

from composer.engine import VolumeConfig
from composer.errors import ConflictError, EngineError, NotFoundError, UnsupportedError
from composer.namespaces.sandbox.fill import fill_volume
from composer.namespaces.volumes import VolumeManager
from composer.state.paths import Paths


@pytest.fixture
def manager(tmp_path) -> VolumeManager:
    return VolumeManager(Paths(tmp_path / "lib", tmp_path / "run"))


def test_create_is_idempotent_and_list_finds_it(manager) -> None:
    first = manager.create(VolumeConfig("shop_data", project="shop", labels={"a": "b"}))
    assert manager.create(VolumeConfig("shop_data", project="shop")) == first
    manager.create(VolumeConfig("other"))
    assert [state.config.name for state in manager.list()] == ["other", "shop_data"]
    assert [state.config.name for state in manager.list("shop")] == ["shop_data"]
    assert os.path.isdir(manager.get("shop_data").mountpoint)


def test_other_options_are_a_conflict(manager) -> None:
    manager.create(VolumeConfig("v"))
    with pytest.raises(ConflictError, match="other driver options"):
        manager.create(VolumeConfig("v", options={"type": "tmpfs", "device": "tmpfs"}))


def test_an_unknown_driver_is_refused_by_name(manager) -> None:
    with pytest.raises(UnsupportedError, match="'rexray'"):
        manager.create(VolumeConfig("v", driver="rexray"))


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-x", "x\n", "a" * 256, "é"])
def test_a_name_that_could_leave_the_directory_is_refused(manager, name) -> None:
    for method in (lambda: manager.create(VolumeConfig(name)), lambda: manager.remove(name)):
        with pytest.raises(EngineError, match="is not a volume name"):
            method()


def test_remove_takes_the_data_and_leaves_a_bind_alone(manager, tmp_path) -> None:
    host = tmp_path / "host"
    host.mkdir()
    (host / "f").write_text("kept")
    manager.create(VolumeConfig("bound", options={"type": "none", "o": "bind", "device": str(host)}))
    assert manager.activate("bound") == str(host)
    manager.create(VolumeConfig("plain"))
    for name in ("bound", "plain"):
        manager.remove(name)
        with pytest.raises(NotFoundError):
            manager.get(name)
    assert (host / "f").read_text() == "kept"
    assert manager.list() == []


def make_image(root) -> None:
    (root / "dir").mkdir()
    (root / "dir" / "file").write_bytes(b"x" * 100_000)
    os.link(root / "dir" / "file", root / "hard")
    (root / "link").symlink_to("dir/file")
    os.mkfifo(root / "pipe")
    os.chmod(root / "dir", 0o2750)
    os.utime(root / "dir" / "file", (1_000_000, 1_000_000))
    os.chmod(root, 0o711)


def test_an_empty_volume_gets_the_images_tree_as_it_is(manager, tmp_path) -> None:
    image = tmp_path / "image"
    image.mkdir()
    make_image(image)
    data = manager.create(VolumeConfig("v")).mountpoint
    assert fill_volume(os.path.dirname(data), str(image))
    assert open(f"{data}/dir/file", "rb").read() == b"x" * 100_000
    assert os.stat(f"{data}/hard").st_ino == os.stat(f"{data}/dir/file").st_ino
    assert os.readlink(f"{data}/link") == "dir/file"
    assert os.stat(f"{data}/dir").st_mode & 0o7777 == 0o2750
    assert os.stat(f"{data}/dir/file").st_mtime == 1_000_000
    assert os.stat(data).st_mode & 0o777 == 0o711
    assert not fill_volume(os.path.dirname(data), str(image))


def test_a_volume_that_holds_something_is_left_alone(manager, tmp_path) -> None:
    image = tmp_path / "image"
    image.mkdir()
    make_image(image)
    data = manager.create(VolumeConfig("v")).mountpoint
    open(f"{data}/mine", "w").close()
    assert not fill_volume(os.path.dirname(data), str(image))
    assert os.listdir(data) == ["mine"]


def test_an_interrupted_copy_is_done_again(manager, tmp_path) -> None:
    image = tmp_path / "image"
    image.mkdir()
    make_image(image)
    data = manager.create(VolumeConfig("v")).mountpoint
    volume = os.path.dirname(data)
    open(f"{volume}/filling", "w").close()
    os.mkdir(f"{data}/dir")
    open(f"{data}/dir/half", "w").close()
    assert fill_volume(volume, str(image))
    assert sorted(os.listdir(f"{data}/dir")) == ["file"]
    assert not os.path.exists(f"{volume}/filling")
