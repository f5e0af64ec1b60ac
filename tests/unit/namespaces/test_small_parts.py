"""Signals, logs, loops, users: the small parts of the engine."""

from __future__ import annotations

import json
import os
import signal

import pytest

from composer.errors import EngineError
from composer.namespaces.kernel.errors import LaunchError
from composer.namespaces.sandbox import userdb
from composer.namespaces.shim.log import PART, LogFile
from composer.namespaces.shim.loop import Loop
from composer.namespaces.signals import signal_number

PASSWD = b"root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:\n# x\nbroken\n4294967296:x:0:0::/:\nbig:x:99999999999:0::/:\n"
GROUP = b"root:x:0:\nstaff:x:50:app,other\nwheel:x:10:root,app\n"


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("SIGTERM", 15),
        ("term", 15),
        ("9", 9),
        ("RTMIN", signal.SIGRTMIN),
        ("SIGRTMIN+3", signal.SIGRTMIN + 3),
        ("RTMAX-1", signal.SIGRTMAX - 1),
    ],
)
def test_signals_are_known_by_name_and_number(text, number):
    assert signal_number(text) == number


@pytest.mark.parametrize("text", ["", "0", "SIGNOPE", "99", "RTMAX+1", "-1", "SIG_DFL", "RTMIN+x"])
def test_other_words_are_no_signals(text):
    with pytest.raises(EngineError):
        signal_number(text)


@pytest.mark.parametrize(
    ("user", "uid", "gid", "groups", "home"),
    [
        ("", 0, 0, [0, 10], "/root"),
        ("app", 1000, 1001, [1001, 50, 10], "/home/app"),
        ("1000", 1000, 1001, [1001, 50, 10], "/home/app"),
        ("app:staff", 1000, 50, [50], "/home/app"),
        ("app:77", 1000, 77, [77], "/home/app"),
        ("4242", 4242, 0, [0], "/"),
    ],
)
def test_users_are_resolved_as_docker_does(user, uid, gid, groups, home):
    who = userdb.resolve(user, [], PASSWD, GROUP)
    assert (who.uid, who.gid, who.groups, who.home) == (uid, gid, groups, home)


@pytest.mark.parametrize(
    "user",
    [
        "nobody",
        "2147483648",
        "4294967296",
        "-1",
        "+0",
        "99999999999999",
        "big",
        "app:none",
        "1e3",
        " 0",
        "0x0",
        "٣",
    ],
)
def test_no_text_becomes_a_user_by_accident(user):
    with pytest.raises(LaunchError):
        userdb.resolve(user, [], PASSWD, GROUP)


def test_groups_are_added_by_name_and_number():
    assert userdb.resolve("4242", ["staff", "7"], PASSWD, GROUP).groups == [0, 50, 7]


def entries(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_keep_their_stream_and_unfinished_ones_wait(tmp_path):
    log = LogFile(str(tmp_path / "log"))
    log.write("stdout", b"one\ntw")
    log.write("stderr", b'quo"te \xff\n')
    log.write("stdout", b"o\n")
    log.write("stdout", b"rest")
    log.close()
    assert [(entry["stream"], entry["log"]) for entry in entries(tmp_path / "log")] == [
        ("stdout", "one\n"), ("stderr", 'quo"te �\n'), ("stdout", "two\n"), ("stdout", "rest"),
    ]  # fmt: skip
    assert all(
        len(entry["time"]) == 30 and entry["time"].endswith("Z") for entry in entries(tmp_path / "log")
    )


def test_a_line_of_the_length_of_a_part_is_not_split_and_longer_ones_are(tmp_path):
    log = LogFile(str(tmp_path / "log"))
    log.write("stdout", b"x" * PART + b"\n" + b"y" * (PART + 1) + b"\n")
    log.close()
    assert (
        "".join(entry["log"] for entry in entries(tmp_path / "log"))
        == "x" * PART + "\n" + "y" * (PART + 1) + "\n"
    )
    assert all(len(entry["log"]) <= PART + 1 for entry in entries(tmp_path / "log"))


def test_rotation_keeps_so_many_files(tmp_path):
    log = LogFile(str(tmp_path / "log"), max_size=300, max_files=3)
    for number in range(40):
        log.write("stdout", f"line {number}\n".encode())
    log.close()
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1", "log.2"]
    assert entries(tmp_path / "log")[-1]["log"] == "line 39\n"
    assert all(path.stat().st_size <= 300 for path in tmp_path.iterdir())


def test_one_file_is_truncated(tmp_path):
    log = LogFile(str(tmp_path / "log"), max_size=300, max_files=1)
    for number in range(40):
        log.write("stdout", f"line {number}\n".encode())
    log.close()
    assert os.listdir(tmp_path) == ["log"]
    assert entries(tmp_path / "log")[-1]["log"] == "line 39\n"


def test_nothing_is_kept_by_driver_none(tmp_path):
    log = LogFile(str(tmp_path / "log"), discard=True)
    log.write("stdout", b"x\n")
    log.close()
    assert os.listdir(tmp_path) == []


def test_the_loop_calls_timers_in_order_and_not_those_taken_back():
    loop = Loop()
    seen = []
    loop.call_later(0.02, loop.stop)
    loop.call_later(0.01, lambda: seen.append(2))
    loop.call_later(0.0, lambda: seen.append(1))
    loop.call_later(0.015, lambda: seen.append(9)).cancel()
    loop.run()
    assert seen == [1, 2]


def test_the_loop_tells_about_descriptors_until_told_to_forget():
    loop = Loop()
    reader, writer = os.pipe()
    seen = []

    def ready(_events):
        seen.append(os.read(reader, 10))
        loop.forget(reader, close=True)
        loop.stop()

    loop.watch(reader, ready)
    os.write(writer, b"x")
    loop.run()
    os.close(writer)
    assert seen == [b"x"]
