from __future__ import annotations

import json
import os
import pathlib
import re
import shutil
import signal
import time
import urllib.request

import pytest

from tests.e2e.conftest import Terminal
from tests.support.home import PATIENCE

pytestmark = pytest.mark.root


def test_a_web_server_and_its_client(scenario) -> None:
    project = scenario("basic")
    up = project("up", "-d", "--wait")
    assert " Container basic-web-1 Healthy" in up.err
    assert " Network basic_default Created" in up.err
    rows = project.ps()
    assert {name: row["State"] for name, row in rows.items()} == {
        "basic-web-1": "running",
        "basic-client-1": "running",
    }
    assert rows["basic-web-1"]["Health"] == "healthy"
    address = project("port", "web", "80").out.strip()
    assert urllib.request.urlopen(f"http://{address}/", timeout=5).read() == b"hello from web\n"
    for _ in range(50):
        if "hello from web" in project("logs", "client", "--no-log-prefix").out:
            break
        time.sleep(0.1)
    else:
        raise AssertionError(project("logs").out)
    assert project("exec", "-T", "client", "wget", "-q", "-O", "-", "http://web/").out == "hello from web\n"
    assert project("exec", "-T", "web", "sh", "-c", "exit 7", check=False).code == 7


def test_up_again_changes_nothing(scenario) -> None:
    project = scenario("basic")
    project("up", "-d", "--wait")
    before = {name: row["ID"] for name, row in project.ps().items()}
    assert project("plan", "--detailed-exitcode").code == 0
    again = project("up", "-d")
    assert "Running" in again.err
    assert "Creat" not in again.err
    assert {name: row["ID"] for name, row in project.ps().items()} == before
    listed = json.loads(project("ls", "--format", "json").out)
    assert [(row["Name"], row["Status"]) for row in listed] == [("basic", "running(2)")]


def test_down_leaves_nothing_and_may_be_repeated(scenario) -> None:
    project = scenario("basic")
    project("up", "-d")
    down = project("down")
    assert " Container basic-web-1 Removed" in down.err
    assert " Network basic_default Removed" in down.err
    assert project.ps() == {}
    assert project("down").code == 0


def test_services_wait_for_health_and_for_jobs(scenario) -> None:
    project = scenario("gating")
    project("up", "-d", "--wait")
    rows = project.ps()
    assert rows["gating-db-1"]["Health"] == "healthy"
    assert (rows["gating-migrate-1"]["State"], rows["gating-migrate-1"]["ExitCode"]) == ("exited", 0)
    assert rows["gating-web-1"]["State"] == "running"


@pytest.mark.parametrize(
    ("profile", "words"),
    [
        ("sick", ["failing-sick-1", "unhealthy", "the disk is on fire"]),
        ("job", ["broken-job", "exit 3"]),
        ("command", ["there-is-no-such-program", "not found"]),
    ],
)
def test_what_goes_wrong_is_said_in_one_sentence(scenario, profile, words) -> None:
    project = scenario("failing")
    up = project("--profile", profile, "up", "-d", check=False)
    assert up.code in (1, 127)
    last = up.err.strip().splitlines()[-1]
    for word in words:
        assert word in up.err
    assert "Traceback" not in up.err
    assert last.startswith(("composer: ", "compose.yaml", "/"))
    assert "needs-" not in "".join(name for name, row in project.ps().items() if row["State"] == "running")


def test_attached_up_shows_output_and_ends_with_the_containers(scenario) -> None:
    project = scenario("attached")
    up = project("up")
    assert up.out.splitlines()[0] == "Attaching to talker-1"
    assert re.findall(r"^talker-1  \| (.*)$", up.out, re.MULTILINE) == ["one", "three"]
    assert "talker-1  | two" in up.err
    assert "talker-1 exited with code 4" in up.out


def test_abort_on_exit_stops_the_rest_and_returns_the_code(scenario) -> None:
    project = scenario("attached")
    up = project("--profile", "stay", "up", "--abort-on-container-exit", check=False)
    assert up.code == 4
    assert "stayer-1  | leaving" in up.out
    assert all(row["State"] == "exited" for row in project.ps().values())


