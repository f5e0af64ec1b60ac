"""`events`: docker's words for what state files say."""

from __future__ import annotations

import pytest

from composer.cli.commands.events import actions
from composer.cli.follow import Change
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
        (UP, {**UP, "status": "exited", "shim": {"asked": "stop"}}, ["die", "stop"]),
        (
            {**UP, "status": "stopping"},
            {**UP, "status": "exited", "shim": {"asked": "stop"}},
            ["die", "stop"],
        ),
        (UP, {**UP, "status": "exited", "shim": {"asked": "kill"}}, ["kill", "die"]),
        (UP, {**UP, "status": "stopping"}, []),
        ({}, {**UP, "status": "exited"}, ["start", "die"]),
        (UP, {**UP, "status": "exited", "started_at": 2.0}, ["die", "start", "die"]),
        (UP, {**UP, "health": "healthy"}, ["health_status: healthy"]),
        ({**UP, "name": "a"}, {**UP, "name": "b"}, ["rename"]),
    ],
)
def test_a_change_of_state_in_dockers_words(before, now, expected) -> None:
    assert said(before, now) == expected
