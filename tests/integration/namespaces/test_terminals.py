"""Terminals, attach and exec over a shim's socket, as the command line speaks to it."""

from __future__ import annotations

import array
import json
import os
import socket

import anyio
import pytest

from composer.engine import Process
from composer.namespaces import links
from composer.namespaces.engine import open_engine
from composer.namespaces.shim.runner import socket_receive

pytestmark = pytest.mark.root


class Caller:
    """A blocking client, five lines a request."""

    def __init__(self, laboratory, container_id):
        self.sock = links.connect(laboratory.paths.container_run(container_id))
        self.sock.settimeout(10)

    def send(self, message, fds=()):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        self.sock.sendmsg([json.dumps(message).encode()], rights)

    def receive(self):
        data, fds, _, _ = socket_receive(self.sock, 1 << 20)
        return json.loads(data), fds

    def output(self, ending):
        """Collect attached output until it contains *ending*."""
        found = b""
        while ending not in found:
            data = self.sock.recv(1 << 20)
            assert data, found
            if data[0] in (1, 2):
                found += data[1:]
        return found


def in_container(laboratory, config, function):
    """Run *function(container id)* in a thread while the container runs."""

    async def body():
        async with open_engine(laboratory.paths) as engine:
            await engine.create(config)
            try:
                await engine.start(config.id)
                return await anyio.to_thread.run_sync(function, config.id)
            finally:
                await engine.remove(config.id, force=True)

    return anyio.run(body)


def test_exec_uses_the_callers_descriptors_and_tells_the_exit_code(laboratory):
    def check(container_id):
        caller = Caller(laboratory, container_id)
        reader, writer = os.pipe()
        source, sink = os.pipe()
        os.write(sink, b"typed\n")
        os.close(sink)
        caller.send(
            {"op": "exec", "id": 1, "process": {"args": ["sh", "-c", "cat; exit 5"]}},
            [source, writer, writer],
        )
        os.close(writer)
        first, _ = caller.receive()
        last, _ = caller.receive()
        return first["started"] > 0, last["exit"], os.read(reader, 100)

    assert in_container(laboratory, laboratory.config("sleep", "100"), check) == (True, 5, b"typed\n")


def test_exec_with_a_terminal_has_a_terminal_of_the_container(laboratory):
    def check(container_id):
        caller = Caller(laboratory, container_id)
        script = "tty; test -t 0 && test -t 1 && echo yes; read line; echo got $line; exit 6"
        caller.send({"op": "exec", "id": 1, "process": {"args": ["sh", "-c", script], "terminal": True}})
        _, [master] = caller.receive()
        text = b""
        while b"yes" not in text:
            text += os.read(master, 1000)
        os.write(master, b"word\n")
        while b"got word" not in text:
            text += os.read(master, 1000)
        code = caller.receive()[0]["exit"]
        return text.decode().split(), code

    words, code = in_container(laboratory, laboratory.config("sleep", "100"), check)
    assert any(word.startswith("/dev/pts/") for word in words)
    assert "yes" in words
    assert code == 6


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"args": ["nope"]}, 127),
        ({"args": ["/etc/passwd"]}, 126),
        ({"args": ["true"], "user": "nobody-here"}, 126),
        ({"args": ["true"], "cwd": "/no/where"}, 126),
    ],
)
def test_exec_that_cannot_start_says_why(laboratory, request_, code):
    def check(container_id):
        caller = Caller(laboratory, container_id)
        null = os.open("/dev/null", os.O_RDWR)
        caller.send({"op": "exec", "id": 3, "process": request_}, [null, null, null])
        return caller.receive()[0]

    answer = in_container(laboratory, laboratory.config("sleep", "100"), check)
    assert (answer["exit"], answer["id"]) == (code, 3)
    assert answer["error"]["message"]


def test_exec_can_be_signalled_and_is_privileged_on_request(laboratory):
    def check(container_id):
        caller = Caller(laboratory, container_id)
        reader, writer = os.pipe()
        null = os.open("/dev/null", os.O_RDWR)
        script = "grep CapEff /proc/self/status; sleep 100"
        caller.send(
            {"op": "exec", "id": 1, "privileged": True, "process": {"args": ["sh", "-c", script]}},
            [null, writer, writer],
        )
        number = caller.receive()[0]["exec"]
        seen = os.read(reader, 100)
        caller.send({"op": "exec_signal", "id": 2, "exec": number, "signal": 15})
        codes = [caller.receive()[0] for _ in range(2)]
        return seen, [message["exit"] for message in codes if "exit" in message]

    seen, codes = in_container(laboratory, laboratory.config("sleep", "100"), check)
    assert int(seen.split()[1], 16) & 1 << 21  # CAP_SYS_ADMIN
    assert codes == [143]


def test_several_clients_see_the_terminal_and_one_resizes_it(laboratory):
    def check(container_id):
        first, second = Caller(laboratory, container_id), Caller(laboratory, container_id)
        for caller, takes_input in ((first, True), (second, False)):
            caller.send({"op": "attach", "id": 1, "stdin": takes_input})
            assert caller.receive()[0]["ok"]
        first.send({"op": "resize", "id": 2, "rows": 33, "columns": 77})
        first.sock.send(b"\0stty size\n")
        return [b"33 77" in caller.output(b"33 77\r\n") for caller in (first, second)]

    config = laboratory.config("sh", terminal=True, stdin_open=True)
    assert in_container(laboratory, config, check) == [True, True]


def test_input_of_a_container_without_a_terminal_ends_when_told(laboratory):
    def check(container_id):
        caller = Caller(laboratory, container_id)
        caller.send({"op": "attach", "id": 1, "stdin": True})
        caller.sock.send(b"\0hello\n")
        caller.sock.send(b"\0")
        return caller.output(b"done")

    config = laboratory.config("sh", "-c", "cat; echo done; sleep 100", stdin_open=True)
    assert b"hello" in in_container(laboratory, config, check)


@pytest.mark.parametrize("added", [(), ("SYS_PTRACE",)])
def test_the_joining_process_leads_nowhere_outside(laboratory, tmp_path, added):
    """CVE-2016-9962, CVE-2019-5736: the container's root watches /proc while commands join it."""
    canary = tmp_path / "canary"
    canary.write_text("x")
    watcher = (
        "while :; do for p in /proc/[0-9]*; do"
        " case $(readlink $p/exe 2>/dev/null) in *python*) (exec 3>>$p/exe) 2>/dev/null && echo WRITABLE;; esac;"
        f" [ -e $p/root{canary} ] && echo ROOT; [ -e $p/cwd{canary} ] && echo CWD; done; done"
    )

    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config("sh", "-c", watcher, capabilities=("DAC_OVERRIDE", *added))
            await engine.create(config)
            try:
                await engine.start(config.id)
                for _ in range(60):
                    assert (await engine.execute(config.id, Process(("true",))))[0] == 0
                return laboratory.log(config.id)
            finally:
                await engine.remove(config.id, force=True)

    assert anyio.run(body) == ""
