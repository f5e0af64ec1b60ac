"""The client's half of the agent's socket, against a few lines that answer like an agent."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading

import pytest

from composer.agent.client import Client, connect_or_start
from composer.agent.requests import error_to_json, event_to_json
from composer.agent.sockets import LOCK, connect, listen
from composer.errors import (
    CommandNotFoundError,
    ComposerError,
    DependencyFailedError,
    EngineError,
    Location,
)
from composer.events import Event
from composer.state.paths import Paths


@pytest.fixture
def paths(tmp_path):
    return Paths(tmp_path / "lib", tmp_path / "run")


def answering(paths, *lines):
    """A client whose agent answers any request with *lines*, then hangs up."""
    ours, theirs = socket.socketpair()

    def answer():
        theirs.recv(1 << 16)
        theirs.sendall("".join(json.dumps(line) + "\n" for line in lines).encode())
        theirs.close()

    threading.Thread(target=answer, daemon=True).start()
    return Client(ours, paths, "p")


def test_events_then_the_result(paths):
    event = Event("container", "p-web-1", "Started", "done", service="web", attributes={"a": "b"})
    with answering(paths, {"event": event_to_json(event)}, {"result": {"changes": 1}}) as client:
        assert list(client.request("up")) == [event, {"changes": 1}]


@pytest.mark.parametrize(
    "error",
    [
        DependencyFailedError("db is unhealthy", hint="look"),
        ComposerError("no", where=Location("f.yaml", 3, 4), path="services.a"),
        CommandNotFoundError("no such command", errno=2),
    ],
)
def test_errors_arrive_as_they_were_raised(paths, error):
    with answering(paths, {"error": error_to_json(error)}) as client, pytest.raises(type(error)) as caught:
        list(client.request("up"))
    assert str(caught.value) == str(error)
    assert caught.value.where == error.where
    assert caught.value.exit_code == error.exit_code
    assert getattr(caught.value, "errno", 0) == getattr(error, "errno", 0)


def test_a_defect_says_that_it_is_one(paths):
    answer = {"error": error_to_json(ZeroDivisionError("x"), trace="Traceback: here")}
    with (
        answering(paths, answer) as client,
        pytest.raises(ComposerError, match="internal error: Zero") as caught,
    ):
        list(client.request("up"))
    assert caught.value.__notes__ == ["Traceback: here"]


def test_an_agent_that_ends_in_the_middle(paths):
    with answering(paths) as client, pytest.raises(EngineError, match="ended unexpectedly"):
        list(client.request("up"))


def test_nobody_listens(paths):
    assert connect(paths.project_run("p")) is None


def test_a_socket_that_is_left_over(paths):
    directory = paths.project_run("p")
    directory.mkdir(parents=True)
    listen(directory).close()
    assert connect(directory) is None


def test_the_path_may_be_longer_than_an_address(tmp_path):
    directory = tmp_path / ("d" * 100) / ("e" * 100)
    directory.mkdir(parents=True)
    listener = listen(directory)
    connection = connect(directory)
    assert connection is not None
    connection.close()
    listener.close()
    assert os.stat(directory / "agent.sock").st_mode & 0o777 == 0o600


def test_closing_waits_for_an_agent_that_leaves(paths):
    directory = paths.project_run("p")
    directory.mkdir(parents=True)
    code = (
        "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX);"
        "print(flush=True); time.sleep(0.2)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, directory / LOCK], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    with answering(paths, {"result": {}, "leaving": True}) as client:
        list(client.request("down"))
    assert holder.wait(1) == 0


def test_one_that_cannot_start_is_no_endless_loop(paths, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(EngineError, match="ended before it was ready"):
        connect_or_start(paths, "p")


def test_the_client_is_lean():
    code = (
        "import sys, composer.agent.client as c; heavy = {'asyncio', 'anyio', 'dataclasses', 'typing', 'inspect',"
        "'yaml', 'logging', 'subprocess', 'structlog', 'networkx'} & set(sys.modules); print(heavy or 'none')"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert not ({"asyncio", "anyio", "dataclasses", "yaml", "networkx"} & set(done.stdout.split("'")))
