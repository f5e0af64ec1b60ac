from __future__ import annotations

import json
import os
import time

import pytest

from composer.cli import main, snapshot
from composer.cli.commands import ls, port, ps
from composer.cli.parser import CommandParser
from composer.errors import NotFoundError, SpecError, UsageError

RUNNING = {"status": "running", "pid": os.getpid(), "started_at": 0.0}


def call(module, context, *words: str) -> str:
    parser = CommandParser("x", "x")
    module.add_arguments(parser)
    assert module.run(parser.parse(words), context) == 0
    return context.stdout.getvalue()


def test_ps_shows_what_runs(make_context, add_container) -> None:
    add_container("web", number=2, state={**RUNNING, "started_at": time.time() - 5, "health": "healthy"})
    add_container("web", number=1, state={**RUNNING, "started_at": time.time() - 5})
    add_container("job", state={"status": "exited", "exit_code": 3, "finished_at": time.time() - 60})
    add_container("other", project="blog", state=RUNNING)
    lines = call(ps, make_context(project_name="shop")).splitlines()
    assert lines[0].split() == ["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS"]
    assert [line.split()[0] for line in lines[1:]] == ["shop-web-1", "shop-web-2"]
    assert "Up 5 seconds (healthy)" in lines[2]
    assert '"nginx -g \'daemon of…"' in lines[1]


def test_ps_all_json(make_context, add_container) -> None:
    ports = [
        {"container_port": 80, "host_port": 8080, "host_ip": "", "protocol": "tcp"},
        {"container_port": 53, "host_port": 53, "host_ip": "127.0.0.1", "protocol": "udp"},
    ]
    add_container("web", state={**RUNNING, "ports": ports})
    add_container(
        "job", state={"status": "exited", "exit_code": 137, "oom_killed": True, "finished_at": time.time()}
    )
    job, web = [
        json.loads(line)
        for line in call(ps, make_context(project_name="shop"), "-a", "--format", "json").splitlines()
    ]
    assert web["Ports"] == "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp, 127.0.0.1:53->53/udp"
    assert web["Publishers"][2] == {
        "URL": "127.0.0.1",
        "TargetPort": 53,
        "PublishedPort": 53,
        "Protocol": "udp",
    }
    assert (web["State"], job["State"], job["ExitCode"]) == ("running", "exited", 137)
    assert job["Status"] == "Exited (137) Less than a second ago (out of memory)"
    assert set(web) == set(
        "Command CreatedAt ExitCode Health ID Image Labels LocalVolumes Mounts Name Names Networks Ports Project "
        "Publishers RunningFor Service Size State Status".split()
    )


def test_a_container_whose_shim_is_gone_does_not_run(make_context, add_container) -> None:
    add_container("web", state={**RUNNING, "shim": {"pid": os.getpid(), "start": 1}})
    assert len(call(ps, make_context(project_name="shop")).splitlines()) == 1
    assert "Exited (137)" in call(ps, make_context(project_name="shop"), "-a")


def test_a_container_without_a_state_was_only_created(make_context, add_container) -> None:
    add_container("web")
    assert "Created" in call(ps, make_context(project_name="shop"), "-a")


def test_after_a_reboot_the_lasting_directory_knows(make_context, add_container, home) -> None:
    web, db = add_container("web"), add_container("db")
    (home / "lib" / "containers" / web / "state.json").write_text('{"status": "exited", "exit_code": 3}')
    (home / "lib" / "containers" / db / "container.log").write_text("")
    lines = call(ps, make_context(project_name="shop"), "-a").splitlines()
    assert "Exited (255)" in lines[1]
    assert "Exited (3)" in lines[2]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["-q"], ["0" * 63 + "1"]),
        (["--services"], ["web"]),
        (["--status", "exited", "--services"], ["job"]),
        (["--filter", "status=paused", "-q"], []),
        (["-a", "--services"], ["job", "web"]),
        (["job", "-a", "--format", "{{.Name}}"], ["shop-job-1"]),
    ],
)
def test_ps_selects(make_context, add_container, words, expected) -> None:
    add_container("web", state=RUNNING)
    add_container("job", state={"status": "exited"})
    assert call(ps, make_context(project_name="shop"), *words).splitlines() == expected


def test_one_off_containers_are_shown_with_all_only(make_context, add_container) -> None:
    add_container("web", state=RUNNING, labels={"com.docker.compose.oneoff": "True"})
    assert call(ps, make_context(project_name="shop"), "-q") == ""
    assert len(call(ps, make_context(project_name="shop"), "-a", "-q").split()) == 1


def test_ps_refuses_a_filter_it_does_not_know(make_context) -> None:
    with pytest.raises(UsageError, match="--filter 'name=x'"):
        call(ps, make_context(project_name="shop"), "--filter", "name=x")


def test_damaged_files_do_not_stop_a_list(make_context, add_container, home) -> None:
    container_id = add_container("web", state=RUNNING)
    (home / "lib" / "containers" / ("f" * 64)).mkdir()
    (home / "run" / "containers" / container_id / "state.json").write_text("{")
    assert "shop-web-1" in call(ps, make_context(project_name="shop"), "-a")


def test_ls(make_context, add_container) -> None:
    add_container("web", state=RUNNING)
    add_container("job", state={"status": "exited"})
    add_container("old", project="blog", state={"status": "exited"})
    assert call(ls, make_context()).splitlines()[1].split("   ") == [
        "shop",
        "exited(1), running(1)",
        "/srv/compose.yaml",
    ]
    assert call(ls, make_context(), "-a", "-q").splitlines() == ["blog", "shop"]
    assert call(ls, make_context(), "-a", "-q", "--filter", "name=^b").splitlines() == ["blog"]
    assert json.loads(call(ls, make_context(), "--format", "json"))[0]["Name"] == "shop"


