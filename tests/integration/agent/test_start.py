"""An agent that goes on from the command's process shares nothing with it that anybody could notice."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.root


def proc(pid, name):
    return Path(f"/proc/{pid}/{name}").read_text()


def test_it_keeps_no_descriptor_directory_or_terminal_of_the_command(project):
    project.write({"web": {}})
    reader, writer = os.pipe()
    done = subprocess.run(
        project.home.command("up", "-d"), cwd=project.path, env=project.home.environ(),
        pass_fds=(writer,), capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    os.close(writer)
    assert b"Started" in done.stderr
    agent = project.agent()
    assert os.read(reader, 1) == b"", "somebody in the background still holds the other end"
    os.close(reader)
    assert {os.readlink(f"/proc/{agent}/fd/{fd}") for fd in (0, 1, 2)} == {"/dev/null"}
    assert os.readlink(f"/proc/{agent}/cwd") == "/"
    fields = proc(agent, "stat").rpartition(")")[2].split()
    assert int(fields[3]) == agent, "it leads a session of its own"


def test_it_is_shown_by_its_project_and_finds_its_home_and_modules_again(project):
    project.write({"web": {}})
    project.run("up", "-d")
    agent = project.agent()
    assert proc(agent, "cmdline").strip("\0\1") == f"composer-agent {project.name}"
    # What it starts, and what a shim starts when it is killed, is found by these.
    os.kill(agent, signal.SIGKILL)
    project.run("up", "-d")
    assert project.agent() not in (0, agent)


def test_after_a_mistake_none_is_left(project):
    project.write({"web": {"image": 3}})
    done = project.run("up", "-d", check=False)
    assert done.code == 1
    assert "services.web.image" in done.err
    assert project.agent() == 0
    assert not project.home.paths.project_run(project.name).exists()


def test_one_that_has_no_place_to_be_says_so(project):
    project.write({"web": {}})
    done = project.run("up", "-d", env={"COMPOSER_HOME": "/proc/nowhere"}, check=False)
    assert done.code == 125
    assert done.err.startswith("composer: cannot write /proc/nowhere: No such file or directory")
    assert "COMPOSER_HOME" in done.err
