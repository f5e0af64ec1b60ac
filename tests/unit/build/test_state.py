"""What instructions without files do to an image's configuration."""

from __future__ import annotations

import pytest

from composer.build.dockerfile.parser import parse
from composer.build.scope import evaluate_globals, platform_arguments
from composer.build.state import Snapshot, StageState, parse_port
from composer.errors import BuildError
from composer.images.config import ImageConfig, ImageHealthcheck


def run(text: str, *, base: ImageConfig | None = None, args: dict[str, str] | None = None) -> StageState:
    done = parse(text)
    predefined = platform_arguments("linux/arm64", "linux/amd64")
    globals_ = evaluate_globals(done.arguments, predefined, args or {})
    state = StageState(
        Snapshot(base or ImageConfig(os="linux", architecture="amd64")), globals_, done.source.escape
    )
    for instruction in done.stages[-1].instructions:
        assert state.apply(instruction)
    return state


def test_scratch_gets_a_path_and_a_working_directory() -> None:
    config = run("FROM scratch").config
    assert config.env == ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
    assert config.working_dir == "/"


def test_one_instruction_sees_one_environment() -> None:
    config = run("FROM a\nENV a=1\nENV a=2 b=$a\nENV c=$a").config
    assert config.env[1:] == ("a=2", "b=1", "c=2")


def test_entrypoint_drops_an_inherited_cmd_but_not_its_own() -> None:
    base = ImageConfig(cmd=("base",))
    assert run('FROM a\nENTRYPOINT ["/e"]', base=base).config.cmd is None
    assert run('FROM a\nCMD ["c"]\nENTRYPOINT ["/e"]', base=base).config.cmd == ("c",)


def test_shell_wraps_later_shell_forms_only() -> None:
    config = run('FROM a\nCMD one\nSHELL ["/bin/x", "-y"]\nENTRYPOINT two').config
    assert config.cmd == ("/bin/sh", "-c", "one")
    assert config.entrypoint == ("/bin/x", "-y", "two")


def test_env_wins_over_arg_wherever_it_stands() -> None:
    state = run("FROM a\nENV v=env\nARG v=arg\nLABEL l=$v", args={"v": "given"})
    assert state.config.labels == {"l": "env"}
    assert state.scope.run_environment()["v"] == "env"


def test_global_arguments_reach_a_stage_only_when_declared() -> None:
    state = run("ARG G=1\nFROM a\nLABEL before=$G\nARG G\nLABEL after=$G")
    assert state.config.labels == {"before": "", "after": "1"}


def test_platform_arguments_need_a_declaration() -> None:
    state = run(
        "FROM a\nLABEL a=$TARGETARCH\nARG TARGETARCH BUILDPLATFORM\nLABEL b=$TARGETARCH-$BUILDPLATFORM"
    )
    assert state.config.labels == {"a": "", "b": "arm64-linux/amd64"}


def test_an_argument_that_is_declared_again_keeps_its_value() -> None:
    assert run("FROM a\nARG V=1\nARG V\nLABEL a=$V").config.labels == {"a": "1"}


def test_an_optional_user_or_directory_may_come_out_empty() -> None:
    config = run("FROM a\nARG U\nUSER 5\nUSER $U").config
    assert config.user == ""


def test_proxies_are_not_part_of_the_environment() -> None:
    state = run("FROM a", args={"http_proxy": "http://p", "OTHER": "x"})
    assert "http_proxy" not in state.scope.run_environment()
    assert state.scope.proxies() == {"http_proxy": "http://p"}


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("80", ["80/tcp"]),
        ("53/UDP", ["53/udp"]),
        ("7000-7002", ["7000/tcp", "7001/tcp", "7002/tcp"]),
        ("127.0.0.1:80:8080/tcp", ["8080/tcp"]),
        ("132/sctp", ["132/sctp"]),
    ],
)
def test_ports(text: str, ports: list[str]) -> None:
    assert parse_port(text) == ports


@pytest.mark.parametrize("text", ["70000", "x", "80/icmp", "90-80", "80/", "-1", "0.0.0.0:80"])
def test_what_is_no_port(text: str) -> None:
    with pytest.raises(BuildError):
        parse_port(text)


def test_healthcheck_and_signal() -> None:
    config = run("FROM a\nHEALTHCHECK --interval=1s CMD x\nSTOPSIGNAL SIGRTMIN+3").config
    assert config.healthcheck == ImageHealthcheck(("CMD-SHELL", "x"), interval=1_000_000_000)
    assert config.stop_signal == "SIGRTMIN+3"
    with pytest.raises(BuildError, match="signal"):
        run("FROM a\nSTOPSIGNAL SIGNOPE")


def test_history_has_a_line_for_each_instruction() -> None:
    config = run("FROM a\nENV a=1\nCMD x\nEXPOSE 1").config
    assert [entry.created_by for entry in config.history] == [
        "ENV a=1",
        'CMD ["/bin/sh", "-c", "x"]',
        "EXPOSE [1/tcp]",
    ]
    assert all(entry.empty_layer for entry in config.history)
