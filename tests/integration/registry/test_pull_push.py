"""Pull and push against Debian's docker-registry, alone and together with skopeo and podman."""

import json
import os
import subprocess

import pytest

from composer.errors import ImageError, NotFoundError, RegistryError
from composer.images.pull import pull
from composer.images.push import push
from composer.images.remove import prune, remove_image
from composer.registry.client import Registry
from composer.registry.credentials import Credentials, Keychain

pytestmark = pytest.mark.root


def run(*words, check=True):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, done.stderr
    return done


def skopeo(*words):
    return run("skopeo", *words).stdout


def test_what_is_pushed_is_pulled_by_tag_and_by_digest(registry, store, make_store, make_image, quick):
    image = make_image(f"{registry}/team/app:1")
    pushed = push(store, f"{registry}/team/app:1", settings=quick)
    for number, name in enumerate((f"{registry}/team/app:1", f"{registry}/team/app@{pushed.digest}")):
        other = make_store(f"other{number}")
        done = pull(other, name, settings=quick)
        assert (done.image.id, done.digest, done.changed) == (image.id, pushed.digest, True)
        assert [layer.diff_id for layer in done.image.layers] == [layer.diff_id for layer in image.layers]
        assert other.get(name).id == image.id
        assert done.image.repo_digests == (f"{registry}/team/app@{pushed.digest}",)
        assert os.listdir(other.paths.root / "downloads") == []
    assert pull(other, f"{registry}/team/app:1", settings=quick).changed
    assert not pull(other, f"{registry}/team/app:1", settings=quick).changed


def test_a_pulled_image_is_passed_on_byte_for_byte(registry, store, make_store, make_image, quick):
    make_image(f"{registry}/a:1")
    first = push(store, f"{registry}/a:1", settings=quick)
    other = make_store("other")
    pull(other, f"{registry}/a:1", settings=quick)
    other.tag(f"{registry}/a:1", f"{registry}/b:2")
    events = []
    assert push(other, f"{registry}/b:2", settings=quick, report=events.append).digest == first.digest
    assert [event.action for event in events if event.kind == "layer" and event.status == "done"] == [
        "Mounted from a"
    ] * 2


def test_layers_that_are_there_are_not_sent_again(registry, store, make_image, quick):
    make_image(f"{registry}/a:1")
    push(store, f"{registry}/a:1", settings=quick)
    events = []
    push(store, f"{registry}/a:1", settings=quick, report=events.append)
    assert {event.action for event in events if event.kind == "layer" and event.status == "done"} == {
        "Layer already exists"
    }


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_skopeo_reads_what_we_push(registry, store, make_image, quick, tmp_path, compression):
    image = make_image(f"{registry}/a:1")
    pushed = push(store, f"{registry}/a:1", settings=quick, compression=compression)
    found = json.loads(skopeo("inspect", "--tls-verify=false", f"docker://{registry}/a:1"))
    assert found["Digest"] == pushed.digest
    skopeo("copy", "--src-tls-verify=false", f"docker://{registry}/a:1", f"oci-archive:{tmp_path}/out.tar")
    config = json.loads(skopeo("inspect", "--config", f"oci-archive:{tmp_path}/out.tar"))
    assert config["rootfs"]["diff_ids"] == [layer.diff_id for layer in image.layers]


@pytest.mark.parametrize("style", ["oci", "v2s2"])
def test_we_pull_what_others_push(registry, store, make_store, make_image, quick, style):
    image = make_image(f"{registry}/a:1")
    push(store, f"{registry}/a:1", settings=quick)
    skopeo(
        "copy",
        "--src-tls-verify=false",
        "--dest-tls-verify=false",
        f"--format={style}",
        f"docker://{registry}/a:1",
        f"docker://{registry}/b:1",
    )
    found = pull(make_store("other"), f"{registry}/b:1", settings=quick).image
    assert [layer.diff_id for layer in found.layers] == [layer.diff_id for layer in image.layers]
    assert found.config.cmd == ("sh",)


def test_podman_pulls_what_we_push(registry, store, make_image, quick, short):
    image = make_image(f"{registry}/a:1")
    push(store, f"{registry}/a:1", settings=quick)
    podman = ("podman", "--root", short / "root", "--runroot", short / "run", "--storage-driver", "vfs")
    run(*podman, "pull", "--tls-verify=false", f"{registry}/a:1")
    found = json.loads(run(*podman, "image", "inspect", f"{registry}/a:1").stdout)[0]
    assert found["Id"] == image.id.removeprefix("sha256:")


