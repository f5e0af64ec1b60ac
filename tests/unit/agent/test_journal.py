"""What the agent writes down stays small, and is JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys

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


def test_each_note_is_one_line_that_says_when_who_and_what(tmp_path):
    journal = Journal(tmp_path / "p")
    journal.note("early", a=1)
    journal.note("late", b=tmp_path)
    found = lines(tmp_path / "p" / "agent.log")
    assert [(line["event"], line.get("a"), line.get("b")) for line in found] == [
        ("early", 1, None),
        ("late", None, str(tmp_path)),
    ]
    assert all(line["timestamp"].endswith("Z") for line in found)
    assert all((line["level"], line["pid"]) == ("info", os.getpid()) for line in found)


def test_the_log_is_worth_no_library(tmp_path):
    program = (
        "import sys; from pathlib import Path; from composer.agent.journal import Journal;"
        f"Journal(Path({str(tmp_path)!r})).note('x'); print('structlog' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


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
