"""Images that lie: links, fifos, devices and poisoned libraries where the runtime has to tread."""

from __future__ import annotations

import contextlib
import os
import shutil
import time

import pytest

from composer.engine import Mount
from composer.errors import ComposerError

pytestmark = pytest.mark.root


def replace_by_link(layer, path: str, target: str) -> None:
    place = layer / path
    if place.is_symlink() or place.is_file():
        place.unlink()
    elif place.exists():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


@pytest.mark.parametrize("path", ["etc", "run", "sys", "dev", "data", "proc"])
@pytest.mark.parametrize("style", ["absolute", "dots"])
def test_links_lead_nowhere_outside(poisoned, canary, path: str, style: str) -> None:
    # CVE-2026-41579, CVE-2019-19921
    target = str(canary) if style == "absolute" else "../../../../../../../../" + str(canary).lstrip("/")
    replace_by_link(poisoned.layer, path, target)
    mounts = (Mount("tmpfs", "/data/inner"), Mount("content", "/run/secrets/s", content="eA=="))
    try:
        ended = poisoned.sh("cat /data/secret /etc/secret /run/secret 2>/dev/null; echo done", mounts=mounts)
    except ComposerError:
        return
    assert "canary-" not in ended.output


@pytest.mark.parametrize("kind", ["link", "file", "fifo"])
def test_a_false_dev_null_masks_nothing_else(poisoned, kind: str) -> None:
    # CVE-2025-31133
    null = poisoned.layer / "dev/null"
    null.parent.mkdir(exist_ok=True)
    null.unlink(missing_ok=True)
    if kind == "link":
        null.symlink_to("/proc/sys/kernel/core_pattern")
    elif kind == "file":
        null.write_text("x")
    else:
        os.mkfifo(null)
    before = open("/proc/sys/kernel/core_pattern").read()
    try:
        ended = poisoned.sh(
            "echo evil > /proc/kcore; echo evil > /dev/null; head -c4 /proc/kcore; stat -c %F /dev/null"
        )
        assert "character special file" in ended.output
    except ComposerError:
        pass
    assert open("/proc/sys/kernel/core_pattern").read() == before


@pytest.mark.parametrize("kind", ["fifo", "device", "loop", "huge", "host"])
def test_a_passwd_that_is_no_file_is_refused_at_once(poisoned, kind: str) -> None:
    # CVE-2024-9676
    passwd = poisoned.layer / "etc/passwd"
    passwd.unlink()
    if kind == "fifo":
        os.mkfifo(passwd)
    elif kind == "device":
        os.mknod(passwd, 0o20666, os.makedev(1, 5))
    elif kind == "loop":
        passwd.symlink_to("passwd")
    elif kind == "huge":
        with passwd.open("wb") as file:
            file.truncate(2 << 30)
    else:
        passwd.symlink_to("../../../../../../../../etc/shadow")
    started = time.monotonic()
    with pytest.raises(ComposerError):
        poisoned.run("id", user="someone")
    assert time.monotonic() - started < 10


def test_poisoned_libraries_are_never_loaded(poisoned, tmp_path) -> None:
    # CVE-2019-14271: what runs between pivot_root and execve must not import from the image.
    marker = "poison was here"
    body = f"import os\nos.write(2, {marker.encode()!r})\n"
    import sys

    for directory in {os.path.dirname(os.__file__), *(entry for entry in sys.path if entry)}:
        place = poisoned.layer / directory.lstrip("/")
        place.mkdir(parents=True, exist_ok=True)
        for module in ("traceback", "warnings", "codecs", "linecache", "pwd", "grp", "encodings/idna"):
            file = place / f"{module}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(body)
    for args, user in ((("true",), ""), (("no-such-command",), ""), (("true",), "nobody-here")):
        try:
            said = poisoned.run(*args, user=user).output
        except ComposerError as error:
            said = str(error)
        assert marker not in said


def test_the_runtimes_binary_cannot_be_overwritten(sandbox) -> None:
    # CVE-2019-5736: the payload looks for the interpreter behind every process it can see.
    script = """
    for i in 1 2 3 4 5 6 7 8 9 10; do
      for exe in /proc/[0-9]*/exe; do
        target=$(readlink $exe)
        case $target in *python*) (echo x >> $exe) 2>/dev/null && echo overwritten;; esac
      done
    done; echo finished
    """
    ended = sandbox.sh(script)
    assert "overwritten" not in ended.output
    assert "finished" in ended.output


@pytest.mark.parametrize(
    ("args", "code"), [(("no-such-command",), 127), (("/etc/passwd",), 126), (("/etc",), 126)]
)
def test_a_command_that_cannot_run_is_one_sentence(sandbox, args, code: int) -> None:
    with pytest.raises(ComposerError) as caught:
        sandbox.run(*args)
    assert caught.value.exit_code == code
    assert "\n" not in str(caught.value)


def test_a_missing_bind_source_is_named(sandbox, tmp_path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(ComposerError, match=str(missing)):
        sandbox.run("true", mounts=(Mount("bind", "/data", source=str(missing)),))
    assert not missing.exists()


def test_a_working_directory_through_a_link_is_made_inside(poisoned, canary) -> None:
    # CVE-2026-55686
    replace_by_link(poisoned.layer, "link", str(canary))
    with contextlib.suppress(ComposerError):
        poisoned.run("touch", "here", cwd="/link/newdir")
