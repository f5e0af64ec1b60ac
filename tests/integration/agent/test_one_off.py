"""`composer run`: who removes what was only wanted once, whoever else is killed meanwhile."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.support.home import PATIENCE
from tests.support.scratch import eventually

pytestmark = pytest.mark.root


def names(project):
    return [line.split()[0] for line in project.run("ps", "-a", "--format", "{{.Name}}").out.splitlines()]


def one_off(project):
    """The state of the one-off container."""
    [state] = [state for name, state in project.states().items() if "-run-" in name]
    return state


@pytest.mark.parametrize("seconds", ["0", "0.3"])
def test_detached_it_is_removed_when_it_ends(project, seconds):
    project.write({"job": {"volumes": ["/anonymous"]}})
    project.run("run", "--rm", "-d", "job", "sleep", seconds)
    eventually(lambda: names(project) == [])
    eventually(lambda: project.agent() == 0)
    assert project.run("volumes", "-q").out == ""


def test_detached_it_is_removed_though_the_agent_is_killed(project):
    project.write({"job": {}})
    project.run("run", "--rm", "-d", "job", "sleep", "2")
    os.kill(project.agent(), signal.SIGKILL)
    eventually(lambda: names(project) == [])


def test_it_is_removed_though_it_ends_before_another_agent_comes(project):
    project.write({"job": {}})
    project.run("run", "--rm", "-d", "job", "sleep", "1000")
    init = one_off(project)["pid"]
    os.kill(project.agent(), signal.SIGKILL)
    os.kill(init, signal.SIGKILL)
    eventually(lambda: names(project) == [])


def test_it_is_removed_when_its_shim_is_killed(project):
    project.write({"job": {}})
    project.run("run", "--rm", "-d", "job", "sleep", "1000")
    os.kill(one_off(project)["shim"]["pid"], signal.SIGKILL)
    eventually(lambda: names(project) == [])


@pytest.mark.parametrize("agent", ["with its agent", "and the agent killed, too"])
def test_it_is_removed_though_the_command_that_waits_for_it_is_killed(project, agent):
    project.write({"job": {}})
    command = project.start("run", "--rm", "-T", "job", "sleep", "2")
    eventually(lambda: any(state["status"] == "running" for state in project.states().values()))
    command.kill()
    command.communicate()
    if "killed" in agent:
        os.kill(project.agent(), signal.SIGKILL)
    eventually(lambda: names(project) == [])


def test_what_it_wrote_is_read_though_the_agent_is_killed(project):
    project.write({"job": {}})
    command = project.start("run", "--rm", "-T", "job", "sh", "-c", "sleep 1; echo late; exit 3")
    eventually(lambda: any(state["status"] == "running" for state in project.states().values()))
    time.sleep(0.3)  # it is attached
    os.kill(project.agent(), signal.SIGKILL)
    assert (command.communicate(timeout=20 * PATIENCE)[0].splitlines()[-1], command.returncode) == ("late", 3)
    eventually(lambda: names(project) == [])


def test_without_rm_it_stays(project):
    project.write({"job": {}})
    project.run("run", "-T", "job", "true")
    assert len(names(project)) == 1


def test_down_says_what_it_leaves_and_takes_it_when_told(project):
    project.write({"job": {}})
    project.run("run", "-d", "--name", f"{project.name}-mine", "job")
    done = project.run("down")
    assert f"Network {project.name}_default Resource is still in use by {project.name}-mine" in done.err
    assert f"containers of `run` are left: {project.name}-mine" in done.err
    assert names(project) == [f"{project.name}-mine"]
    project.run("down", "--remove-orphans", "-t", "0")
    assert names(project) == []


def test_down_removes_the_network_of_what_has_ended(project):
    project.write({"job": {}})
    project.run("run", "-T", "job", "true")
    done = project.run("down")
    assert f"Network {project.name}_default Removed" in done.err
    assert len(names(project)) == 1
    project.run("run", "--rm", "-T", "job", "true")  # the network is made anew


def test_commands_that_wait_a_moment_for_each_other_say_nothing(project):
    project.write({"job": {}})
    commands = [project.start("run", "--rm", "-T", "job", "echo", "done") for _ in range(4)]
    for command in commands:
        output, _ = command.communicate(timeout=30 * PATIENCE)
        assert command.returncode == 0, output
        assert "another composer command" not in output


def test_a_command_that_waits_long_says_for_what(project):
    never = {"test": ["CMD", "false"], "interval": "1s", "retries": 1000}
    project.write(
        {"web": {"depends_on": {"db": {"condition": "service_healthy"}}}, "db": {"healthcheck": never}}
    )
    up = project.start("up", "-d")
    eventually(lambda: project.state("db").get("status") == "running")
    waits = project.start("restart")
    time.sleep(2.5)
    project.run("down", "-t", "0", timeout=30)
    assert f"another composer command (up) is working on project {project.name}" in waits.communicate()[0]
    assert up.communicate()[0]
