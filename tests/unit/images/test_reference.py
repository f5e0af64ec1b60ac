"""Image names."""

import json
from pathlib import Path

import pytest

from composer.errors import ImageError
from composer.images.reference import is_digest, parse

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "canonical", "familiar"),
    [
        ("busybox", "docker.io/library/busybox:latest", "busybox"),
        ("docker.io/library/busybox:1", "docker.io/library/busybox:1", "busybox:1"),
        ("index.docker.io/user/app", "docker.io/user/app:latest", "user/app"),
        ("localhost/x", "localhost/x:latest", "localhost/x"),
        ("localhost:5000/a/b:t", "localhost:5000/a/b:t", "localhost:5000/a/b:t"),
        ("[::1]:5000/x:1", "[::1]:5000/x:1", "[::1]:5000/x:1"),
        ("example.com:80", "docker.io/library/example.com:80", "example.com:80"),
        (f"debian@{DIGEST}", f"docker.io/library/debian@{DIGEST}", f"debian@{DIGEST}"),
        (f"debian:1@{DIGEST}", f"docker.io/library/debian:1@{DIGEST}", f"debian:1@{DIGEST}"),
    ],
)
def test_names_are_normalised(text, canonical, familiar):
    assert (parse(text).canonical, parse(text).familiar) == (canonical, familiar)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-x",
        "x___y",
        "a/B/c",
        "a:",
        ":b",
        "a b",
        "a@",
        "https://x/y",
        "a" * 256,
        "ex.com:a/x",
        "a" * 0 + "f" * 64,
        f"x@{DIGEST[:-1]}",
        f"x@{DIGEST.upper()}",
        "x@sha256:../../x",
        "a/../b",
        "[fe80::1%25eth0]:80/x",
    ],
)
def test_what_is_no_name_is_refused(text):
    with pytest.raises(ImageError, match="is not an image name"):
        parse(text)


def test_an_upper_case_repository_gets_a_hint():
    with pytest.raises(ImageError) as caught:
        parse("user/App")
    assert caught.value.hint == "write 'user/app'"


def test_only_latest_without_digest_is_a_moving_target():
    moving = [parse(name).is_moving for name in ("a", "a:latest", "a:1", f"a@{DIGEST}", f"a:latest@{DIGEST}")]
    assert moving == [True, True, False, False, False]


@pytest.mark.parametrize(
    "text", ["sha256:" + "A" * 64, "sha256:../x", "md5:" + "a" * 32, "sha256:", DIGEST + "0"]
)
def test_digests_that_cannot_be_paths_only(text):
    assert not is_digest(text)
    assert is_digest(DIGEST)


TABLE = Path("/work/shared/build-cases/tables/reference.json")


@pytest.mark.skipif(not TABLE.exists(), reason="the shared tables are not on this machine")
def test_the_table_of_the_reference_implementation_agrees():
    """Three rows call `name@sha256:<64 hex>` an error (their program lacked sha256); names with digests must work."""
    for row in json.loads(TABLE.read_text()):
        text, want = row["given"]["input"], row["want"]
        if want.get("error"):
            if "@sha256:" in text:
                continue
            with pytest.raises(ImageError):
                parse(text)
            continue
        found = parse(text)
        got = {
            "domain": found.domain,
            "path": found.path,
            "canonical": found.canonical,
            "familiar": found.familiar,
            "tag": found.tag,
            "digest": found.digest,
        }
        assert {key: value for key, value in got.items() if value} == want
