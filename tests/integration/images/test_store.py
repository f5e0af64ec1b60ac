"""Names, removal, garbage, several processes at once, and death in the middle."""

import contextlib
import io
import json
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from composer.errors import ConflictError, ImageError, NotFoundError
from composer.images.config import ImageConfig
from composer.images.importing import commit_changes, import_root
from composer.images.merged import MergedWriter
from composer.images.remove import prune, remove_image, sweep_unneeded
from composer.images.store import Store
from composer.state.paths import Paths

pytestmark = pytest.mark.root


@pytest.fixture
def image(store, new_tar):
    """`image("name:tag", content)` makes an image of one file."""

    def make(name, content=b"x"):
        return import_root(store, [new_tar().add("file", content).bytes()], names=[name] if name else [])

    return make


class TestNames:
    def test_an_image_is_found_by_name_digest_id_and_short_id(self, store, image):
        made = image("localhost:5000/app:1")
        store.add_digest(made.id, "localhost:5000/app", "sha256:" + "1" * 64)
        names = [
            "localhost:5000/app:1",
            "localhost:5000/app@sha256:" + "1" * 64,
            made.id,
            made.id[7:],
            made.short_id,
            made.id[:15],
        ]
        assert {store.resolve(name).id for name in names} == {made.id}
        assert store.resolve("localhost:5000/app") is None
        assert store.resolve("app:1") is None
        with pytest.raises(NotFoundError):
            store.get("nothing")

    def test_a_name_moves_to_the_image_that_was_tagged_last(self, store, image):
        old, new = image("app", b"1"), image("", b"2")
        store.tag(new, "app:latest")
        assert store.get("app").id == new.id
        assert store.image(old.id).repo_tags == ()

    def test_a_name_that_looks_like_an_id_is_a_name_first(self, store, image):
        first, second = image("", b"1"), image("", b"2")
        store.tag(second, first.short_id)
        assert store.get(first.short_id).id == second.id

    def test_layers_are_stored_once(self, store, image):
        one, two = image("a"), image("b")
        assert one.layers == two.layers
        assert len(store.directory.all()) == 1

    def test_an_image_needs_its_layers(self, store):
        with pytest.raises(ImageError, match="not in the store"):
            store.put_image(ImageConfig(diff_ids=("sha256:" + "0" * 64,)))


class TestRemoval:
    def test_the_last_name_takes_image_and_layers_along(self, store, image):
        made = image("a")
        store.tag(made, "b:1")
        assert [tuple(step) for step in remove_image(store, "a")] == [("untagged", "a:latest")]
        assert [step.action for step in remove_image(store, "b:1")] == ["untagged", "deleted"]
        assert store.directory.all() == []
        assert store.blobs.all() == []

    def test_an_id_with_names_in_several_repositories_needs_force(self, store, image):
        made = image("a")
        store.tag(made, "a:2")
        store.tag(made, "other")
        with pytest.raises(ConflictError, match="several repositories"):
            remove_image(store, made.short_id)
        remove_image(store, made.short_id, force=True)
        assert store.images() == []

    def container(self, store, image, status=""):
        directory = store.paths.container("c" * 64)
        directory.mkdir(parents=True)
        config = {"name": "web", "image_id": image.id, "layers": list(image.layer_dirs)}
        (directory / "config.json").write_text(json.dumps(config))
        run = store.paths.container_run("c" * 64)
        run.mkdir(parents=True)
        (run / "state.json").write_text(json.dumps({"status": status}))

    def test_a_running_container_keeps_its_image_whatever_force_says(self, store, image):
        self.container(store, image("a"), "running")
        for force in (False, True):
            with pytest.raises(ConflictError, match="web is running"):
                remove_image(store, "a", force=force)

    def test_a_stopped_container_yields_to_force_but_keeps_its_layers(self, store, image):
        self.container(store, image("a"), "exited")
        with pytest.raises(ConflictError, match="was made from"):
            remove_image(store, "a")
        remove_image(store, "a", force=True)
        assert len(store.directory.all()) == 1

    def test_prune_spares_names_and_containers_unless_told(self, store, image):
        image("named", b"1")
        nameless = image("", b"2")
        self.container(store, image("", b"3"))
        assert [step.name for step in prune(store).removals] == [nameless.id]
        assert len(store.images()) == 2
        prune(store, everything=True)
        assert len(store.images()) == 1

    def test_prune_waits_for_who_uses_an_image(self, store, image):
        used = image("used:1")
        waited = []

        def end():
            waited.append(store.resolve("used:1").id)
            holder.close()

        holder = contextlib.ExitStack()
        holder.enter_context(store.using())
        prune(store, everything=True, waiting=end)
        assert waited == [used.id], "it was still there when the wait began"
        assert store.images() == []

    def test_protected_layers_stay_until_released(self, store, new_tar):
        lower = store.add_layer_from_tar([new_tar().add("a").bytes()])
        upper = store.add_layer_from_tar([new_tar().add("b").bytes()], lower.chain_id)
        store.protect("cache", [upper.chain_id])
        sweep_unneeded(store)
        assert {layer.chain_id for layer in store.directory.all()} == {lower.chain_id, upper.chain_id}
        store.release("cache")
        sweep_unneeded(store)
        assert store.directory.all() == []

    def test_nothing_is_swept_while_somebody_works(self, store, new_tar):
        with store.using():
            store.add_layer_from_tar([new_tar().add("a").bytes()])
            assert sweep_unneeded(store, blocking=False) == 0
            assert len(store.directory.all()) == 1

    def test_what_a_dead_process_left_is_swept_and_a_living_ones_is_not(self, store):
        with store.scratch() as mine:
            dead = store.directory.temporary / "999999999.1.abc"
            (dead / "sub").mkdir(parents=True)
            reused = store.directory.temporary / f"{os.getpid()}.1.abc"
            reused.mkdir()
            sweep_unneeded(store)
            assert mine.exists()
            assert not dead.exists()
            assert not reused.exists()