def test_an_index_gives_the_image_of_the_platform(registry, store, make_store, make_image, quick):
    from composer.images.config import ImageConfig
    from composer.images.manifests import OCI_INDEX, canonical
    from composer.images.platforms import host_platform

    make_image(f"{registry}/a:host")
    host = push(store, f"{registry}/a:host", settings=quick)
    layer = store.get(f"{registry}/a:host").layers[0]
    other_arch = "s390x" if host_platform().architecture != "s390x" else "amd64"
    store.put_image(
        ImageConfig(architecture=other_arch, diff_ids=(layer.diff_id,)), names=[f"{registry}/a:other"]
    )
    foreign = push(store, f"{registry}/a:other", settings=quick)
    entries = [
        {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": done.digest,
            "size": done.size,
            "platform": {"os": "linux", "architecture": arch},
        }
        for done, arch in ((foreign, other_arch), (host, host_platform().architecture))
    ]
    index = canonical({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries})
    client = Registry(registry, settings=quick)
    client.put_manifest("a", "multi", index, OCI_INDEX)
    client.close()
    third = make_store("third")
    assert (
        pull(third, f"{registry}/a:multi", settings=quick).image.config.architecture
        == host_platform().architecture
    )
    assert (
        pull(
            third, f"{registry}/a:multi", settings=quick, platform=f"linux/{other_arch}"
        ).image.config.architecture
        == other_arch
    )
    with pytest.raises(ImageError, match="no image for linux/riscv64") as caught:
        pull(third, f"{registry}/a:multi", settings=quick, platform="linux/riscv64")
    assert other_arch in caught.value.hint


def test_a_removed_image_can_be_pulled_again(registry, store, make_image, quick):
    image = make_image(f"{registry}/a:1")
    push(store, f"{registry}/a:1", settings=quick)
    remove_image(store, f"{registry}/a:1")
    prune(store)  # the base image has no name
    assert store.directory.all() == []
    assert pull(store, f"{registry}/a:1", settings=quick).image.id == image.id


@pytest.mark.parametrize("name", ["nothing:1", "nothing", "a@sha256:" + "0" * 64])
def test_a_missing_image_is_not_found(registry, store, quick, name):
    with pytest.raises(NotFoundError, match="has no"):
        pull(store, f"{registry}/{name}", settings=quick)


def test_a_moving_target_is_mentioned_once(registry, store, make_image, quick):
    make_image(f"{registry}/a")
    push(store, f"{registry}/a", settings=quick)
    events = []
    pull(store, f"{registry}/a", settings=quick, report=events.append)
    assert [event.text for event in events if event.kind == "warning"] == [
        f"{registry}/a:latest is a moving target; composer lock pins digests"
    ]


def test_nobody_listens(store, quick):
    with pytest.raises(RegistryError, match="cannot connect to 127"):
        pull(store, "127.0.0.1:1/a:1", settings=quick)


class TestLogin:
    def test_strangers_are_told_to_log_in(self, private_registry, store, make_image, quick):
        make_image(f"{private_registry}/a:1")
        for action in (pull, push):
            with pytest.raises(RegistryError, match="wants a login") as caught:
                action(store, f"{private_registry}/a:1", settings=quick)
            assert "composer login" in caught.value.hint

    def test_the_login_of_config_json_is_used(self, private_registry, store, make_store, make_image, quick):
        make_image(f"{private_registry}/a:1")
        Keychain().store(private_registry, Credentials("me", "pa:ss"))
        pushed = push(store, f"{private_registry}/a:1", settings=quick)
        assert pull(make_store("other"), f"{private_registry}/a:1", settings=quick).digest == pushed.digest

    def test_wrong_credentials_are_named_with_their_place(self, private_registry, store, quick):
        Keychain().store(private_registry, Credentials("me", "wrong"))
        with pytest.raises(RegistryError, match=r"refused .* credentials from .*config\.json"):
            pull(store, f"{private_registry}/a:1", settings=quick)

    def test_the_commands(self, private_registry, tmp_path):
        import sys

        def composer(*words, text=""):
            environ = {**os.environ, "COMPOSER_HOME": str(tmp_path / "home")}
            return subprocess.run(
                [sys.executable, "-m", "composer", *words],
                input=text,
                capture_output=True,
                text=True,
                env=environ,
                check=False,
            )

        wrong = composer("login", "-u", "me", "--password-stdin", private_registry, text="nope\n")
        assert wrong.returncode == 1
        assert "refused" in wrong.stderr
        right = composer("login", "-u", "me", "--password-stdin", private_registry, text="pa:ss\n")
        assert (right.returncode, right.stdout) == (0, "Login Succeeded\n")
        assert "pa:ss" not in (tmp_path / "docker" / "config.json").read_text()
        out = composer("logout", private_registry)
        assert out.stdout == f"Removing login credentials for {private_registry}\n"
        assert composer("logout", private_registry).stdout == f"Not logged in to {private_registry}\n"
