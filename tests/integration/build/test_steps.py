"""RUN, COPY, ADD and WORKDIR make the layers that they should."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.build.conftest import Workshop

pytestmark = pytest.mark.root


def test_a_run_becomes_a_layer_with_nothing_of_the_runtime(workshop: Workshop) -> None:
    workshop.write("in", "in\n")
    workshop.build(
        "FROM busybox\nRUN --mount=target=/ctx/deep --mount=type=tmpfs,target=/tmpfs cat /ctx/deep/in > /out\n"
    )
    assert workshop.layer_of(-1).listdir("") == ["out"]
    assert workshop.read("out") == "in\n"


def test_removal_and_replacement_are_seen_by_later_steps(workshop: Workshop) -> None:
    workshop.build(
        "FROM busybox\nRUN mkdir /d && echo a > /d/a\nRUN rm -r /d && echo file > /d\n"
        "RUN rm /etc/group\nRUN cat /d > /seen; ls /etc/group >> /seen 2>&1; true\n"
    )
    assert workshop.read("seen").startswith("file\nls: /etc/group: No such file")
    assert workshop.stat("etc/group") is None


def test_secrets_leave_no_trace(workshop: Workshop, composer_paths: Path) -> None:
    secret = "s3cret-" + os.urandom(8).hex()
    (workshop.root / "secret").write_text(secret)
    workshop.build(
        "FROM busybox\nRUN --mount=type=secret,id=a --mount=type=secret,id=a,env=TOKEN "
        'stat -c \'%a %u\' /run/secrets/a > /perm && test "$TOKEN" = "$(cat /run/secrets/a)"\n',
        "--secret",
        f"id=a,src={workshop.root / 'secret'}",
    )
    assert workshop.read("perm") == "400 0\n"
    assert workshop.stat("run/secrets") is None
    for directory, _, names in os.walk(composer_paths):
        for name in names:
            path = Path(directory, name)
            if path.is_file() and not path.is_symlink():
                assert secret.encode() not in path.read_bytes(), path


@pytest.fixture
def composer_paths(workshop: Workshop) -> Path:
    return workshop.home.paths.root


def test_a_cache_mount_lives_on_and_stays_outside(workshop: Workshop) -> None:
    text = "FROM busybox\nRUN --mount=type=cache,target=/c echo {0} >> /c/f && cat /c/f > /seen\n"
    workshop.build(text.format("one"))
    workshop.build(text.format("two"))
    assert workshop.read("seen") == "one\ntwo\n"
    assert workshop.stat("c") is None


def test_add_unpacks_archives_inside_the_destination_only(workshop: Workshop) -> None:
    canary = workshop.root / "canary"
    canary.mkdir()
    for number, (name, wanted, link) in enumerate(
        [
            ("../x", tarfile.REGTYPE, ""),
            ("l/x", tarfile.SYMTYPE, ""),
            ("h", tarfile.LNKTYPE, "../../etc/passwd"),
        ]
    ):
        kind = tarfile.REGTYPE if name == "l/x" else wanted
        with tarfile.open(workshop.context / "a.tar", "w") as tar:
            if name == "l/x":
                info = tarfile.TarInfo("l")
                info.type, info.linkname = wanted, str(canary)
                tar.addfile(info)
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, 1 if kind == tarfile.REGTYPE else 0
            tar.addfile(info, io.BytesIO(b"x"))
        done = workshop.build("FROM busybox\nADD a.tar /d/\n", tag=f"bad{number}", check=False)
        assert done.code == 1, name
        assert "leads out of" in done.err or "has no target" in done.err
    assert list(canary.iterdir()) == []


def test_copy_does_not_write_through_links(workshop: Workshop) -> None:
    canary = workshop.root / "canary"
    canary.write_text("untouched")
    workshop.write("tree/x/f", "new")
    os.symlink(str(workshop.root), workshop.context / "link")
    workshop.build(
        f"FROM busybox\nRUN mkdir /d && ln -s {canary} /d/f\nCOPY tree/x /d\nCOPY link /l\n", check=False
    )
    assert canary.read_text() == "untouched"


def test_metadata_is_kept_from_stages_and_reset_from_the_context(workshop: Workshop) -> None:
    os.chown(workshop.write("f", "x", 0o4755), 12, 34)
    os.chmod(workshop.context / "f", 0o4755)
    workshop.build(
        "FROM busybox AS s\nRUN mkdir /t && echo a > /t/a && chown 5:6 /t/a && chmod 2640 /t/a && ln /t/a /t/b\n"
        "FROM scratch\nCOPY f /f\nCOPY --from=s /t /t\n"
    )
    own, kept, linked = workshop.stat("f"), workshop.stat("t/a"), workshop.stat("t/b")
    assert own is not None
    assert kept is not None
    assert linked is not None
    assert (own.st_uid, own.st_gid, stat.S_IMODE(own.st_mode)) == (0, 0, 0o4755)
    assert (kept.st_uid, kept.st_gid, stat.S_IMODE(kept.st_mode)) == (5, 6, 0o2640)
    assert kept.st_ino == linked.st_ino


def test_network_and_privileges_need_consent(workshop: Workshop) -> None:
    for flag, allow in (("--network=host", "network.host"), ("--security=insecure", "security.insecure")):
        done = workshop.build(f"FROM busybox\nRUN {flag} true\n", check=False)
        assert done.code == 1
        assert f"--allow {allow}" in done.err
        workshop.build(f"FROM busybox\nRUN {flag} true\n", "--allow", allow)
    workshop.build("FROM busybox\nRUN --network=none ls /sys/class/net > /n\n")
    assert workshop.read("n") == "lo\n"


def test_a_failing_step_shows_its_line_and_keeps_earlier_ones(workshop: Workshop) -> None:
    text = "FROM busybox\nRUN cat /proc/sys/kernel/random/uuid > /u\nRUN echo oops >&2; exit 7\n"
    done = workshop.build(text, check=False)
    assert done.code == 1
    assert "Dockerfile:3:1" in done.err
    assert ">>> RUN echo oops" in done.err
    assert "exit code 7" in done.err
    assert "oops" in done.err
    again = workshop.build(text, check=False)
    assert "RUN cat /proc/sys/kernel/random/uuid > /u CACHED" in again.err


def test_workdir_belongs_to_the_user(workshop: Workshop) -> None:
    workshop.build("FROM busybox\nUSER 7:8\nWORKDIR /a/b\nWORKDIR /tmp\n")
    made = workshop.stat("a/b")
    assert made is not None
    assert (made.st_uid, made.st_gid) == (7, 8)
    assert len(workshop.image().layers) == 2


def test_a_killed_build_leaves_no_secret_for_long(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hush")
    workshop.write("Dockerfile", "FROM busybox\nRUN --mount=type=secret,id=s echo started; sleep 30\n")
    options = ("--secret", f"id=s,src={tmp_path}/secret", str(workshop.context))
    building = subprocess.Popen(
        workshop.home.command("image", "build", "-t", "it", *options),
        env=workshop.home.environ(), stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    private = workshop.store.private
    try:
        assert building.stderr is not None
        assert any(line.endswith("| started\n") for line in building.stderr)
        assert [path.read_text() for path in private.rglob("*") if path.is_file()] == ["hush"]
    finally:
        building.kill()
        building.communicate()
    workshop.build("FROM busybox\nRUN echo next\n")
    assert list(private.iterdir()) == []
    assert list(workshop.store.directory.temporary.iterdir()) == []


def test_every_failure_shows_its_line_and_the_path_of_its_dockerfile(workshop: Workshop) -> None:
    workshop.write("src/app.py", "")
    path = workshop.context / "Dockerfile"
    done = workshop.build("FROM busybox\nRUN true\nCOPY scr/app.py /\nRUN true\n", check=False)
    assert (
        f"{path}:3:1: 'scr/app.py' does not exist in the build context (did you mean 'src/app.py'?)"
        in done.err
    )
    assert "COPY scr/app.py / ERROR Dockerfile:3\n   1 |     FROM busybox\n" in done.err
    assert "   3 | >>> COPY scr/app.py /\n" in done.err
    done = workshop.build("FROM busybox\nRUNN true\n", check=False)
    assert "   2 | >>> RUNN true\n" in done.err
    assert f"{path}:2:1: unknown instruction 'RUNN' (did you mean RUN?)" in done.err


def test_platforms_are_understood_as_elsewhere(workshop: Workshop) -> None:
    text = "FROM busybox\nARG TARGETPLATFORM\nRUN echo $TARGETPLATFORM > /p\n"
    host = workshop.image("busybox").config
    workshop.build(text, "--platform", f"linux/{os.uname().machine}")
    assert workshop.read("p").strip() == host.platform
    assert "InvalidBaseImagePlatform" in workshop.build(text, env={"DOCKER_DEFAULT_PLATFORM": "s390x"}).err
    assert workshop.read("p").strip() == "linux/s390x"
    assert "is not a platform" in workshop.build(text, "--platform", "a/b/c/d", check=False).err