class TestDirectories:
    def upper(self, tmp_path):
        """What a container that ran on a lower layer would leave in its overlay upper directory."""
        root = tmp_path / "upper"
        (root / "dir").mkdir(parents=True)
        (root / "dir" / "new").write_bytes(b"new")
        os.mknod(root / "gone", stat.S_IFCHR, 0)
        (root / "fresh").mkdir()
        os.setxattr(root / "fresh", "trusted.overlay.opaque", b"y")
        (root / "again").mkdir()
        os.setxattr(root / "again", "trusted.overlay.opaque", b"y")
        os.setxattr(root / "dir", "trusted.overlay.origin", b"junk")
        os.link(root / "dir" / "new", root / "hard")
        return root

    def test_an_upper_directory_becomes_a_layer_without_a_copy(self, store, new_tar, tmp_path):
        lower = store.add_layer_from_tar([new_tar().add("gone").add("again/old").add("dir/old").bytes()])
        upper = self.upper(tmp_path)
        inode = (upper / "dir" / "new").stat().st_ino
        layer = store.add_layer_from_directory(upper, lower.chain_id)
        assert (layer.diff / "dir" / "new").stat().st_ino == inode
        assert not upper.exists()
        import tarfile

        with tarfile.open(fileobj=io.BytesIO(b"".join(store.layer_tar(layer)))) as found:
            names = {member.name: member.type for member in found}
        assert names == {
            ".wh.gone": tarfile.REGTYPE,
            "again": tarfile.DIRTYPE,
            "again/.wh..wh..opq": tarfile.REGTYPE,
            "dir": tarfile.DIRTYPE,
            "dir/new": tarfile.REGTYPE,
            "fresh": tarfile.DIRTYPE,
            "hard": tarfile.LNKTYPE,
        }

    def test_its_tar_unpacks_to_the_same_layer(self, store, make_store, new_tar, tmp_path, listing):
        base = new_tar().add("gone").add("again/old").bytes()
        lower = store.add_layer_from_tar([base])
        layer = store.add_layer_from_directory(self.upper(tmp_path), lower.chain_id)
        other = make_store("other")
        other.add_layer_from_tar([base])
        copy = other.add_layer_from_tar(store.layer_tar(layer), lower.chain_id, diff_id=layer.diff_id)
        first, second = listing(layer.diff), listing(copy.diff)
        for found in (first, second):  # marks that a tar does not carry, or that mean the same
            for path in ("dir", "fresh", "again"):
                found[path] = found[path][:-1]
            found["gone"] = found["gone"][3]
        assert first == second

    @pytest.mark.parametrize("name", ["trusted.overlay.redirect", "trusted.overlay.metacopy"])
    def test_redirects_mean_wrong_mount_options(self, store, tmp_path, name):
        root = tmp_path / "upper"
        (root / "d").mkdir(parents=True)
        os.setxattr(root / "d", name, b"x")
        with pytest.raises(ImageError, match="redirect_dir"):
            store.add_layer_from_directory(root)

    def test_a_directory_can_be_imported_and_exported(self, store, tmp_path):
        root = tmp_path / "root"
        (root / "etc").mkdir(parents=True)
        (root / "etc" / "passwd").write_text("root")
        os.chmod(root, 0o700)
        made = import_root(store, root, names=["x"], changes=['CMD ["sh"]'])
        assert (made.layers[0].diff / "etc/passwd").read_text() == "root"
        assert stat.S_IMODE(made.layers[0].diff.stat().st_mode) == 0o700
        assert made.config.cmd == ("sh",)

    def test_commit_adds_the_changes_and_leaves_the_container(self, store, new_tar, tmp_path):
        base = import_root(store, [new_tar().add("gone").add("again/old").bytes()], names=["base"])
        upper = self.upper(tmp_path)
        made = commit_changes(store, upper, base, names=["made"], message="m", command="sh")
        assert len(made.layers) == 2
        assert made.config.history[-1].comment == "m"
        assert (upper / "dir" / "new").exists()
        assert (made.layers[1].diff / "gone").lstat().st_rdev == 0

    def test_export_merges_as_overlayfs_does(self, store, new_tar, tmp_path, mounted):
        layers = [
            store.add_layer_from_tar(
                [new_tar().add("gone").add("again/old").add("dir/old").add("file/a").link("l", "x").bytes()]
            )
        ]
        middle = new_tar().add(".wh.file").add("dir/mid", b"1").add("again/mid").add("l", b"file").bytes()
        layers.append(store.add_layer_from_tar([middle], layers[0].chain_id))
        upper = self.upper(tmp_path)
        directories = [*(layer.diff for layer in layers), upper]
        import tarfile

        with tarfile.open(fileobj=io.BytesIO(b"".join(MergedWriter(directories).chunks()))) as found:
            names = sorted(member.name for member in found if member.name != ".")
        shown = mounted(directories)
        assert names == sorted(str(path.relative_to(shown)) for path in shown.rglob("*"))


