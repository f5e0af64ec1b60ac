"""`events`: docker's words for what state files say."""

from __future__ import annotations

import json

import pytest

from composer.cli.commands import events
from composer.cli.commands.events import actions
from composer.cli.follow import Change
from composer.cli.parser import CommandParser
from composer.cli.snapshot import Container

UP = {"status": "running", "started_at": 1.0, "shim": {"asked": ""}}


def said(before, now):
    container = Container("1" * 64, {"name": "web"}, now)
    return [action for action, _ in actions(Change(container, "state", None, before))]


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ({}, UP, ["start"]),
        (UP, {**UP, "status": "paused"}, ["pause"]),
        ({**UP, "status": "paused"}, UP, ["unpause"]),
        (UP, {**UP, "oom_killed": True}, ["oom"]),
        (UP, {**UP, "status": "exited"}, ["die"]),
        (UP, {**UP, "status": "restarting"}, ["die"]),
        (UP, {**UP, "started_at": 2.0}, ["die", "start"]),
        (UP, {**UP, "status": "exited", "shim": {"asked": "stop"}}, ["kill", "die", "stop"]),
        (
            {**UP, "status": "stopping"},
            {**UP, "status": "exited", "shim": {"asked": "stop"}},
            ["die", "stop"],
        ),
        (UP, {**UP, "status": "exited", "shim": {"asked": "kill"}}, ["kill", "die"]),
        (UP, {**UP, "status": "stopping"}, ["kill"]),
        ({}, {**UP, "status": "exited"}, ["start", "die"]),
        (UP, {**UP, "status": "exited", "started_at": 2.0}, ["die", "start", "die"]),
        (UP, {**UP, "health": "healthy"}, ["health_status: healthy"]),
        ({**UP, "name": "a"}, {**UP, "name": "b"}, ["rename"]),
    ],
)
def test_a_change_of_state_in_dockers_words(before, now, expected) -> None:
    assert said(before, now) == expected


def test_what_was_recorded_is_told_in_the_same_words(make_context, home) -> None:
    directory = home / "lib" / "projects" / "shop"
    directory.mkdir(parents=True)
    record = {"id": "1" * 64, "name": "shop-web-1", "service": "web", "image": "i", "status": "exited"}
    told = [("start", 0, "none"), ("health_status", 0, "healthy"), ("die", 3, "none")]
    with (directory / "events.jsonl").open("w") as file:
        for time, (action, code, health) in enumerate(told, 100):
            line = {**record, "time": time, "action": action, "exit_code": code, "health": health}
            file.write(json.dumps(line) + "\n")
    context = make_context(project_name="shop")
    parser = CommandParser("x", "x")
    events.add_arguments(parser)
    assert events.run(parser.parse(["--json", "--since", "100", "--until", "102"]), context) == 0
    shown = [json.loads(line) for line in context.stdout.getvalue().splitlines()]
    assert [event["action"] for event in shown] == ["start", "health_status: healthy", "die"]
    assert shown[-1]["attributes"]["exitCode"] == "3"