def test_a_container_that_is_recreated_has_not_ended(scenario) -> None:
    project = scenario("attached")
    process = project.start("--profile", "stay", "up", "--abort-on-container-exit", "stayer")
    assert process.stdout.readline() == "Attaching to stayer-1\n"
    assert process.stdout.readline() == "stayer-1  | staying\n"
    project("--profile", "stay", "up", "-d", "--force-recreate", "stayer")
    said = [process.stdout.readline() for _ in range(3)]
    assert said == ["stayer-1  | leaving\n", "stayer-1 has been recreated\n", "stayer-1  | staying\n"]
    project("--profile", "stay", "stop", "stayer")
    out, _ = process.communicate(timeout=30 * PATIENCE)
    assert "stayer-1 exited with code 0" in out


def test_exit_code_from(scenario) -> None:
    project = scenario("attached")
    assert project("--profile", "stay", "up", "--exit-code-from", "stayer", check=False).code == 0
    assert project("--profile", "stay", "up", "--exit-code-from", "talker", check=False).code == 4


def test_ctrl_c_stops_gracefully(scenario) -> None:
    project = scenario("attached")
    process = project.start("--profile", "stay", "up", "--attach", "stayer")
    lines = []
    for line in process.stdout:
        lines.append(line)
        if "staying" in line:
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30 * PATIENCE)
    assert process.returncode == 130, err
    assert "leaving" in out
    assert "Gracefully stopping" in err
    assert all(row["State"] == "exited" for row in project.ps().values())


def test_a_second_ctrl_c_kills(scenario) -> None:
    project = scenario("attached")
    process = project.start("--profile", "stubborn", "up", "--attach", "stubborn")
    for line in process.stdout:
        if "never leaving" in line:
            break
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30 * PATIENCE)
    assert process.returncode == 130, err
    assert "Killing" in err
    assert project.ps()["attached-stubborn-1"]["ExitCode"] == 137


def test_logs_follow_restarts_and_new_replicas(scenario) -> None:
    project = scenario("attached")
    project("--profile", "stay", "up", "-d", "stayer")
    logs = project.start("logs", "-f", "stayer")
    assert logs.stdout.readline() == "stayer-1  | staying\n"
    project("restart", "stayer")
    seen = [logs.stdout.readline() for _ in range(2)]
    assert seen == ["stayer-1  | leaving\n", "stayer-1  | staying\n"]
    project("--profile", "stay", "up", "-d", "--scale", "stayer=2", "stayer")
    assert logs.stdout.readline() == "stayer-2  | staying\n"
    project("--profile", "stay", "stop")
    rest, _ = logs.communicate(timeout=20 * PATIENCE)
    assert logs.returncode == 0
    assert "stayer-2  | leaving" in rest


def test_signals_reach_a_one_off_container(scenario) -> None:
    project = scenario("oneoff")
    script = "trap 'echo caught; exit 9' TERM; echo ready; while :; do sleep 0.1; done"
    process = project.start("run", "--rm", "--no-deps", "-T", "tool", "sh", "-c", script)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=20 * PATIENCE)
    assert (process.returncode, out) == (9, "caught\n"), err
    assert project.ps() == {}


@pytest.mark.parametrize("remove", [True, False])
def test_a_run_that_ignores_three_signals_is_left(scenario, remove) -> None:
    project = scenario("oneoff")
    script = "trap '' INT; echo ready; while :; do sleep 0.1; done"
    options = ("--rm",) if remove else ()
    process = project.start("run", *options, "--no-deps", "-T", "tool", "sh", "-c", script)
    assert process.stdout.readline() == "ready\n"
    for _ in range(3):
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    _, err = process.communicate(timeout=20 * PATIENCE)
    assert process.returncode == 130, err
    assert [row["State"] for row in project.ps().values()] == ([] if remove else ["running"])


def test_early_output_of_a_run_is_whole(scenario) -> None:
    project = scenario("oneoff")
    done = project("run", "--rm", "--no-deps", "-T", "tool", "sh", "-c", "seq 1 20000; echo -n end")
    assert done.out == "".join(f"{n}\n" for n in range(1, 20001)) + "end"