def _import(home, archive, name, barrier):
    barrier.wait()
    with open(archive, "rb") as file:
        import_root(Store(Paths(home / "lib", home / "run")), file, names=[name])


class TestProcesses:
    def test_many_processes_import_the_same_layer_at_once(self, store, new_tar, tmp_path):
        archive = tmp_path / "a.tar"
        archive.write_bytes(new_tar().add("f", os.urandom(2_000_000)).bytes())
        barrier = multiprocessing.Barrier(4)
        workers = [
            multiprocessing.Process(target=_import, args=(tmp_path, archive, f"n{number}", barrier))
            for number in range(4)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0] * 4
        assert len(store.directory.all()) == 1
        assert {tag for image in store.images() for tag in image.repo_tags} == {
            f"n{number}:latest" for number in range(4)
        }
        assert os.listdir(store.directory.temporary) == []

    def test_death_at_any_moment_leaves_a_store_that_works(self, store, new_tar, tmp_path):
        tar = new_tar()
        for number in range(3000):
            tar.add(f"d{number % 50}/f{number}", b"x" * 2000)
        archive = tmp_path / "a.tar"
        archive.write_bytes(tar.bytes())
        command = [sys.executable, "-m", "composer", "image", "import", str(archive), "x"]
        environ = {**os.environ, "COMPOSER_HOME": str(tmp_path)}
        for delay in (0.12, 0.16, 0.2, 0.24, 0.3, 0.4):
            process = subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL)
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            process.wait()
            for layer in store.directory.all():
                assert len(list(layer.diff.rglob("f*"))) == 3000
        subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
        sweep_unneeded(store)
        assert os.listdir(store.directory.temporary) == []
        assert len(store.get("x").layers) == 1
        assert b"".join(store.layer_tar(store.get("x").layers[0])) == archive.read_bytes()

    def test_other_users_cannot_look_in(self, store, image):
        image("x")
        for path in (store.paths.layers, store.paths.blobs / "sha256", store.directory.temporary):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path

    def test_a_full_disk_leaves_nothing(self, new_tar, tmp_path):
        place = tmp_path / "small"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], check=True)
        try:
            store = Store(Paths(place / "lib", place / "run"))
            tar = new_tar().add("big", os.urandom(4_000_000)).bytes()
            with pytest.raises(ImageError, match="No space") as caught:
                import_root(store, [tar], names=["x"])
            assert "free some space" in caught.value.hint
            assert os.listdir(store.directory.temporary) == []
            assert store.images() == []
        finally:
            subprocess.run(["umount", "-l", place], check=True)  # the database is still open
