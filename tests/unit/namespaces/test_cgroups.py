"""Limits become the right files and values; device rules become programs that decide like v1."""

import itertools
import struct

import pytest

from composer.namespaces.cgroups import limits
from composer.namespaces.cgroups.devices import ALL, DEFAULT_RULES, parse_rule, program
from composer.namespaces.cgroups.layout import detect


def pairs(writes) -> dict[str, str]:
    return {write.file: write.value for write in writes}


@pytest.mark.parametrize(("shares", "weight"), [(2, 1), (1024, 100), (262144, 10000), (512, 59), (2048, 174)])
def test_cpu_shares_keep_the_default_at_100(shares: int, weight: int) -> None:
    assert limits.cpu_weight(shares) == pytest.approx(weight, abs=1)


@pytest.mark.parametrize(("weight", "expected"), [(10, 1), (1000, 10000), (500, 4950)])
def test_io_weight(weight: int, expected: int) -> None:
    assert limits.io_weight(weight) == expected


@pytest.mark.parametrize(
    ("resources", "v2", "v1"),
    [
        ({}, {}, {}),
        (
            {"memory": 64 << 20},
            {"memory.max": "67108864", "memory.swap.max": "67108864"},
            {"memory.limit_in_bytes": "67108864", "memory.memsw.limit_in_bytes": "134217728"},
        ),
        (
            {"memory": 100, "memory_swap": 300},
            {"memory.max": "100", "memory.swap.max": "200"},
            {"memory.limit_in_bytes": "100", "memory.memsw.limit_in_bytes": "300"},
        ),
        (
            {"memory": 100, "memory_swap": -1},
            {"memory.max": "100", "memory.swap.max": "max"},
            {"memory.limit_in_bytes": "100", "memory.memsw.limit_in_bytes": "-1"},
        ),
        (
            {"cpus": 1.5},
            {"cpu.max": "150000 100000"},
            {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000"},
        ),
        (
            {"cpu_quota": 5000, "cpu_period": 20000},
            {"cpu.max": "5000 20000"},
            {"cpu.cfs_period_us": "20000", "cpu.cfs_quota_us": "5000"},
        ),
        ({"cpu_shares": 1024}, {"cpu.weight": "100"}, {"cpu.shares": "1024"}),
        ({"pids": 64}, {"pids.max": "64"}, {"pids.max": "64"}),
        ({"pids": -1}, {"pids.max": "max"}, {"pids.max": "max"}),
        (
            {"cpuset_cpus": "0-1", "cpuset_mems": "0"},
            {"cpuset.cpus": "0-1", "cpuset.mems": "0"},
            {"cpuset.cpus": "0-1", "cpuset.mems": "0"},
        ),
        ({"memory_reservation": 5}, {"memory.low": "5"}, {"memory.soft_limit_in_bytes": "5"}),
        ({"blkio_weight": 500}, {"io.weight": "4950"}, {"blkio.bfq.weight": "500"}),
    ],
)
def test_writes(resources: dict, v2: dict, v1: dict) -> None:
    assert pairs(limits.v2_writes(resources)) == v2
    assert pairs(limits.v1_writes(resources)) == v1


def test_what_v2_does_not_have_is_optional() -> None:
    writes = limits.v2_writes({"memory_swappiness": 10, "oom_kill_disable": True, "cpu_rt_runtime": 1})
    assert [write.required for write in writes] == [False, False, False]


def allows(code: bytes, kind: str, access: str, major: int, minor: int) -> bool:
    """Run the program as the kernel would; registers are 32 bit."""
    bits = sum({"m": 1, "r": 2, "w": 4}[letter] for letter in access)
    context = struct.pack("=III", bits << 16 | {"b": 1, "c": 2}[kind], major, minor)
    registers = [0] * 10
    instructions = [
        (op, regs & 15, regs >> 4, offset, constant)
        for op, regs, offset, constant in struct.iter_unpack("=BBhi", code)
    ]
    position = 0
    while True:
        op, destination, source, offset, constant = instructions[position]
        position += 1
        if op == 0x61:
            (registers[destination],) = struct.unpack_from("=I", context, offset)
        elif op == 0xBC:
            registers[destination] = registers[source]
        elif op == 0x54:
            registers[destination] &= constant
        elif op == 0x74:
            registers[destination] >>= constant
        elif op == 0xB7:
            registers[destination] = constant
        elif op == 0x56:
            position += offset if registers[destination] != constant else 0
        else:
            assert op == 0x95
            return bool(registers[0])


def allowed_by_rules(rules: list[str], kind: str, access: str, major: int, minor: int) -> bool:
    for rule in map(parse_rule, rules):
        if (
            rule.kind in ("a", kind)
            and rule.major in (-1, major)
            and rule.minor in (-1, minor)
            and set(access) <= set(rule.access)
        ):
            return True
    return False


@pytest.mark.parametrize("rules", [list(DEFAULT_RULES), [ALL], [], ["b 8:* r", "c 10:229 rw", "a 7:1 m"]])
def test_device_programs_decide_like_the_rules(rules: list[str]) -> None:
    code = program(rules)
    numbers = [(1, 3), (1, 4), (5, 2), (8, 0), (136, 9), (10, 229), (7, 1)]
    for (major, minor), kind, access in itertools.product(numbers, "bc", ("m", "r", "w", "rw", "mrw")):
        expected = allowed_by_rules(rules, kind, access, major, minor)
        assert allows(code, kind, access, major, minor) == expected, (rules, kind, access, major, minor)


@pytest.mark.parametrize("text", ["", "c", "c 1:3", "x 1:3 r", "c 1 r", "c a:b r", "c 1:3 q"])
def test_a_bad_device_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a device rule"):
        parse_rule(text)


V1 = "30 25 0:26 / /sys/fs/cgroup/{0} rw,relatime - cgroup cgroup rw,{1}\n"
V2 = "40 25 0:30 / /sys/fs/cgroup{0} rw - cgroup2 cgroup2 rw\n"


@pytest.mark.parametrize(
    ("table", "mode", "hierarchies"),
    [
        (V2.format(""), "unified", 1),
        (V1.format("memory", "memory") + V2.format("/unified"), "hybrid", 2),
        (V1.format("cpu,cpuacct", "cpu,cpuacct") + V1.format("pids", "pids"), "legacy", 2),
        (V1.format("systemd", "xattr,name=systemd"), "none", 0),
    ],
)
def test_the_mode_is_read_from_the_mount_table(tmp_path, table: str, mode: str, hierarchies: int) -> None:
    path = tmp_path / "mountinfo"
    path.write_text(table)
    layout = detect(mountinfo=str(path))
    assert (layout.mode, len(layout.hierarchies)) == (mode, hierarchies)
