from __future__ import annotations

import os
import pty
import struct
import termios
import threading
from fcntl import ioctl

import pytest

from composer.cli.terminal import DetachFilter, RawTerminal, Relay, parse_keys, set_window_size, window_size
from composer.errors import UsageError


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("a,b", b"ab"),
        ("ctrl-[", b"\x1b"),
        ("ctrl-@", b"\0"),
        ("ctrl-C", b"\x03"),
        ("", b""),
    ],
)
def test_keys(text, keys) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-pp", "alt-x", "ctrl-ä"])
def test_wrong_keys(text) -> None:
    with pytest.raises(UsageError, match="is no key"):
        parse_keys(text)


def test_detach_keys_in_pieces() -> None:
    keys = DetachFilter(b"\x10\x11")
    assert keys.feed(b"ls\x10") == (b"ls", False)
    assert keys.feed(b"x") == (b"\x10x", False)
    assert keys.feed(b"\x10") == (b"", False)
    assert keys.feed(b"\x11rest") == (b"", True)


def test_without_detach_keys_nothing_is_held_back() -> None:
    assert DetachFilter(b"").feed(b"\x10\x11") == (b"\x10\x11", False)


def test_raw_and_back() -> None:
    master, slave = pty.openpty()
    before = termios.tcgetattr(slave)
    with RawTerminal(slave):
        assert not termios.tcgetattr(slave)[3] & (termios.ECHO | termios.ICANON | termios.ISIG)
    assert termios.tcgetattr(slave) == before
    os.close(master)
    os.close(slave)


def test_raw_leaves_a_pipe_alone() -> None:
    read, write = os.pipe()
    with RawTerminal(read):
        pass
    os.close(read)
    os.close(write)


def test_window_size() -> None:
    master, slave = pty.openpty()
    set_window_size(master, 33, 101)
    assert window_size(slave) == (33, 101)
    assert struct.unpack("HHHH", ioctl(slave, termios.TIOCGWINSZ, b"\0" * 8))[:2] == (33, 101)
    os.close(master)
    os.close(slave)


def test_relay_carries_both_ways_until_the_terminal_ends() -> None:
    master, slave = pty.openpty()
    typed, keyboard = os.pipe()
    screen, shown = os.pipe()
    relay = Relay(master, stdin=typed, stdout=shown)
    worker = threading.Thread(target=relay.run)
    worker.start()
    os.write(keyboard, b"hello\n")
    assert os.read(slave, 100) == b"hello\n"
    os.write(slave, b"answer")
    seen = b""
    while b"answer" not in seen:
        seen += os.read(screen, 100)
    os.close(slave)
    worker.join(5)
    assert not worker.is_alive()
    for fd in (master, typed, keyboard, screen, shown):
        os.close(fd)


def test_relay_detaches() -> None:
    master, slave = pty.openpty()
    typed, keyboard = os.pipe()
    screen, shown = os.pipe()
    relay = Relay(master, stdin=typed, stdout=shown, detach=b"\x10\x11")
    os.write(keyboard, b"x\x10\x11y")
    relay.run()
    assert relay.detached
    for fd in (master, slave, typed, keyboard, screen, shown):
        os.close(fd)
