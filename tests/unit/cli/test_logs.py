from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from composer.cli.commands import logs
from composer.cli.follow import Follower
from composer.cli.logfile import LogReader, parse_moment
from composer.cli.parser import CommandParser
from composer.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def record(text: str, moment: str = "2026-01-01T00:00:00.000000000Z", stream: str = "stdout") -> str:
    return json.dumps({"log": text, "stream": stream, "time": moment}) + "\n"


def texts(lines) -> list[str]:
    return [line.text for line in lines]


def test_history_then_what_is_added(tmp_path: Path) -> None:
    log = tmp_path / "container.log"
    log.write_text(record("a\n") + record("b\n"))
    reader = LogReader(str(log))
    assert texts(reader.history()) == ["a", "b"]
    with log.open("a") as file:
        file.write(record("c\n")[:10])
        file.flush()
        assert texts(reader.fresh()) == []
        file.write(record("c\n")[10:])
    assert texts(reader.fresh()) == ["c"]


def test_long_lines_come_out_whole(tmp_path: Path) -> None:
    log = tmp_path / "container.log"
    log.write_text(record("one ") + record("E\n", stream="stderr") + record("line\n") + record("end"))
    reader = LogReader(str(log))
    assert [(line.stream, line.text) for line in reader.history()] == [
        ("stderr", "E"),
        ("stdout", "one line"),
    ]
    assert texts(reader.flush()) == ["end"]


def test_rotation(tmp_path: Path) -> None:
    log = tmp_path / "container.log"
    log.write_text(record("a\n"))
    reader = LogReader(str(log))
    assert texts(reader.history()) == ["a"]
    with log.open("a") as file:
        file.write(record("b\n"))
    log.rename(tmp_path / "container.log.1")
    log.write_text(record("c\n"))
    assert texts(reader.fresh()) == ["b", "c"]
    assert texts(LogReader(str(log)).history()) == ["a", "b", "c"]
    assert texts(LogReader(str(log)).tail(2)) == ["b", "c"]


@pytest.mark.parametrize("count", [0, 1, 5, 2000, 5000])
def test_tail(tmp_path: Path, count: int) -> None:
    log = tmp_path / "container.log"
    lines = [f"line {number} {'x' * (number % 90)}" for number in range(3000)]
    log.write_text("".join(record(line + "\n") for line in lines))
    reader = LogReader(str(log))
    assert texts(reader.tail(count)) == (lines[-count:] if count else [])
    with log.open("a") as file:
        file.write(record("new\n"))
    assert texts(reader.fresh()) == ["new"]


def test_damaged_records_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / "container.log"
    log.write_text(record("a\n") + '{"log": "cut\n' + "[]\n" + record("b\n"))
    assert texts(LogReader(str(log)).history()) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("10s", "1970-01-01T00:16:30"),
        ("1m30s", "1970-01-01T00:15:10"),
        ("500", "1970-01-01T00:08:20"),
        ("2026-11-23T12:00:00Z", "2026-11-23T12:00:00"),
        ("2026-11-23T12:00:00+02:00", "2026-11-23T10:00:00"),
    ],
)
def test_moments(text: str, moment: str) -> None:
    assert parse_moment(text, now=1000.0).startswith(moment)


@pytest.mark.parametrize("text", ["", "yesterday", "10x", "s"])
def test_no_moments(text: str) -> None:
    with pytest.raises(UsageError):
        parse_moment(text, now=0.0)


def run_logs(context, *words: str) -> str:
    parser = CommandParser("logs", "x")
    logs.add_arguments(parser)
    assert logs.run(parser.parse(words), context) == 0
    return context.stdout.getvalue()


def test_lines_of_all_containers_are_merged_by_time(make_context, add_container, home) -> None:
    web, db = add_container("web"), add_container("db")
    root = home / "lib" / "containers"
    (root / web / "container.log").write_text(
        record("w1\n", "2026-01-01T00:00:01.0Z") + record("w3\n", "2026-01-01T00:00:03.0Z")
    )
    (root / db / "container.log").write_text(record("d2\n", "2026-01-01T00:00:02.0Z"))
    assert run_logs(make_context(project_name="shop")) == "web-1  | w1\ndb-1   | d2\nweb-1  | w3\n"
    assert run_logs(make_context(project_name="shop"), "db", "--no-log-prefix") == "d2\n"
    assert (
        run_logs(make_context(project_name="shop"), "--since", "2026-01-01T00:00:02Z", "-n", "1")
        == "db-1   | d2\nweb-1  | w3\n"
    )
    assert "2026-01-01T00:00:01.0Z w1" in run_logs(
        make_context(project_name="shop"), "-t", "--until", "2026-01-01T00:00:01Z"
    )


def test_following_sees_output_ends_and_new_containers(make_context, add_container, home) -> None:
    context = make_context()
    running = {"status": "running", "pid": 1}
    web = add_container("web", state=running)
    log = home / "lib" / "containers" / web / "container.log"
    log.write_text(record("old\n"))
    with Follower(context.paths, "shop") as follower:
        with log.open("a") as file:
            file.write(record("new\n"))
        assert [(c.kind, c.line.text) for c in follower.changes(5)] == [("output", "new")]
        with log.open("a") as file:
            file.write(record("bye\n"))
        state = home / "run" / "containers" / web / "state.json"
        state.with_name("x").write_text(json.dumps({"status": "exited", "exit_code": 4}))
        state.with_name("x").rename(state)
        changes = list(follower.changes(5))
        assert [change.kind for change in changes] == ["output", "state"]
        assert changes[1].container.exit_code == 4
        add_container("stranger", project="blog")
        job = add_container("job")
        seen = []
        while not seen:
            seen = [change for change in follower.changes(5) if change.kind == "appeared"]
        assert [change.container.id for change in seen] == [job]


def test_logs_follow_ends_when_nothing_runs_any_more(make_context, add_container, home) -> None:
    web = add_container("web", state={"status": "running", "pid": 1})
    log = home / "lib" / "containers" / web / "container.log"
    log.write_text(record("old\n"))
    state = home / "run" / "containers" / web / "state.json"

    def end() -> None:
        with log.open("a") as file:
            file.write(record("last\n"))
        state.with_name("x").write_text(json.dumps({"status": "exited"}))
        state.with_name("x").rename(state)

    timer = threading.Timer(0.2, end)
    timer.start()
    assert run_logs(make_context(project_name="shop"), "-f") == "web-1  | old\nweb-1  | last\n"
    timer.join()
