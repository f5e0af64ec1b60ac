"""What a layer's tar becomes on disk."""

import gzip
import os
import stat
import subprocess
import tarfile

import pytest

from composer.errors import ImageError
from composer.images.limits import Limits

pytestmark = pytest.mark.root


def test_everything_is_kept_as_tar_keeps_it(store, new_tar, tmp_path, listing):
    tar = (
        new_tar()
        .directory("etc", mode=0o750, uid=3, gid=4, mtime=5)
        .add("etc/passwd", b"root" * 999, uid=1, gid=2, mode=0o640)
        .add("bin/su", b"x", mode=0o4755)
        .directory("tmp", mode=0o1777)
        .directory("mail", mode=0o2775, gid=8)
        .add("mail/box", b"m", gid=5)
        .link("bin/link", "../etc/passwd")
        .link("bin/dangling", "/no/where", mtime=77)
        .hard("bin/again", "bin/su")
        .add("bin/null", type=tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666)
        .add("bin/loop", type=tarfile.BLKTYPE, devmajor=7, devminor=0)
        .add("bin/pipe", type=tarfile.FIFOTYPE, mode=0o600)
        .add(
            "cap",
            b"c",
            xattrs={"security.capability": b"\x01\x00\x00\x02\x00\x04" + bytes(14), "user.note": b"n"},
        )
        .add("ü/\U0001f600", b"u")
        .add("l" * 200 + "/" + "m" * 200, b"long", mtime=-5)
        .add("empty")
        .add("big", os.urandom(3_000_000))
        .bytes()
    )
    layer = store.add_layer_from_tar([tar])
    oracle = tmp_path / "oracle"
    oracle.mkdir()
    subprocess.run(
        ["tar", "-xpf", "-", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-C", oracle],
        input=tar,
        check=True,
    )
    found, expected = listing(layer.diff), listing(oracle)
    for path in ("ü", "bin", "l" * 200):  # parents without an entry: their time is ours to choose
        assert found.pop(path)[:3] == expected.pop(path)[:3]
    assert found == expected


def test_sparse_files_stay_sparse(store, tmp_path):
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.truncate(50 << 20)
        file.seek(20 << 20)
        file.write(b"middle")
    for style in ("--format=gnu", "--format=posix"):
        archive = tmp_path / f"s{style}.tar"
        subprocess.run(["tar", "-cSf", archive, style, "-C", tmp_path, "sparse"], check=True)
        with open(archive, "rb") as file:
            layer = store.add_layer_from_tar(file)
        made = layer.diff / "sparse"
        assert made.stat().st_blocks * 512 < 1 << 20
        assert made.read_bytes() == path.read_bytes()


def test_whiteouts_hide_what_is_below(store, new_tar, mounted):
    lower = store.add_layer_from_tar(
        [
            new_tar()
            .add("gone", b"1").add("kept", b"1").add("dir/a", b"1").add("dir/b", b"1")
            .add("opaque/old", b"1").add("remade/old", b"1").add("implied/old", b"1").add("sub/x/y", b"1")
            .bytes()
        ]
    )  # fmt: skip
    upper = store.add_layer_from_tar(
        [
            new_tar()
            .add(".wh.gone").add("dir/.wh.a").add("opaque/new", b"2").add("opaque/.wh..wh..opq")
            .add(".wh.remade").directory("remade").add("remade/new", b"2")
            .add(".wh.implied").add("implied/new", b"2")
            .add(".wh.never").add("sub/.wh.x").add(".wh..wh.plnk/1", b"aufs")
            .bytes()
        ],
        lower.chain_id,
    )  # fmt: skip
    root = mounted([lower.diff, upper.diff])
    names = sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())
    assert names == ["dir/b", "implied/new", "kept", "opaque/new", "remade/new"]


def test_an_entry_beats_its_own_whiteout_in_either_order(store, new_tar):
    tar = new_tar().add(".wh.a").add("a", b"a").add("b", b"b").add(".wh.b").bytes()
    layer = store.add_layer_from_tar([tar])
    assert (layer.diff / "a").read_bytes() == b"a"
    assert (layer.diff / "b").read_bytes() == b"b"


def test_a_directory_after_its_whiteout_is_a_new_one(store, new_tar, mounted):
    lower = store.add_layer_from_tar([new_tar().add("d/old", b"1").bytes()])
    for number, tar in enumerate(
        (new_tar().add(".wh.d").directory("d"), new_tar().directory("d").add(".wh.d").add("x", b"2"))
    ):
        upper = store.add_layer_from_tar([tar.bytes()], lower.chain_id)
        assert list((mounted([lower.diff, upper.diff]) / "d").iterdir()) == [], number