def test_run_starts_what_it_needs_and_returns_the_code(scenario) -> None:
    project = scenario("oneoff")
    done = project("run", "--rm", "-T", "tool", "sh", "-c", "echo $COLOUR; pwd; exit 5", check=False)
    assert (done.code, done.out) == (5, "green\n/srv\n")
    assert list(project.ps()) == ["oneoff-db-1"]


def test_run_takes_input_options_and_the_default_command(scenario) -> None:
    project = scenario("oneoff")
    assert project("run", "--rm", "--no-deps", "-T", "tool").out == "the default command\n"
    assert (
        project("run", "--rm", "--no-deps", "-T", "-e", "COLOUR=red", "tool", "env").out.count("COLOUR=red")
        == 1
    )
    assert project("run", "--rm", "--no-deps", "-T", "tool", "cat", input="typed\n").out == "typed\n"
    assert project.ps() == {}


def test_run_detached_prints_the_id(scenario) -> None:
    project = scenario("oneoff")
    container = project("run", "-d", "--no-deps", "--name", "one-off-x", "tool", "sleep", "1000").out.strip()
    assert re.fullmatch("[0-9a-f]{64}", container)
    assert project.ps()["one-off-x"]["State"] == "running"
    project("down", "--remove-orphans", "-t", "0")
    assert project.ps() == {}


def test_run_with_a_terminal(scenario) -> None:
    project = scenario("oneoff")
    terminal = Terminal(project, "run", "--rm", "--no-deps", "tool", "sh")
    terminal.wait_for("# ")
    terminal.type("tty; echo $((40+2))\n")
    terminal.wait_for("42")
    terminal.type("exit 6\n")
    assert terminal.end() == 6, terminal.seen
    assert "/dev/pts/" in terminal.seen


def test_exec_with_a_terminal_and_attach(scenario) -> None:
    project = scenario("oneoff")
    project("up", "-d", "db")
    terminal = Terminal(project, "exec", "db", "sh")
    terminal.wait_for("# ")
    terminal.type('echo run""ning; sleep 1000\n')
    terminal.wait_for("running")
    terminal.seen = ""
    # The shell misses an interrupt while it forks, and throws away what is typed before its prompt.
    terminal.type_until("\x03", "# ")
    terminal.type("echo code $?; exit 3\n")
    terminal.wait_for("code 130")
    assert terminal.end() == 3, terminal.seen


def test_stop_start_restart_pause_kill_rm(scenario) -> None:
    project = scenario("lifecycle")

    def states() -> dict[str, str]:
        return {row["Service"]: row["State"] for row in project.ps().values()}

    project("up", "-d")
    project("stop")
    assert states() == {"app": "exited", "dependant": "exited"}
    assert project.ps()["lifecycle-app-1"]["ExitCode"] == 0
    project("start")
    assert states() == {"app": "running", "dependant": "running"}
    before = project("exec", "-T", "dependant", "cut", "-d ", "-f22", "/proc/1/stat").out
    project("restart", "app")
    assert project("exec", "-T", "dependant", "cut", "-d ", "-f22", "/proc/1/stat").out != before
    project("pause", "app")
    assert states()["app"] == "paused"
    assert project("exec", "-T", "app", "true", check=False).code != 0
    project("unpause", "app")
    project("kill", "-s", "SIGKILL", "app")
    for _ in range(50):
        if states()["app"] == "exited":
            break
        time.sleep(0.1)
    assert project.ps()["lifecycle-app-1"]["ExitCode"] == 137
    project("rm", "-f", "app")
    assert states() == {"dependant": "running"}


def test_a_named_volume_lasts_until_down_v(scenario) -> None:
    project = scenario("lifecycle")
    for number in range(2):
        project("up", "-d", "--wait", "app")
        deadline = time.monotonic() + 20
        while f"run {number}" not in (seen := project("logs", "app").out):
            assert time.monotonic() < deadline, seen
            time.sleep(0.1)
        project("down")
    assert project("volumes", "-q").out.split() == ["lifecycle_data"]
    project("up", "-d", "app")
    project("down", "-v")
    assert project("volumes", "-q").out == ""