def test_port(make_context, add_container) -> None:
    ports = [{"container_port": 80, "host_port": 4000, "host_ip": "127.0.0.1", "protocol": "tcp"}]
    add_container("web", state={**RUNNING, "ports": ports})
    assert call(port, make_context(project_name="shop"), "web", "80") == "127.0.0.1:4000\n"
    with pytest.raises(NotFoundError, match="no port 81/tcp for container shop-web-1"):
        call(port, make_context(project_name="shop"), "web", "81")
    with pytest.raises(NotFoundError, match="no running container with number 2"):
        call(port, make_context(project_name="shop"), "--index", "2", "web", "80")


def test_a_wrong_project_name(make_context) -> None:
    with pytest.raises(SpecError, match="invalid project name 'Shop'"):
        call(ps, make_context(project_name="Shop"))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("services:\n  web:\n    image: x\n", "myapp_1"),
        ("# c\nname: shop # the shop\nservices: {}\n", "shop"),
        ("name: 'Shop'\n", "shop"),
        ("---\nname: a\n---\nname: b\n", "b"),
    ],
)
def test_the_name_is_found_without_yaml(make_context, tmp_path, text, name) -> None:
    directory = tmp_path / "My.App_1"
    directory.mkdir()
    (directory / "compose.yaml").write_text(text)
    context = make_context()
    context.cwd = str(directory)
    from composer.cli.project import quick_name

    assert quick_name(context) == name


@pytest.mark.parametrize(
    "text",
    [
        "name: ${X}\n",
        "{name: shop}\n",
        '"name": shop\n',
        "<<: *x\n",
        "name: yes\n",
        "name: >\n  shop\n",
        "name: 12\n",
        "name: [a]\n",
    ],
)
def test_whatever_is_not_plain_is_left_to_the_loader(make_context, tmp_path, text) -> None:
    (tmp_path / "compose.yaml").write_text(text)
    from composer.cli.project import quick_name

    assert quick_name(make_context()) == ""


def test_env_files_with_compose_variables_are_left_to_the_loader(make_context, tmp_path) -> None:
    (tmp_path / "compose.yaml").write_text("services: {}\n")
    (tmp_path / ".env").write_text("COMPOSE_PROJECT_NAME=x\n")
    from composer.cli.project import quick_name

    assert quick_name(make_context()) == ""


def test_the_override_and_the_parent_directory_count(make_context, tmp_path) -> None:
    (tmp_path / "compose.yaml").write_text("name: one\n")
    (tmp_path / "compose.override.yaml").write_text("name: two\n")
    (tmp_path / "sub").mkdir()
    context = make_context()
    context.cwd = str(tmp_path / "sub")
    from composer.cli.project import quick_name

    assert quick_name(context) == "two"


def test_main_prints_one_sentence_and_returns_the_code(capsys) -> None:
    assert main.main(["nonsense"]) == 2
    assert (
        capsys.readouterr().err == "composer: there is no command 'nonsense' (composer --help lists them)\n"
    )
    assert main.main(["verson"]) == 2
    assert "did you mean version?" in capsys.readouterr().err


def test_version(capsys) -> None:
    from composer import __version__

    assert main.main(["version", "--short"]) == 0
    assert main.main(["--version"]) == 0
    assert main.main(["version", "-f", "json"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[:2] == [__version__, f"composer version {__version__}"]
    assert json.loads(out[2]) == {"version": __version__}


@pytest.mark.parametrize(
    ("args", "shown"),
    [
        (["sleep", "1"], '"sleep 1"'),
        (["sh", "-c", "a b"], "\"sh -c 'a b'\""),
        (["a b", 'say "x"', "\n"], '"a b \'say \\"x\\"\' \\n"'),
        ([], '""'),
    ],
)
def test_a_command_is_quoted_as_docker_does(args, shown) -> None:
    assert ps.command({"process": {"args": args}}, whole=True) == shown


def test_a_service_that_no_profile_includes_is_known(make_context, tmp_path) -> None:
    (tmp_path / "compose.yaml").write_text(
        "name: shop\nservices: {web: {image: i}, job: {image: i, profiles: [jobs]}}\n"
    )
    assert "job" not in call(ps, make_context(), "job")
    with pytest.raises(NotFoundError, match="no such service: jib"):
        call(ps, make_context(), "jib")


def test_a_container_that_is_just_being_started_is_created(make_context, add_container, home) -> None:
    web = add_container("web")
    (home / "lib" / "containers" / web / "container.log").write_text("")
    (home / "run" / "containers" / web).mkdir(parents=True)
    assert "Created" in call(ps, make_context(project_name="shop"), "-a")


def test_the_last_word_of_a_shim_counts(make_context, add_container, home, monkeypatch) -> None:
    job = add_container("job", state=RUNNING)
    path = home / "run" / "containers" / job / "state.json"

    def ends_meanwhile(_state) -> bool:
        path.write_text(json.dumps({"status": "exited", "exit_code": 3, "finished_at": 1.0}))
        return False

    monkeypatch.setattr(snapshot, "_shim_alive", ends_meanwhile)
    assert "Exited (3)" in call(ps, make_context(project_name="shop"), "-a")
