"""The agent with real containers: who may be killed, who waits for whom, who comes back by itself."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from random import Random

import pytest

from tests.support.home import PATIENCE
from tests.support.scratch import eventually

pytestmark = pytest.mark.root


def test_the_agent_leaves_with_the_last_container(project):
    project.write({"web": {}})
    project.run("up", "-d")
    assert project.agent()
    project.run("down")
    assert project.agent() == 0


def test_killed_it_comes_back_and_names_are_answered_again(project):
    project.write({"web": {}, "db": {}})
    project.run("up", "-d")
    before = project.state("web")["pid"]
    agent = project.agent()
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: project.agent() not in (0, agent))
    eventually(lambda: project.run("exec", "-T", "web", "nslookup", "db", check=False).code == 0)
    assert project.state("web")["pid"] == before


def test_killed_the_next_command_is_served(project):
    project.write({"web": {}, "db": {}})
    project.run("up", "-d")
    os.kill(project.agent(), signal.SIGKILL)
    project.run("up", "-d")
    assert "Address" in project.run("exec", "-T", "web", "nslookup", "db").out


def test_killed_containers_are_restarted_and_written_about_meanwhile(project):
    project.write({"web": {"restart": "always", "command": ["sh", "-c", "echo hello; sleep 0.3; exit 3"]}})
    project.run("up", "-d")
    os.kill(project.agent(), signal.SIGKILL)
    count = project.state("web").get("restart_count", 0)
    eventually(lambda: project.state("web").get("restart_count", 0) > count)
    eventually(lambda: project.run("logs", "--no-log-prefix").out.count("hello") > 1)


def test_two_commands_at_once_both_succeed(project):
    project.write({f"s{number}": {} for number in range(3)})
    commands = [project.start("up", "-d") for _ in range(3)]
    outputs = [command.communicate(timeout=60 * PATIENCE)[0] for command in commands]
    assert [command.returncode for command in commands] == [0, 0, 0], outputs
    assert len(project.states()) == 3


def test_a_killed_up_is_finished_by_the_next_one(project):
    slow = {"test": ["CMD", "test", "-e", "/ok"], "interval": "1s", "retries": 1000}
    project.write(
        {"web": {"depends_on": {"db": {"condition": "service_healthy"}}}, "db": {"healthcheck": slow}}
    )
    command = project.start("up", "-d")
    # Once it is probed its start is over: what is killed before that is dropped.
    eventually(lambda: project.state("db").get("health") == "starting")
    time.sleep(1)
    command.kill()
    command.communicate()
    assert project.state("web").get("status", "created") == "created"
    project.run("exec", "-T", "db", "touch", "/ok")
    project.run("up", "-d")
    assert project.state("web")["status"] == "running"


def test_stop_ends_an_up_that_waits(project):
    never = {"test": ["CMD", "false"], "interval": "1s", "retries": 1000}
    project.write(
        {"web": {"depends_on": {"db": {"condition": "service_healthy"}}}, "db": {"healthcheck": never}}
    )
    command = project.start("up", "-d")
    eventually(lambda: project.state("db").get("status") == "running")
    project.run("stop", timeout=30)
    output = command.communicate(timeout=30 * PATIENCE)[0]
    assert command.returncode == 1
    assert "interrupted by `composer stop`" in output
    assert project.state("db")["status"] == "exited"


def test_a_chain_of_health_gates_is_not_held_up_by_the_interval(project):
    probe = {"test": ["CMD", "true"], "interval": "30s"}
    services = {f"s{number}": {"healthcheck": probe} for number in range(4)}
    for number in range(1, 4):
        services[f"s{number}"]["depends_on"] = {f"s{number - 1}": {"condition": "service_healthy"}}
    project.write(services)
    begun = time.monotonic()
    project.run("up", "-d", "--wait")
    assert time.monotonic() - begun < 20
    assert {state["health"] for state in project.states().values()} == {"healthy"}


def test_an_unhealthy_dependency_is_named_with_its_last_words(project):
    probe = {"test": ["CMD-SHELL", "echo no socket yet; exit 1"], "interval": "100ms", "retries": 2}
    project.write(
        {"web": {"depends_on": {"db": {"condition": "service_healthy"}}}, "db": {"healthcheck": probe}}
    )
    done = project.run("up", "-d", check=False)
    assert done.code == 1
    assert f"dependency failed to start: container {project.name}-db-1 is unhealthy" in done.err
    assert "no socket yet" in done.err
    assert "Traceback" not in done.err


def test_a_replica_that_stops_is_not_answered_any_more(project):
    project.write({"web": {"scale": 3}, "client": {}})
    project.run("up", "-d")

    def addresses():
        done = project.run("exec", "-T", "client", "nslookup", "-type=a", "web", check=False)
        return sum(line.startswith("Address") and "127.0.0.11" not in line for line in done.out.splitlines())

    assert addresses() == 3
    pid = project.state("web", 2)["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: project.state("web", 2)["status"] == "exited")
    assert addresses() == 2


def test_anonymous_volumes_survive_a_recreation_and_named_ones_a_down(project):
    service = {"volumes": ["/anonymous", "named:/named"]}
    project.write({"web": dict(service)}, volumes={"named": {}})
    project.run("up", "-d")
    project.run("exec", "-T", "web", "sh", "-c", "echo 1 >/anonymous/a; echo 2 >/named/b; echo 3 >/c")
    project.run("up", "-d", "--force-recreate")
    done = project.run("exec", "-T", "web", "sh", "-c", "cat /anonymous/a /named/b; ls /c", check=False)
    assert done.out.split() == ["1", "2"]
    project.run("down")
    project.run("up", "-d")
    assert project.run("exec", "-T", "web", "cat", "/named/b").out.strip() == "2"


def test_a_plan_says_what_changed_and_changes_nothing(project):
    project.write({"web": {"environment": {"A": "1"}}})
    project.run("up", "-d")
    before = project.state("web")["pid"]
    project.write({"web": {"environment": {"A": "2"}}})
    done = project.run("plan", "--detailed-exitcode", check=False)
    assert done.code == 2
    assert f"~ recreate container {project.name}-web-1  environment.A changed" in done.out
    assert project.state("web")["pid"] == before


def test_a_process_that_dies_is_restarted_but_not_one_that_was_killed_on_purpose(project):
    project.write({"db": {"restart": "always"}, "web": {"depends_on": ["db"]}})
    project.run("up", "-d")
    before, dependant = project.state("db")["pid"], project.state("web")["pid"]
    os.kill(before, signal.SIGKILL)
    eventually(lambda: project.state("db")["status"] == "running" and project.state("db")["pid"] != before)
    assert project.state("web")["pid"] == dependant
    project.run("kill", "db")
    eventually(lambda: project.state("db")["status"] == "exited")
    time.sleep(0.5)  # longer than the first pause before a restart
    assert project.state("db")["status"] == "exited"


def test_a_changed_network_is_made_anew_and_containers_keep_what_they_wrote(project):
    project.write({"web": {}, "db": {}}, networks={"default": {}})
    project.run("up", "-d")
    project.run("exec", "-T", "web", "touch", "/written")
    project.write({"web": {}, "db": {}}, networks={"default": {"internal": True}})
    project.run("up", "-d")
    project.run("exec", "-T", "web", "ls", "/written")
    done = project.run("exec", "-T", "web", "nslookup", "-type=a", "db")
    assert done.out.count("Address") == 2
    assert "default via" not in project.run("exec", "-T", "web", "ip", "route").out


def test_run_starts_what_it_needs_and_returns_the_exit_code(project):
    probe = {"test": ["CMD", "true"], "interval": "30s"}
    job = {"depends_on": {"db": {"condition": "service_healthy"}}}
    project.write({"job": job, "db": {"healthcheck": probe}})
    done = project.run("run", "--rm", "-T", "job", "sh", "-c", "nslookup -type=a db; exit 7", check=False)
    assert done.code == 7
    assert "Address" in done.out
    assert [name for name in project.states() if "-run-" in name] == []


def test_hooks_and_their_failures(project):
    project.write(
        {
            "web": {
                "pre_start": [{"command": ["sh", "-c", "echo migrated >/shared/m"]}],
                "post_start": [{"command": ["sh", "-c", "cat /shared/m >/shared/p"]}],
                "pre_stop": [{"command": ["sh", "-c", "echo bye >/shared/s"]}],
                "volumes": ["shared:/shared"],
            },
            "look": {"volumes": ["shared:/shared"]},
        },
        volumes={"shared": {}},
    )
    project.run("up", "-d")
    assert project.run("exec", "-T", "web", "cat", "/shared/p").out == "migrated\n"
    project.run("stop", "web")
    assert project.run("exec", "-T", "look", "cat", "/shared/s").out == "bye\n"


def test_configs_and_secrets(project):
    (project.path / "token").write_text("s3cret")
    project.write(
        {
            "web": {
                "configs": ["motd"],
                "secrets": ["token", {"source": "token", "target": "own", "uid": "5", "mode": 0o400}],
            }
        },
        configs={"motd": {"content": "hello"}},
        secrets={"token": {"file": "./token"}},
    )
    project.run("up", "-d")
    shown = project.run(
        "exec", "-T", "web", "sh", "-c", "cat /motd /run/secrets/token; ls -ln /run/secrets/own"
    )
    assert shown.out.startswith("hellos3cret-r--------")
    assert shown.out.split()[2] == "5"


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["command", "agent", "both"])
def test_whoever_is_killed_at_whatever_moment_the_next_up_finishes_and_down_leaves_nothing(project, victim):
    random = Random(victim + os.environ.get("TEST_SEED", ""))
    probe = {"test": ["CMD", "true"], "interval": "1s"}
    services = {
        "db": {"healthcheck": probe, "volumes": ["data:/data", "/anonymous"]},
        "job": {"command": ["true"], "depends_on": {"db": {"condition": "service_healthy"}}},
        "web": {"scale": 3, "depends_on": {"job": {"condition": "service_completed_successfully"}}},
    }
    for round_number in range(8):
        services["web"]["environment"] = {"ROUND": str(round_number)}  # some rounds recreate, too
        project.write(services, volumes={"data": {}})
        command = project.start("up", "-d")
        time.sleep(random.uniform(0, 1.5))
        if victim != "agent":
            command.kill()
        if victim != "command" and (agent := project.agent()):
            with contextlib.suppress(ProcessLookupError):
                os.kill(agent, signal.SIGKILL)
        command.communicate(timeout=30 * PATIENCE)
        if random.random() < 0.5:
            project.run("up", "-d", "--wait")
            states = {
                name.removeprefix(f"{project.name}-"): state for name, state in project.states().items()
            }
            assert sorted(states) == ["db-1", "job-1", "web-1", "web-2", "web-3"]
            assert all(state["status"] == "running" for name, state in states.items() if name != "job-1")
        if random.random() < 0.5:
            project.run("down", "-v", "-t", "1")
            assert project.states() == {}


def test_a_published_port_is_free_again_as_soon_as_its_container_has_ended(project):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    serve = "mkdir -p /w; echo hi >/w/index.html; exec httpd -f -p 80 -h /w"
    web = {"command": ["sh", "-c", serve], "ports": [f"{port}:80"], "stop_signal": "SIGKILL"}
    project.write({"web": web})
    project.run("up", "-d")
    for words in (
        ("restart",),
        ("restart", "-t", "0", "web"),
        ("up", "-d", "--force-recreate"),
        ("restart",),
    ):
        project.run(*words)
        time.sleep(0.2)  # the agent serves it again
    os.kill(project.state("web")["shim"]["pid"], signal.SIGKILL)
    project.run("up", "-d")
    eventually(lambda: _says_hi(port))


def _says_hi(port):
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return b"hi" in sock.makefile("rb").read()
    return False


def test_a_broken_file_does_not_keep_a_named_project_up(project):
    project.write({"web": {}})
    project.run("up", "-d")
    (project.path / "compose.yaml").write_text("services: {web: {imge: busybox}}\n")
    refused = project.run("down", check=False)
    assert refused.code == 1
    assert 'did you mean "image"?' in refused.err
    project.run("-p", project.name, "down")
    assert project.states() == {}


def test_start_needs_no_file(project, tmp_path_factory):
    probe = {"test": ["CMD", "true"], "interval": "1s"}
    project.write(
        {"web": {"depends_on": {"db": {"condition": "service_healthy"}}}, "db": {"healthcheck": probe}}
    )
    project.run("up", "-d")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    project.home.run("-p", project.name, "stop", "-t", "0", cwd=elsewhere)
    started = project.home.run("-p", project.name, "start", cwd=elsewhere)
    assert f"Container {project.name}-db-1 Healthy" in started.err
    assert {state["status"] for state in project.states().values()} == {"running"}
