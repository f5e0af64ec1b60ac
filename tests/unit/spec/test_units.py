"""Durations, sizes, words, ports, mounts and numbers, as the reference reads them."""

from __future__ import annotations

import pytest

from composer.spec.ports import parse_port
from composer.spec.scalars import format_float, resolve
from composer.spec.units import format_duration, parse_duration, parse_size
from composer.spec.volumes import clean_path, parse_volume
from composer.spec.words import split_words


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("10s", "10s"),
        ("1d2h", "26h0m0s"),
        ("1w", "168h0m0s"),
        ("500us", "500µs"),
        ("1.5h", "1h30m0s"),
        ("90s", "1m30s"),
        ("1500ms", "1.5s"),
        ("0", "0s"),
        ("-2m", "-2m0s"),
        ("1h0.5s", "1h0m0.5s"),
        ("7ns", "7ns"),
    ],
)
def test_durations(text, shown):
    assert format_duration(parse_duration(text)) == shown


@pytest.mark.parametrize("text", ["", "10", "s", "1x", "1 s", "10s5", "1e3s", "9999999999w", "½h"])
def test_what_is_not_a_duration(text):
    with pytest.raises(ValueError, match=r"duration|unit"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1g", 1 << 30),
        ("1GB", 1 << 30),
        ("1GiB", 1 << 30),
        ("1.5G", 3 << 29),
        ("10 MB", 10 << 20),
        ("64k", 65536),
        ("12b", 12),
        ("12", 12),
        ("-1", -1),
        (".5k", 512),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "g", "1gg", "1 2", "1,5g", "0x10", "1.2.3m", "--1"])
def test_what_is_not_a_size(text):
    with pytest.raises(ValueError, match="size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("echo hello", ["echo", "hello"]),
        ("a | b", ["a"]),
        ("a && b", ["a"]),
        ("a;b", ["a"]),
        ("a 2>x", ["a"]),
        ('""', [""]),
        ("  ", []),
        ("a # b", ["a", "#", "b"]),
        ("'a b' \"c d\"", ["a b", "c d"]),
        (r"a\ b", ["a b"]),
        (r"'a\b'", [r"a\b"]),
        ("$(a b)", ["$(a b)"]),
        ("`a b`", ["`a b`"]),
        ("a'b'c", ["abc"]),
        ('"a;b"', ["a;b"]),
    ],
)
def test_words(line, words):
    assert split_words(line) == words


@pytest.mark.parametrize("line", ["'a", '"a', "a\\", "(a)", "a)", "`a", "$(a"])
def test_what_is_not_a_command_line(line):
    with pytest.raises(ValueError, match="invalid command line"):
        split_words(line)


def ports(text):
    return [
        (port.get("host_ip", ""), port.get("published", ""), port["target"], port["protocol"])
        for port in parse_port(text)
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("8080", [("", "", 8080, "tcp")]),
        ("3000-3001", [("", "", 3000, "tcp"), ("", "", 3001, "tcp")]),
        ("8080:80", [("", "8080", 80, "tcp")]),
        ("5000-5001:6000-6001/udp", [("", "5000", 6000, "udp"), ("", "5001", 6001, "udp")]),
        ("8000-8010:80", [("", "8000-8010", 80, "tcp")]),
        ("127.0.0.1::90", [("127.0.0.1", "", 90, "tcp")]),
        ("[::1]:6001:6001", [("::1", "6001", 6001, "tcp")]),
        ("80:80/TCP", [("", "80", 80, "tcp")]),
        ("9-11:9-11", [("", "10", 10, "tcp"), ("", "11", 11, "tcp"), ("", "9", 9, "tcp")]),
        ("80:80/sctp", [("", "80", 80, "sctp")]),
    ],
)
def test_ports(text, expected):
    assert ports(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tcp",
        "99999",
        "localhost:80:80",
        "::1:90:90",
        "80-82:80-81",
        "80:",
        "80:80/xyz",
        "90-80",
        "a:b:c:d",
        "80-",
        "-80",
    ],
)
def test_what_is_not_a_port(text):
    with pytest.raises(ValueError, match=r"(?i)port|address|proto|ranges"):
        parse_port(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a", {"type": "volume", "target": "/a"}),
        ("/data", {"type": "volume", "target": "/data", "volume": {}}),
        ("v:/data/", {"type": "volume", "target": "v:/data"}),
        ("vol:/data/", {"type": "volume", "source": "vol", "target": "/data", "volume": {}}),
        (
            "vol:/data:nocopy,ro",
            {
                "type": "volume",
                "source": "vol",
                "target": "/data",
                "read_only": True,
                "volume": {"nocopy": True},
            },
        ),
        (
            "./a:/b:rslave",
            {
                "type": "bind",
                "source": "./a",
                "target": "/b",
                "bind": {"create_host_path": True, "propagation": "rslave"},
            },
        ),
        (
            "./a:/b:what",
            {"type": "bind", "source": "./a", "target": "/b", "bind": {"create_host_path": True}},
        ),
    ],
)
def test_mounts(text, expected):
    if text == "v:/data/":
        expected = {**expected, "volume": {}}
    assert parse_volume(text) == expected


@pytest.mark.parametrize("text", ["", ":/a", "vol:", "vol:/a:ro:x", "vol::ro"])
def test_what_is_not_a_mount(text):
    with pytest.raises(ValueError, match=r"spec"):
        parse_volume(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0440", 288),
        ("0o440", 288),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("22:22", "22:22"),
        ("yes", "yes"),
        ("off", "off"),
        ("True", True),
        ("~", None),
        ("1e6", 1e6),
        (".5", 0.5),
        ("1.", 1.0),
        ("+3", 3),
        ("-", "-"),
        ("1.2.3", "1.2.3"),
        ("2020-01-01", "2020-01-01 00:00:00 +0000 UTC"),
        ("2020-13-01", "2020-13-01"),
        ("999999999999999999999", 1e21),
    ],
)
def test_plain_scalars(text, value):
    resolved = resolve(text)
    assert resolved == value
    assert isinstance(resolved, bool) == isinstance(value, bool)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (3.10, "3.1"),
        (1e6, "1e+06"),
        (123456789.123, "1.23456789123e+08"),
        (123456.5, "123456.5"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
        (-2.5, "-2.5"),
        (1e100, "1e+100"),
        (float("inf"), "+Inf"),
        (0.0, "0"),
    ],
)
def test_floats_as_go_writes_them(value, text):
    assert format_float(value) == text


@pytest.mark.parametrize(("path", "clean"), [("/a/../b/", "/b"), ("", "."), ("//a", "/a"), ("a/.", "a")])
def test_clean_path(path, clean):
    assert clean_path(path) == clean