def test_scaling_up_and_down(scenario) -> None:
    project = scenario("scaling")
    project("up", "-d", "--scale", "web=3")
    assert sorted(project("ps", "web", "--format", "{{.Name}}").out.split()) == [
        f"scaling-web-{n}" for n in (1, 2, 3)
    ]
    addresses = project("exec", "-T", "probe", "nslookup", "web", check=False).out
    assert len(set(re.findall(r"Address[^\n]*?(\d+\.\d+\.\d+\.\d+)$", addresses, re.MULTILINE))) >= 3
    project("scale", "web=1")
    assert project("ps", "web", "--format", "{{.Name}}").out.split() == ["scaling-web-1"]


def test_orphans_are_mentioned_and_removed_on_request(scenario) -> None:
    project = scenario("orphans")
    project("up", "-d")
    later = project("-f", "later.yaml", "up", "-d")
    assert "orphan" in later.err
    assert "orphans-gone-1" in later.err
    assert len(project.ps()) == 2
    project("-f", "later.yaml", "up", "-d", "--remove-orphans")
    assert list(project.ps()) == ["orphans-keep-1"]


def test_a_dry_run_changes_nothing(scenario) -> None:
    project = scenario("basic")
    dry = project("--dry-run", "up", "-d")
    assert "create container basic-web-1" in dry.out
    assert project.ps() == {}
    assert project("plan", "--detailed-exitcode", check=False).code == 2
    plan = json.loads(project("plan", "--format", "json").out)
    assert {"CreateNetwork", "CreateContainer", "StartContainer"} <= {
        step["operation"] for step in plan["operations"]
    }


def test_copying_and_looking(scenario, tmp_path) -> None:
    project = scenario("basic")
    project("up", "-d", "--wait", "web")
    (tmp_path / "new.html").write_text("copied")
    project("cp", str(tmp_path / "new.html"), "web:/www/index.html")
    assert project("exec", "-T", "web", "cat", "/www/index.html").out == "copied"
    project("cp", "web:/www", str(tmp_path / "www"))
    assert (tmp_path / "www" / "index.html").read_text() == "copied"
    project("exec", "-T", "web", "ln", "-s", "/etc/hostname", "/www/link")
    project("cp", "-L", "web:/www/link", str(tmp_path / "hostname"))
    assert (tmp_path / "hostname").read_text().strip() == project.ps()["basic-web-1"]["ID"]
    assert "httpd" in project("top").out
    (row,) = [
        json.loads(line) for line in project("stats", "--no-stream", "--format", "json").out.splitlines()
    ]
    assert row["Name"] == "basic-web-1"
    assert int(row["PIDs"]) >= 1


def test_events_and_wait(scenario) -> None:
    project = scenario("attached")
    stay = ("--profile", "stay")
    project(*stay, "create")
    events = project.start("events", "--json")
    time.sleep(PATIENCE)  # it tells what happens from the moment at which it looks
    project("start", "talker")
    assert project("wait", "talker", check=False).code == 4
    for words in ("stop", "-t", "0"), ("kill",):
        project(*stay, "start", "stayer")
        project(*stay, *words, "stayer")
    deadline = time.monotonic() + 10 * PATIENCE
    seen = []
    while seen.count("die") < 3 and time.monotonic() < deadline:
        seen.append(json.loads(events.stdout.readline())["action"])
    events.send_signal(signal.SIGINT)
    events.communicate(timeout=10 * PATIENCE)
    assert events.returncode == 130
    assert seen == ["start", "die", "start", "kill", "die", "stop", "start", "kill", "die"]


def test_errors_name_the_place(scenario, tmp_path) -> None:
    project = scenario("basic")
    wrong = tmp_path / "compose.yaml"
    wrong.write_text("services:\n  web:\n    image: busybox\n    commnad: true\n")
    up = project("-f", str(wrong), "up", "-d", check=False)
    assert up.code == 1
    assert re.search(r"compose\.yaml:4:\d+: services\.web", up.err)
    assert "command" in up.err
    assert project("up", "-d", "nothing", check=False).err.strip().endswith("no such service: nothing")
    assert project("exec", "-T", "web", "true", check=False).err.startswith(
        'composer: service "web" is not running'
    )


