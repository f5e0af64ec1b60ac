"""What the agent writes down stays small, and is JSON."""

from __future__ import annotations

import json

from composer.agent.journal import BoundedFile, Journal
from composer.engine import ContainerConfig, ContainerState, EngineEvent, Process


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_file_never_grows_beyond_twice_its_limit(tmp_path):
    file = BoundedFile(tmp_path / "log", limit=100)
    for number in range(100):
        file.write(f"{number:09}\n")
    kept = (tmp_path / "log.1").read_text() + (tmp_path / "log").read_text()
    assert kept.endswith("000000099\n")
    assert len(kept) <= 200


def test_a_directory_that_vanished_ends_nothing(tmp_path):
    BoundedFile(tmp_path / "nowhere" / "log").write("x\n")


def test_what_is_noted_before_structlog_is_there_is_not_lost(tmp_path):
    journal = Journal(tmp_path / "p")
    journal.note("early", a=1)
    journal.open()
    journal.note("late", b=2)
    found = lines(tmp_path / "p" / "agent.log")
    assert [(line["event"], line.get("a"), line.get("b")) for line in found] == [
        ("early", 1, None),
        ("late", None, 2),
    ]
    assert all(line["timestamp"].endswith("Z") for line in found)


def test_an_agent_that_leaves_early_writes_the_same_lines(tmp_path):
    journal = Journal(tmp_path / "p")
    journal.note("early", a=1)
    journal.close()
    line = lines(tmp_path / "p" / "agent.log")[0]
    assert (line["event"], line["level"], line["a"]) == ("early", "info", 1)


def test_events_of_containers(tmp_path):
    journal = Journal(tmp_path / "p")
    config = ContainerConfig("i" * 64, "p-web-1", Process(("x",)), service="web", image="img")
    state = ContainerState("i" * 64, "p-web-1", "exited", config, exit_code=3)
    journal.record(EngineEvent(state.id, "die", state, 5.0))
    assert lines(tmp_path / "p" / "events.jsonl") == [
        {
            "time": 5.0,
            "action": "die",
            "id": "i" * 64,
            "name": "p-web-1",
            "service": "web",
            "image": "img",
            "status": "exited",
            "exit_code": 3,
            "health": "none",
        }
    ]
