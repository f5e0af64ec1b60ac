from __future__ import annotations

import dataclasses

import pytest

from composer.cli.arguments import create_options, scales
from composer.cli.commands import create, plan, run, up
from composer.cli.commands import exec as exec_
from composer.cli.commands.cp import split
from composer.cli.describe import describe_all
from composer.cli.parser import CommandParser
from composer.controller.options import RunOptions, UpOptions
from composer.errors import UnsupportedError, UsageError
from composer.values import from_json


def parse(module, *words: str):
    parser = CommandParser(module.__name__.rpartition(".")[2], module.HELP)
    module.add_arguments(parser)
    return parser.parse(words)


@pytest.mark.parametrize(
    "words",
    [
        ["-d", "--abort-on-container-exit"],
        ["-d", "--abort-on-container-failure"],
        ["-d", "--exit-code-from", "web"],
        ["-d", "--attach", "web"],
        ["-d", "--no-attach", "web"],
        ["-d", "--attach-dependencies"],
        ["-d", "--watch"],
        ["--wait", "--attach", "web"],
        ["--wait", "--abort-on-container-exit"],
        ["--no-start", "--wait"],
        ["--abort-on-container-exit", "--abort-on-container-failure"],
    ],
)
def test_up_refuses_options_that_exclude_each_other(words) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        up.check(parse(up, *words))


@pytest.mark.parametrize(
    "words",
    [
        ["--build", "--no-build"],
        ["--force-recreate", "--no-recreate"],
        ["-V", "--no-recreate"],
        ["--always-recreate-deps", "--no-recreate"],
    ],
)
def test_contradictions_about_recreation_and_building(make_context, words) -> None:
    with pytest.raises(UsageError, match="exclude each other"):
        create_options(parse(up, *words), make_context())


def test_what_is_not_offered_is_named() -> None:
    with pytest.raises(UnsupportedError, match="--menu"):
        up.check(parse(up, "--menu"))


def options(context, *words: str) -> UpOptions:
    return from_json(UpOptions, create_options(parse(up, *words), context))


def test_options_reach_the_controller(make_context) -> None:
    assert options(make_context()) == UpOptions()
    assert options(
        make_context(),
        "web",
        "--force-recreate",
        "--no-deps",
        "--scale",
        "web=3",
        "-t",
        "5",
        "-y",
        "--pull",
        "always",
    ) == UpOptions(
        services=("web",),
        recreate="force",
        no_deps=True,
        scale={"web": 3},
        timeout=5.0,
        recreate_resources=True,
        pull="always",
    )


def test_renewed_volumes_force_recreation(make_context) -> None:
    assert options(make_context(), "-V") == UpOptions(recreate="force", renew_volumes=True)
    assert options(make_context(), "--always-recreate-deps").recreate_dependencies == "force"
    assert options(make_context(), "--no-recreate").recreate_dependencies == "never"


@pytest.mark.parametrize(
    ("words", "build"), [([], "missing"), (["--build"], "always"), (["--no-build"], "never")]
)
def test_when_to_build(make_context, words, build) -> None:
    assert options(make_context(), *words).build == build


def test_orphans_and_limits_come_from_the_environment_too(make_context) -> None:
    assert options(make_context(environ={"COMPOSE_REMOVE_ORPHANS": "1"})).remove_orphans
    assert options(make_context(environ={"COMPOSE_IGNORE_ORPHANS": "true"})).ignore_orphans
    assert options(make_context(environ={"COMPOSE_PARALLEL_LIMIT": "4"})).parallel == 4
    assert options(make_context(parallel=2, environ={"COMPOSE_PARALLEL_LIMIT": "4"})).parallel == 2
    with pytest.raises(UsageError, match="removed and ignored"):
        options(make_context(environ={"COMPOSE_IGNORE_ORPHANS": "1"}), "--remove-orphans")
    with pytest.raises(UsageError, match="COMPOSE_PARALLEL_LIMIT"):
        options(make_context(environ={"COMPOSE_PARALLEL_LIMIT": "many"}))


def test_create_and_plan_take_the_same_options(make_context) -> None:
    for module in (create, plan):
        assert (
            from_json(UpOptions, create_options(parse(module, "--force-recreate"), make_context())).recreate
            == "force"
        )


def test_run_options(make_context, tmp_path) -> None:
    (tmp_path / "env").write_text("A=1\nB='two words'\n")
    context = make_context(environ={"FROM_HERE": "x"})
    words = "--env-from-file env -e FROM_HERE -e UNSET -e C=3 -p 8080:80 -v ./d:/d:ro -v data:/v -l k=v --no-deps -T"
    args = parse(run, *words.split(), "--entrypoint", "sh -c", "web", "echo", "-n", "hi")
    made = from_json(RunOptions, run.run_options(args, context))
    assert made.environment == ("A=1", "B=two words", "FROM_HERE=x", "C=3")
    assert (made.service, made.command, made.entrypoint) == ("web", ("echo", "-n", "hi"), ("sh", "-c"))
    assert made.ports[0]["target"] == 80
    assert made.volumes[0]["source"] == str(tmp_path / "d") or made.volumes[0]["source"] == f"{tmp_path}/./d"
    assert (made.volumes[1]["type"], made.volumes[1]["source"]) == ("volume", "data")
    assert made.labels == {"k": "v"}
    assert (made.no_deps, made.tty, made.stdin_open, made.start) == (True, False, True, False)


def test_run_without_a_command_uses_the_services(make_context) -> None:
    made = from_json(RunOptions, run.run_options(parse(run, "web"), make_context()))
    assert made.command is None
    assert made.entrypoint is None


@pytest.mark.parametrize("words", [["-p", "nonsense:x", "web"], ["-v", "data::b", "web"]])
def test_wrong_short_forms_are_usage_errors(make_context, words) -> None:
    with pytest.raises(UsageError):
        run.run_options(parse(run, *words), make_context())


def test_exec_passes_options_of_the_command_on() -> None:
    args = parse(exec_, "-T", "-u", "root", "web", "ls", "-l", "--index", "3")
    assert (args.command, args.index, args.user) == (["ls", "-l", "--index", "3"], 0, "root")


@pytest.mark.parametrize("word", ["web", "web=", "=3", "web=-1", "web=x"])
def test_scale_words(word) -> None:
    with pytest.raises(UsageError, match="SERVICE=NUMBER"):
        scales([word])


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("web:/etc", ("web", "/etc")),
        ("/a:b", ("", "/a:b")),
        ("./web:x", ("", "./web:x")),
        ("plain", ("", "plain")),
        ("-", ("", "-")),
    ],
)
def test_cp_paths(word, parts) -> None:
    assert split(word) == parts


def test_every_visible_command_has_help_for_everything() -> None:
    for command in describe_all():
        assert command.help, command.name
        assert not command.help.endswith("."), command.name
        for flag in command.flags:
            assert flag.help, (command.name, flag.names)
        for spelled, text in command.arguments:
            assert text, (command.name, spelled)


def test_options_are_fields_of_the_controllers_options(make_context) -> None:
    names = {field.name for field in dataclasses.fields(UpOptions)}
    assert set(create_options(parse(up), make_context())) <= names
