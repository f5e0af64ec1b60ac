"""Archives of ours and of others: docker-archive, OCI archive, OCI layout; read by podman and skopeo."""

import gzip
import io
import json
import os
import subprocess
import tarfile

import pytest

from composer.errors import ImageError
from composer.images.importing import import_root
from composer.images.load import load
from composer.images.save import save

pytestmark = pytest.mark.root


def run(*words, **options):
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, **options
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def image(store, new_tar):
    lower = (
        new_tar()
        .directory("etc")
        .add("etc/passwd", b"root:x:0:0::/:/bin/sh\n")
        .add("big", os.urandom(300_000))
        .bytes()
    )
    base = import_root(store, [lower], changes=['CMD ["sh"]', "ENV A=1"])
    upper = store.add_layer_from_tar([new_tar().add(".wh.big").add("etc/new", b"n").bytes()], base.chain)
    from composer.images.config import History

    return store.put_image(
        base.config.with_layer(upper.diff_id, History(created_by="second")), names=["test.example/app:1"]
    )


@pytest.fixture
def saved(store, image, tmp_path):
    path = tmp_path / "saved.tar"
    with open(path, "wb") as file:
        save(store, ["test.example/app:1"], file.write)
    return path


@pytest.fixture
def podman(short):
    """podman with a storage of its own."""
    base = ("podman", "--root", short / "root", "--runroot", short / "run", "--storage-driver", "vfs")
    return lambda *words: run(*base, *words)


def same(image, other):
    return (other.id, [layer.diff_id for layer in other.layers]) == (
        image.id,
        [layer.diff_id for layer in image.layers],
    )


def test_what_we_save_we_load_unchanged(image, saved, make_store, listing):
    other = make_store("other")
    found = load(other, saved)
    assert [made.repo_tags for made in found] == [("test.example/app:1",)]
    assert same(image, found[0])
    for ours, theirs in zip(image.layers, found[0].layers, strict=True):
        assert listing(ours.diff) == listing(theirs.diff)
    again = io.BytesIO()
    save(other, ["test.example/app:1"], again.write)
    assert again.getvalue() == saved.read_bytes()


@pytest.mark.parametrize("compress", [["gzip", "-c"], ["zstd", "-qc"], ["xz", "-0c"], ["bzip2", "-c"]])
def test_a_compressed_archive_from_a_pipe(image, saved, make_store, tmp_path, compress):
    if subprocess.run(["which", compress[0]], capture_output=True, check=False).returncode:
        pytest.skip(f"{compress[0]} is not installed")
    packed = tmp_path / "packed"
    with open(packed, "wb") as file:
        subprocess.run([*compress, saved], stdout=file, check=True)
    with open(packed, "rb") as file:
        assert same(image, load(make_store("other"), file)[0])


def test_podman_loads_what_we_save(image, saved, podman):
    podman("load", "-i", saved)
    found = json.loads(podman("image", "inspect", "test.example/app:1"))[0]
    assert found["Id"] == image.id.removeprefix("sha256:")
    assert found["RootFS"]["Layers"] == [layer.diff_id for layer in image.layers]


@pytest.mark.parametrize("style", ["docker-archive", "oci-archive"])
def test_we_load_what_podman_saves(image, saved, podman, make_store, tmp_path, style):
    podman("load", "-i", saved)
    archive = tmp_path / "podman.tar"
    podman("save", "--format", style, "-o", archive, "test.example/app:1")
    found = load(make_store("other"), archive)[0]
    assert found.repo_tags == ("test.example/app:1",)
    assert [layer.diff_id for layer in found.layers] == [layer.diff_id for layer in image.layers]
    assert found.config.cmd == ("sh",)


def test_skopeo_reads_both_halves_of_the_archive(image, saved, tmp_path):
    layout = tmp_path / "layout"
    layout.mkdir()
    run("tar", "-xf", saved, "-C", layout)
    for source in (f"docker-archive:{saved}", f"oci:{layout}:1"):
        config = json.loads(run("skopeo", "inspect", "--config", source))
        assert config["rootfs"]["diff_ids"] == [layer.diff_id for layer in image.layers]
    run("skopeo", "copy", f"docker-archive:{saved}", f"dir:{tmp_path}/dir")


