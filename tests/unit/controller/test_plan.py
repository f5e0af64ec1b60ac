"""How plans look to people and to machines."""

from __future__ import annotations

import json

from composer.controller.plan import Plan
from tests.unit.controller.conftest import Machine, make_project


def test_a_first_up():
    plan = Machine(make_project({"web": {}})).plan()
    assert plan.describe() == (
        "+ create network p_default  it does not exist\n"
        "+ create container p-web-1  it does not exist\n"
        "p: 2 to create\n"
    )
    assert plan.exit_code == 2


def test_a_recreation_is_one_line():
    machine = Machine(make_project({"web": {}, "db": {}})).up()
    plan = machine.plan(make_project({"web": {"user": "1"}, "db": {}}))
    assert plan.describe() == ("~ recreate container p-web-1  its configuration changed\np: 1 to recreate\n")


def test_nothing_to_do():
    plan = Machine(make_project({"web": {}})).up().plan()
    assert plan.describe() == "p: nothing to do, 1 container as wanted\n"


def test_starting_and_removing():
    machine = Machine(make_project({"web": {"scale": 2}})).up(status="exited")
    assert machine.plan(scale={"web": 1}).describe() == (
        "- remove container p-web-2  scaled down to 1\n"
        "> start container p-web-1   it exited (0)\n"
        "p: 1 to remove, 1 to change\n"
    )


def test_json_is_plain_and_complete():
    plan = Machine(make_project({"web": {}})).plan()
    values = json.loads(json.dumps(plan.to_json()))
    assert values["changes"] is True
    assert values["operations"][1] == {
        "operation": "CreateContainer",
        "summary": "create container p-web-1",
        "key": "create p-web-1",
        "name": "p-web-1",
        "after": ["create network p_default"],
        "reason": "it does not exist",
        "service": "web",
    }


def test_waiting_is_no_change():
    plan = Machine(make_project({"web": {}})).up().plan(wait=True)
    assert plan.operations
    assert plan.exit_code == 0


def test_an_empty_plan():
    assert Plan("p").describe() == "p: nothing to do, 0 containers as wanted\n"