def test_parents_without_an_entry_are_like_those_below(store, new_tar):
    lower = store.add_layer_from_tar(
        [new_tar().directory("./", mode=0o711).directory("a", mode=0o700, uid=7, gid=8, mtime=9).bytes()]
    )
    upper = store.add_layer_from_tar([new_tar().add("a/b/c", b"x").bytes()], lower.chain_id)
    status = (upper.diff / "a").stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, status.st_mtime) == (0o700, 7, 8, 9)
    assert stat.S_IMODE((upper.diff / "a/b").stat().st_mode) == 0o755
    assert stat.S_IMODE(upper.diff.stat().st_mode) == 0o711


def test_a_hard_link_to_a_lower_layer_copies_it_up(store, new_tar):
    lower = store.add_layer_from_tar(
        [new_tar().add("a/file", b"content", uid=5, mode=0o600, xattrs={"user.x": b"1"}).bytes()]
    )
    upper = store.add_layer_from_tar([new_tar().hard("b/link", "a/file").bytes()], lower.chain_id)
    link = upper.diff / "b/link"
    assert link.read_bytes() == b"content"
    assert link.stat().st_ino == (upper.diff / "a/file").stat().st_ino
    assert (link.stat().st_uid, os.getxattr(link, "user.x")) == (5, b"1")


def test_later_entries_win_and_the_same_tar_can_be_written_again(store, new_tar):
    tar = (
        new_tar()
        .add("a", b"first" * 100).add("a", b"second").add("d/x", b"inner").add("d", b"a file now")
        .add("d2/f", b"1").add("d2/f", b"22").add("d2/f", b"333").link("l", "a").add("l", b"no link")
        .hard("h", "a").add("a", b"third").directory("d2").add("x", b"").add("x", b"y")
        .bytes()
    )  # fmt: skip
    layer = store.add_layer_from_tar([tar])
    contents = {path.name: path.read_bytes() for path in layer.diff.rglob("*") if path.is_file()}
    assert contents == {
        "a": b"third",
        "d": b"a file now",
        "f": b"333",
        "l": b"no link",
        "h": b"second",
        "x": b"y",
    }
    assert b"".join(store.layer_tar(layer)) == tar