def test_watch_copies_removes_executes_and_rebuilds(scenario, tmp_path) -> None:
    project = scenario("watch")
    shutil.copytree(project.directory, tmp_path / "watch")
    project.directory = tmp_path / "watch"
    source = project.directory / "src"
    watch = project.start("watch", "--quiet")
    for line in watch.stderr:
        if "Watch enabled" in line:
            break

    def inside(*words: str) -> str:
        return project("exec", "-T", "app", *words, check=False).out

    def wait_until(expected: str, *words: str) -> None:
        deadline = time.monotonic() + 20
        while (seen := inside(*words)) != expected:
            assert time.monotonic() < deadline, (seen, expected)
            time.sleep(0.1)

    assert project("exec", "-T", "app", "cat", "/app/src/a.txt", "/version").out == "one\nfirst\n"
    (source / "a.txt").write_text("two\n")
    (source / "new").mkdir()
    (source / "new" / "b.txt").write_text("deep\n")
    (source / "x.tmp").write_text("ignored")
    wait_until("two\n", "cat", "/app/src/a.txt")
    wait_until("deep\n", "cat", "/app/src/new/b.txt")
    wait_until("two\n", "cat", "/app/all")
    assert inside("ls", "/app/src") == "a.txt\nnew\n"
    shutil.rmtree(source / "new")
    wait_until("a.txt\n", "ls", "/app/src")
    second = project("watch", "--no-up", check=False)
    assert (second.code, second.err) == (1, "composer: composer watch is already watching project watch\n")
    dockerfile = project.directory / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("first", "second"))
    wait_until("second\n", "cat", "/version")
    watch.send_signal(signal.SIGINT)
    watch.communicate(timeout=20 * PATIENCE)
    assert watch.returncode == 130


def test_up_with_watch_shows_output_and_copies(scenario, tmp_path) -> None:
    project = scenario("watch")
    shutil.copytree(project.directory, tmp_path / "watch")
    project.directory = tmp_path / "watch"
    up = project.start("up", "--watch", "--quiet-build")
    for line in up.stderr:
        if "Watch enabled" in line:
            break
    (project.directory / "src" / "a.txt").write_text("changed\n")
    deadline = time.monotonic() + 20
    while project("exec", "-T", "app", "cat", "/app/src/a.txt", check=False).out != "changed\n":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    up.send_signal(signal.SIGINT)
    out, err = up.communicate(timeout=30 * PATIENCE)
    assert up.returncode == 130, err
    assert "Traceback" not in err
    assert "app-1 exited with code" in out


@pytest.mark.parametrize("delay", [0.1, 0.3, 0.6, 1.0])
def test_a_killed_up_is_finished_by_the_next(scenario, delay) -> None:
    project = scenario("gating")
    process = project.start("up", "-d", "--wait")
    time.sleep(delay)
    process.kill()
    process.communicate()
    project("up", "-d", "--wait")
    rows = project.ps()
    assert {row["Service"]: row["State"] for row in rows.values()} == {
        "db": "running",
        "migrate": "exited",
        "web": "running",
    }
    assert len(rows) == 3
    project("down", "-t", "0")
    assert project.ps() == {}


def test_containers_outlive_their_agent(scenario) -> None:
    project = scenario("basic")
    project("up", "-d", "--wait")
    agents = [
        pid
        for pid in project.home.pids()
        if b"composer-agent" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert agents
    for pid in agents:
        os.kill(pid, signal.SIGKILL)
    assert project("exec", "-T", "web", "cat", "/www/index.html").out == "hello from web\n"
    assert project.ps()["basic-web-1"]["State"] == "running"
    assert "Running" in project("up", "-d").err
    deadline = time.monotonic() + 10
    while project(
        "exec", "-T", "client", "wget", "-q", "-O", "-", "http://web/", check=False, timeout=20
    ).code:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_two_commands_at_once_take_turns(scenario) -> None:
    project = scenario("gating")
    both = [project.start("up", "-d", "--wait") for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=60 * PATIENCE)
        assert process.returncode == 0, err
    assert len(project.ps()) == 3