def test_an_oci_layout_keeps_its_blobs_and_its_manifest(image, saved, store, make_store, tmp_path):
    layout = tmp_path / "oci"
    run("skopeo", "copy", "--dest-compress", f"docker-archive:{saved}", f"oci:{layout}:1.0")
    index = json.loads((layout / "index.json").read_text())
    other = make_store("other")
    found = load(other, layout)[0]
    assert found.manifest == index["manifests"][0]["digest"]
    assert found.repo_tags == ()  # a bare tag is no name
    out = tmp_path / "again.tar"
    with open(out, "wb") as file:
        save(other, [found.id], file.write)
    with tarfile.open(out) as archive:
        names = archive.getnames()
    assert f"blobs/{found.manifest.replace(':', '/')}" in names


def test_several_images_share_layers_in_one_archive(store, image, make_store, tmp_path):
    store.tag(image, "other:2")
    second = import_root(store, [b"".join(store.layer_tar(image.layers[0]))], names=["base"])
    path = tmp_path / "all.tar"
    with open(path, "wb") as file:
        save(store, ["test.example/app:1", "other:2", "base"], file.write)
    with tarfile.open(path) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))
    found = {made.id: made.repo_tags for made in load(make_store("other"), path)}
    assert found == {image.id: ("other:2", "test.example/app:1"), second.id: ("base:latest",)}


def rewritten(path, change):
    """The archive with members changed: `change(name, data)` returns new data, or None to leave it out."""
    out = io.BytesIO()
    with tarfile.open(path) as old, tarfile.open(fileobj=out, mode="w") as new:
        for member in old:
            data = old.extractfile(member).read() if member.isfile() else b""
            if member.isfile():
                changed = change(member.name, data)
                if changed is None:
                    continue
                data, member.size = changed, len(changed)
            new.addfile(member, io.BytesIO(data))
    return out.getvalue()


def without_index(name, data):
    return None if name in ("index.json", "oci-layout") else data


@pytest.mark.parametrize(
    "change",
    [
        lambda name, data: None if name in ("index.json", "manifest.json") else data,
        lambda name, data: data[:-1] if name == "index.json" else data,
        lambda name, data: data.replace(b'"sh"', b'"xx"') if len(data) < 2000 and name.startswith("blobs/") else data,
        lambda name, data: data.replace(b"root", b"toor", 1) if len(data) > 300_000 else data,
        lambda name, data: data[:100_000] if len(data) > 300_000 else data,
        lambda name, data: None if len(data) > 300_000 else data,
        lambda name, data: data + b" " * (5 << 20) if name == "index.json" else data,
        lambda name, data: data.replace(b"root", b"toor", 1) if len(data) > 300_000 else without_index(name, data),
        lambda name, data: b"[1]" if name == "manifest.json" else without_index(name, data),
        lambda name, data: b"[{}]" if name == "manifest.json" else without_index(name, data),
        lambda name, data: data.replace(b"blobs/", b"../../") if name == "manifest.json" else without_index(name, data),
        lambda name, data: data.replace(b"test.example/app:1", b"../../etc/x") if name == "manifest.json" else without_index(name, data),
    ],
)  # fmt: skip
def test_a_damaged_archive_is_refused_and_leaves_nothing(saved, make_store, change):
    other = make_store("other")
    with pytest.raises(ImageError):
        load(other, io.BytesIO(rewritten(saved, change)))
    assert other.images() == []
    assert os.listdir(other.directory.temporary) == []


def test_old_docker_archives_with_links_between_layers(new_tar, make_store):
    import hashlib

    layer = new_tar().add("f", b"1").bytes()
    config = json.dumps(
        {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"] * 2},
        }
    ).encode()
    manifest = [{"Config": "c.json", "RepoTags": ["old:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}]
    archive = (
        new_tar()
        .add("a/layer.tar", gzip.compress(layer))
        .link("b/layer.tar", "../a/layer.tar")
        .add("c.json", config)
    )
    archive = archive.add("manifest.json", json.dumps(manifest).encode()).bytes()
    found = load(make_store("other"), io.BytesIO(archive))[0]
    assert len(found.layers) == 2
    assert (found.layers[1].diff / "f").read_bytes() == b"1"


def test_a_layout_cannot_lead_outside(saved, make_store, tmp_path):
    layout = tmp_path / "layout"
    layout.mkdir()
    run("tar", "-xf", saved, "-C", layout)
    (layout / "index.json").unlink()
    (layout / "index.json").symlink_to("/etc/passwd")
    (layout / "manifest.json").unlink()
    with pytest.raises(ImageError, match="no image archive"):
        load(make_store("other"), layout)
