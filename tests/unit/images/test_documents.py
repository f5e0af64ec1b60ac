"""Configurations, manifests, platforms, changes, locks: values in, values out."""

import json
import time

import pytest

from composer.errors import ImageError, SpecError
from composer.images.changes import apply_changes
from composer.images.config import History, ImageConfig, ImageHealthcheck, parse_document
from composer.images.layers import chain_ids
from composer.images.lockfile import apply_lock, lock_path, read_lock, write_lock
from composer.images.manifests import DOCKER_LIST, OCI_INDEX, OCI_MANIFEST, Index, Manifest, parse_manifest
from composer.images.platforms import Platform, normalise, parse_platform, rank, wanted_platform

DIGEST = "sha256:" + "1" * 64
OTHER = "sha256:" + "2" * 64


def manifest(**changes):
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": DIGEST, "size": 2},
        "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": OTHER, "size": 3}],
    } | changes
    return json.dumps({key: value for key, value in document.items() if value is not None}).encode()


def index(*platforms, kind=OCI_INDEX):
    entries = [
        {
            "mediaType": OCI_MANIFEST,
            "digest": f"sha256:{number:064x}",
            "size": 1,
            **(
                {"platform": dict(zip(("os", "architecture", "variant"), name.split("/"), strict=False))}
                if name
                else {}
            ),
        }
        for number, name in enumerate(platforms)
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode()


class TestConfig:
    def test_equal_values_give_equal_bytes_and_come_back(self):
        config = ImageConfig(
            env=("A=1", "B=ü"),
            cmd=(),
            entrypoint=("/x",),
            volumes=("/data",),
            exposed_ports=("80/tcp",),
            healthcheck=ImageHealthcheck(("CMD", "true"), interval=10**9, retries=2),
            labels={"b": "2", "a": "1"},
            shell=("/bin/bash", "-c"),
            architecture="amd64",
            history=(History(created_by="RUN x"), History(empty_layer=True)),
            diff_ids=(DIGEST,),
            extra={"moby.buildkit.cache.v0": "x"},
            extra_config={"ArgsEscaped": True},
        )
        data = config.to_bytes()
        assert ImageConfig.from_bytes(data) == config
        assert ImageConfig.from_bytes(data).to_bytes() == data
        assert data.isascii() is False
        assert b" " not in data.replace(b"RUN x", b"")

    def test_no_cmd_and_an_empty_cmd_differ(self):
        assert ImageConfig.from_bytes(b'{"config":{"Cmd":null}}').cmd is None
        assert ImageConfig.from_bytes(b'{"config":{"Cmd":[]}}').cmd == ()

    @pytest.mark.parametrize(
        "data",
        [
            b"[]",
            b"{",
            b'{"config": 5}',
            b'{"config": {"Env": "A=1"}}',
            b'{"config": {"Env": [1]}}',
            b'{"rootfs": {"diff_ids": {}}}',
            b'{"history": {"a": 1}}',
            b'{"config":{"Healthcheck":{"Interval":"x"}}}',
            b'{"a": NaN}',
            b'{"a": 1, "a": 2}',
            b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
            b'{"a": ' + b"9" * 10_000 + b"}",
            b'"' + b"x" * (4 << 20) + b'"',
        ],
    )
    def test_junk_is_refused_quickly(self, data):
        start = time.monotonic()
        with pytest.raises(ImageError):
            ImageConfig.from_bytes(data)
        assert time.monotonic() - start < 5

    def test_chain_ids_of_the_specification(self):
        assert chain_ids(()) == ()
        first, second = chain_ids((DIGEST, OTHER))
        assert first == DIGEST
        assert second == "sha256:" + __import__("hashlib").sha256(f"{DIGEST} {OTHER}".encode()).hexdigest()


class TestManifests:
    def test_a_manifest_is_read_and_written(self):
        found = parse_manifest(manifest())
        assert isinstance(found, Manifest)
        assert (found.config.digest, found.layers[0].size) == (DIGEST, 3)
        assert parse_manifest(found.to_bytes()) == found

    @pytest.mark.parametrize(
        ("data", "content_type"),
        [
            (manifest(manifests=[]), ""),
            (manifest(), OCI_INDEX),
            (manifest(), "application/vnd.docker.distribution.manifest.v1+json"),
            (manifest(schemaVersion=1), ""),
            (manifest(schemaVersion=None), ""),
            (manifest(config=None), ""),
            (manifest(layers=5), ""),
            (manifest(layers=[{"digest": "sha256:../../x", "size": 1}]), ""),
            (manifest(layers=[{"digest": DIGEST.upper(), "size": 1}]), ""),
            (manifest(layers=[{"digest": DIGEST, "size": -1}]), ""),
            (manifest(layers=[{"digest": DIGEST, "size": 1.5}]), ""),
            (manifest(layers=[{"digest": DIGEST, "size": True}]), ""),
            (manifest(layers=[{"digest": DIGEST, "size": 1, "mediaType": "text/html"}]), ""),
            (manifest(layers=[{"digest": DIGEST, "size": 1}] * 2000), ""),
            (
                manifest(
                    config={
                        "mediaType": "application/vnd.cncf.helm.config.v1+json",
                        "digest": DIGEST,
                        "size": 1,
                    }
                ),
                "",
            ),
            (index("linux/amd64").replace(b"manifests", b"nothing"), ""),
        ],
    )
    def test_what_is_ambiguous_or_malformed_is_refused(self, data, content_type):
        with pytest.raises(ImageError):
            parse_manifest(data, content_type)

    @pytest.mark.parametrize(
        ("offered", "wanted", "chosen"),
        [
            (("linux/arm64", "linux/amd64"), "linux/amd64", 1),
            (("unknown/unknown", "linux/amd64"), "linux/amd64", 1),
            (("linux/arm64/v8",), "linux/arm64", 0),
            (("linux/arm/v5", "linux/arm/v7", "linux/arm/v6"), "linux/arm64", 1),
            (("linux/arm/v5", "linux/arm/v6"), "linux/arm/v6", 1),
            (("linux/386",), "linux/amd64", 0),
            (("linux/amd64/v3", "linux/amd64/v2", "linux/amd64"), "linux/amd64/v2", 1),
            (("linux/amd64", "linux/amd64"), "linux/amd64", 0),
            (("", "linux/s390x"), "linux/amd64", 0),
        ],
    )
    def test_the_entry_that_runs_best_is_chosen(self, offered, wanted, chosen):
        found = parse_manifest(index(*offered, kind=DOCKER_LIST))
        assert isinstance(found, Index)
        assert found.select(parse_platform(wanted)).digest == f"sha256:{chosen:064x}"

    @pytest.mark.parametrize(
        ("offered", "wanted"),
        [
            ("linux/arm64", "linux/amd64"),
            ("windows/amd64", "linux/amd64"),
            ("linux/amd64/v4", "linux/amd64/v2"),
            ("linux/arm/v7", "linux/arm/v6"),
        ],
    )
    def test_without_a_fitting_entry_the_error_names_what_there_is(self, offered, wanted):
        with pytest.raises(ImageError) as caught:
            parse_manifest(index(offered)).select(parse_platform(wanted))
        assert offered in caught.value.hint


class TestPlatforms:
    @pytest.mark.parametrize(
        ("text", "normal"),
        [
            ("linux/x86_64", "linux/amd64"),
            ("aarch64", "linux/arm64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("armhf", "linux/arm/v7"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("i386", "linux/386"),
        ],
    )
    def test_names_are_normalised(self, text, normal):
        assert str(parse_platform(text)) == normal

    def test_the_environment_is_a_default(self):
        assert wanted_platform("", {"DOCKER_DEFAULT_PLATFORM": "linux/s390x"}) == Platform("linux", "s390x")
        assert wanted_platform("arm64", {"DOCKER_DEFAULT_PLATFORM": "linux/s390x"}) == Platform(
            "linux", "arm64"
        )

    @pytest.mark.parametrize("text", ["", "a/b/c/d", "linux//x"])
    def test_nonsense_is_refused(self, text):
        with pytest.raises(ImageError):
            parse_platform(text)

    def test_other_systems_never_fit(self):
        assert rank(normalise("windows", "amd64"), normalise("linux", "amd64")) is None


class TestChanges:
    def test_instructions_change_the_configuration(self):
        config = apply_changes(
            ImageConfig(env=("A=0", "B=1")),
            [
                'CMD ["a", "b"]',
                "entrypoint run it",
                "ENV A=1 C='x y'",
                "LABEL k=v",
                "WORKDIR /a",
                "WORKDIR b",
                "EXPOSE 80 53/UDP",
                "VOLUME /v /w",
                "USER 5:6",
                "STOPSIGNAL SIGINT",
                "ONBUILD RUN x",
            ],
        )
        assert config.cmd == ("a", "b")
        assert config.entrypoint == ("/bin/sh", "-c", "run it")
        assert config.env == ("A=1", "B=1", "C=x y")
        assert config.labels == {"k": "v"}
        assert config.working_dir == "/a/b"
        assert config.exposed_ports == ("80/tcp", "53/udp")
        assert config.volumes == ("/v", "/w")
        assert (config.user, config.stop_signal, config.on_build) == ("5:6", "SIGINT", ("RUN x",))

    @pytest.mark.parametrize("text", ["RUN x", "", "CMD", "ENV A=1 b", "EXPOSE web", "ENV A='"])
    def test_others_are_refused(self, text):
        with pytest.raises(ImageError):
            apply_changes(ImageConfig(), [text])


class TestLock:
    def test_locked_names_get_their_digest(self, tmp_path):
        path = lock_path(str(tmp_path / "compose.yaml"))
        write_lock(path, {"debian": DIGEST, "x/y:1": OTHER})
        document = {
            "services": {
                "a": {"image": "debian"},
                "b": {"image": "docker.io/x/y:1"},
                "c": {"image": f"debian@{OTHER}"},
                "d": {"image": "debian", "build": {"context": "."}},
                "e": {"image": "redis"},
                "f": {},
            }
        }
        apply_lock(document["services"], read_lock(path))
        images = [service.get("image") for service in document["services"].values()]
        assert images == [
            f"debian@{DIGEST}",
            f"docker.io/x/y:1@{OTHER}",
            f"debian@{OTHER}",
            "debian",
            "redis",
            None,
        ]

    def test_no_file_is_an_empty_lock(self, tmp_path):
        assert read_lock(tmp_path / "compose.lock") == {}

    @pytest.mark.parametrize(
        "text", ["{", "[]", '{"version": 2, "images": {}}', '{"version": 1, "images": {"a": "b"}}']
    )
    def test_a_damaged_file_is_an_error_that_names_it(self, tmp_path, text):
        path = tmp_path / "compose.lock"
        path.write_text(text)
        with pytest.raises(SpecError, match=r"compose\.lock"):
            read_lock(path)


def test_documents_have_a_size_limit():
    with pytest.raises(ImageError, match="bytes"):
        parse_document(b" " * (4 * 1024 * 1024 + 1), "thing")
