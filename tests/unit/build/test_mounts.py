"""The options of RUN --mount, and the values of command line options."""

from __future__ import annotations

import pytest

from composer.build.dockerfile.mounts import parse_mount
from composer.build.options import parse_secret, parse_size, parse_ulimit
from composer.build.request import SecretSource
from composer.errors import BuildError, UsageError


def same(text: str) -> str:
    return text


def test_bind_is_the_default_and_read_only() -> None:
    mount = parse_mount("target=/x", same)
    assert (mount.type, mount.read_only, mount.source, mount.origin) == ("bind", True, "", "")
    assert not parse_mount("target=/x,rw", same).read_only


def test_aliases_case_and_quotes() -> None:
    mount = parse_mount('TYPE=cache,dst=/c,"id=a,b",sharing=LOCKED,mode=0700,uid=1,gid=2', same)
    assert (mount.id, mount.sharing, mount.mode, mount.uid, mount.gid) == ("a,b", "locked", 0o700, 1, 2)


def test_values_are_expanded_except_from() -> None:
    mount = parse_mount("type=bind,from=$x,source=$x,target=/y", lambda text: text.replace("$x", "/v"))
    assert (mount.origin, mount.source) == ("$x", "/v")


@pytest.mark.parametrize(
    "text",
    [
        "type=nope,target=/x",
        "type=tmpfs",
        "type=tmpfs,target=/x,id=1",
        "type=tmpfs,target=/x,size=big",
        "type=secret",
        "type=bind,target=/x,nope=1",
        "type=cache,target=/x,sharing=all",
        "type=cache,target=/x,mode=999",
        "type=cache,target=/x,uid=-1",
        "type=cache,target=/x,uid=4294967296",
        "type=bind,target",
        "type=bind,target=/x,ro=maybe",
    ],
)
def test_wrong_options_are_refused(text: str) -> None:
    with pytest.raises(BuildError):
        parse_mount(text, same)


def test_sizes() -> None:
    assert parse_mount("type=tmpfs,target=/x,size=1.5m", same).size == 3 * 2**19
    assert parse_size("64m", "--shm-size") == 64 * 2**20


def test_secrets_of_the_command_line(tmp_path: object) -> None:
    assert parse_secret("id=a,env=V", {"V": "x"}) == ("a", SecretSource(value="x"))
    assert parse_secret("id=V", {"V": "x"}) == ("V", SecretSource(value="x"))
    assert parse_secret("id=a,src=/etc/passwd", {}) == ("a", SecretSource(file="/etc/passwd"))
    for wrong in ("src=/f", "id=a,env=V", "id=a,nope=1", "id=a,src=/nowhere", "id=a,src=/etc"):
        with pytest.raises(UsageError):
            parse_secret(wrong, {})


def test_ulimits() -> None:
    assert parse_ulimit("nofile=1:2") == ("nofile", (1, 2))
    assert parse_ulimit("nproc=5") == ("nproc", (5, 5))
    with pytest.raises(UsageError):
        parse_ulimit("nofile")