@pytest.mark.parametrize("style", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_the_tar_comes_back_byte_for_byte(store, new_tar, style):
    tar = new_tar(style).add("n" * 90, os.urandom(700)).directory("d").add("d/e", b"x" * 512).hard("h", "d/e")
    data = tar.add("z", b"").bytes() + bytes(4096)
    layer = store.add_layer_from_tar([data])
    assert b"".join(store.layer_tar(layer)) == data
    assert layer.tar_size == len(data)


def test_a_layer_changed_on_disk_is_noticed(store, new_tar):
    layer = store.add_layer_from_tar([new_tar().add("a", b"1234").bytes()])
    (layer.diff / "a").write_bytes(b"4321")
    with pytest.raises(ImageError, match="changed on disk"):
        list(store.layer_tar(layer))


class TestHostile:
    @pytest.fixture
    def canary(self, tmp_path):
        """A directory outside; the test fails if anything in it changes."""
        place = tmp_path / "canary"
        place.mkdir()
        (place / "file").write_bytes(b"secret")
        os.chmod(place / "file", 0o600)
        os.utime(place, (1, 1))
        yield place
        assert os.listdir(place) == ["file"]
        assert (place / "file").read_bytes() == b"secret"
        status = (place / "file").stat()
        assert (stat.S_IMODE(status.st_mode), status.st_nlink) == (0o600, 1)
        assert place.stat().st_mtime == 1

    def test_links_are_followed_inside_the_layer(self, store, new_tar, canary):
        tar = (
            new_tar()
            .link("abs", str(canary)).add("abs/new", b"evil")
            .link("up", "../" * 30 + str(canary).lstrip("/")).add("up/new2", b"evil")
            .link("one", "two").link("two", "three").link("three", str(canary)).add("one/file", b"evil", mode=0o777)
            .directory("abs/sub", mode=0o777)
            .link("here", ".").link("here2", "here/here").add("here2/deep", b"in")
            .bytes()
        )  # fmt: skip
        layer = store.add_layer_from_tar([tar])
        inside = layer.diff / str(canary).lstrip("/")
        assert sorted(os.listdir(inside)) == ["file", "new", "new2", "sub"]
        assert (layer.diff / "deep").read_bytes() == b"in"

    def test_a_name_is_replaced_not_written_through(self, store, new_tar, canary):
        tar = (
            new_tar()
            .link("f", str(canary / "file"))
            .add("f", b"evil")
            .link("d", str(canary))
            .directory("d", mode=0o777)
        )
        layer = store.add_layer_from_tar([tar.bytes()])
        assert (layer.diff / "f").read_bytes() == b"evil"
        assert not (layer.diff / "d").is_symlink()

    def test_times_and_modes_of_directories_do_not_follow_links(self, store, new_tar, canary):
        tar = (
            new_tar()
            .directory("a").directory("a/b", mode=0o2777, mtime=12345).add("a/b/c", b"")
            .link("a", os.path.dirname(str(canary)))
            .directory("x", mtime=99).link("x", str(canary))
            .bytes()
        )  # fmt: skip
        store.add_layer_from_tar([tar])

    @pytest.mark.parametrize(
        "build",
        [
            lambda tar, _: tar.add("../x", b"e"),
            lambda tar, _: tar.add("a/../../x", b"e"),
            lambda tar, _: tar.add("..", b"e"),
            lambda tar, _: tar.hard("x", "../../../etc/passwd"),
            lambda tar, canary: tar.hard("x", str(canary / "file")),
            lambda tar, canary: tar.link("l", str(canary)).hard("x", "l/file"),
            lambda tar, _: tar.directory("d").hard("x", "d"),
            lambda tar, _: tar.link("a", "b").link("b", "a").add("a/x", b"e"),
            lambda tar, _: tar.add("f", b"e").add("f/x", b"e"),
            lambda tar, _: tar.add("z", type=tarfile.CHRTYPE, devmajor=0, devminor=0),
            lambda tar, _: tar.add(".wh.a/b", b""),
            lambda tar, _: tar.add(".wh.", b""),
            lambda tar, _: tar.add(".wh...", b""),
            lambda tar, _: tar.add("d/.wh..", b""),
            lambda tar, _: tar.add(".wh.a").hard("x", "a"),
            lambda tar, _: tar.add("n" * 300, b"e"),
            lambda tar, _: tar.add("/".join(["d"] * 5000), b"e"),
            lambda tar, _: tar.link("l", ""),
            lambda tar, _: tar.add("./", b"root is a file"),
        ],
    )
    def test_what_cannot_be_honest_is_refused(self, store, new_tar, canary, build):
        with pytest.raises(ImageError):
            store.add_layer_from_tar([build(new_tar(), canary).bytes()])
        assert os.listdir(store.paths.layers) == [] if store.paths.layers.exists() else True
        assert os.listdir(store.directory.temporary) == []

    def test_absolute_names_land_inside(self, store, new_tar, canary):
        layer = store.add_layer_from_tar([new_tar().add(str(canary / "new"), b"in").bytes()])
        assert (layer.diff / str(canary / "new").lstrip("/")).read_bytes() == b"in"

    def test_overlayfs_attributes_are_not_honoured(self, store, new_tar):
        forged = {
            "trusted.overlay.opaque": b"y",
            "trusted.overlay.redirect": b"/etc",
            "user.overlay.opaque": b"y",
            "user.ok": b"1",
        }
        layer = store.add_layer_from_tar(
            [new_tar().directory("d", xattrs=forged).add("f", b"", xattrs=forged).bytes()]
        )
        assert os.listxattr(layer.diff / "d") == ["user.ok"]
        assert os.listxattr(layer.diff / "f") == ["user.ok"]

    def test_an_opaque_mark_through_a_link_stays_inside(self, store, new_tar, canary):
        tar = new_tar().link("l", str(canary)).add("l/.wh..wh..opq").add("l/.wh.file")
        layer = store.add_layer_from_tar([tar.bytes()])
        inside = layer.diff / str(canary).lstrip("/")
        assert os.getxattr(inside, "trusted.overlay.opaque") == b"y"
        assert stat.S_ISCHR((inside / "file").lstat().st_mode)

    def test_limits_end_bombs(self, store, new_tar):
        many = new_tar()
        for number in range(50):
            many.add(f"f{number}", b"")
        with pytest.raises(ImageError, match="more than 10 entries"):
            store.add_layer_from_tar([many.bytes()], limits=Limits(entries=10))
        big = new_tar().add("big", bytes(5 << 20)).bytes()
        with pytest.raises(ImageError, match="more than 1048576 bytes"):
            store.add_layer_from_tar([gzip.compress(big)], limits=Limits(size=1 << 20))
        assert os.listdir(store.directory.temporary) == []

    def test_a_compression_bomb_is_stopped_by_its_ratio(self, store, new_tar, monkeypatch):
        monkeypatch.setattr("composer.images.apply._RATIO_FROM", 1 << 20)
        bomb = gzip.compress(new_tar().add("zeros", bytes(40 << 20)).bytes())
        with pytest.raises(ImageError, match="times its compressed size"):
            store.add_layer_from_tar([bomb])

    def test_a_truncated_archive_leaves_nothing(self, store, new_tar):
        data = new_tar().add("a", b"x" * 10_000).bytes()
        with pytest.raises(ImageError, match="ends early"):
            store.add_layer_from_tar([data[:5000]])
        assert os.listdir(store.directory.temporary) == []
