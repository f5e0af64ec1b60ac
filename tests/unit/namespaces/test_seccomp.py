"""Filters are checked by running them: a small interpreter of classic BPF stands for the kernel's."""

import json
import struct

import pytest

from composer.errors import EngineError
from composer.namespaces.seccomp import bpf, compile_program
from composer.namespaces.seccomp.bpf import Compare, Rule, Table
from composer.namespaces.seccomp.default import PROFILE
from composer.namespaces.seccomp.profile import AUDIT_ARCH_I386, AUDIT_ARCH_X86_64, compile_profile
from composer.namespaces.seccomp.syscalls import I386, X86_64, numbers

CAPS = set(
    "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD"
    " AUDIT_WRITE SETFCAP".split()
)
ALLOW, EPERM, ENOSYS = bpf.RET_ALLOW, bpf.RET_ERRNO | 1, bpf.RET_ERRNO | 38


def run(program: bytes, number: int, *args: int, arch: int = AUDIT_ARCH_X86_64) -> int:
    """What the kernel would answer: seccomp(2), struct seccomp_data."""
    data = struct.pack("=IIQ6Q", number, arch, 0, *(args + (0,) * (6 - len(args))))
    code = list(struct.iter_unpack("=HBBI", program))
    accumulator, position = 0, 0
    while True:
        op, true, false, k = code[position]
        position += 1
        if op == bpf.LOAD:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif op == bpf.AND:
            accumulator &= k
        elif op == bpf.RETURN:
            return k
        elif op == bpf.JUMP:
            position += k
        else:
            holds = {
                bpf.JUMP_EQ: accumulator == k,
                bpf.JUMP_GT: accumulator > k,
                bpf.JUMP_GE: accumulator >= k,
            }
            position += true if holds[op] else false


@pytest.fixture(scope="module")
def default() -> bytes:
    return compile_profile(PROFILE, CAPS, "x86_64", "6.1.0")


@pytest.mark.parametrize(
    ("name", "args", "answer"),
    [
        ("read", (), ALLOW),
        ("execve", (), ALLOW),
        ("chroot", (), ALLOW),
        ("unshare", (0x10000000,), EPERM),
        ("mount", (), EPERM),
        ("keyctl", (), EPERM),
        ("io_uring_setup", (), EPERM),
        ("clone", (0x11,), ALLOW),
        ("clone", (0x10000011,), EPERM),
        ("clone3", (), ENOSYS),
        ("socket", (2,), ALLOW),
        ("socket", (38,), EPERM),
        ("socket", (39,), ALLOW),
        ("socket", (40,), EPERM),
        ("socket", (41,), ALLOW),
        ("personality", (0xFFFFFFFF,), ALLOW),
        ("personality", (0x1_0000_0000,), EPERM),
        ("personality", (5,), EPERM),
        ("ptrace", (), ALLOW),
        ("finit_module", (), EPERM),
    ],
)
def test_default_profile(default: bytes, name: str, args: tuple[int, ...], answer: int) -> None:
    assert run(default, numbers(X86_64)[name], *args) == answer


def test_x32_calls_obey_the_rules_of_their_64_bit_twins(default: bytes) -> None:
    assert run(default, numbers(X86_64)["unshare"] | bpf.X32_BIT, 0) == EPERM
    assert run(default, numbers(X86_64)["read"] | bpf.X32_BIT) == ALLOW


def test_32_bit_networking_works_and_namespaces_do_not(default: bytes) -> None:
    assert run(default, numbers(I386)["socketcall"], 1, arch=AUDIT_ARCH_I386) == ALLOW
    assert run(default, numbers(I386)["unshare"], 0, arch=AUDIT_ARCH_I386) == EPERM


def test_a_foreign_architecture_is_killed(default: bytes) -> None:
    assert run(default, 0, arch=0x12345678) == bpf.RET_KILL_PROCESS


def test_sys_admin_brings_mount_and_clone3_back() -> None:
    program = compile_profile(PROFILE, CAPS | {"SYS_ADMIN"}, "x86_64", "6.1.0")
    for name in ("mount", "clone3", "unshare", "setns", "clone"):
        assert run(program, numbers(X86_64)[name], 0x10000000) == ALLOW, name


def test_ptrace_needs_a_kernel_that_checks_it() -> None:
    old = compile_profile(PROFILE, CAPS, "x86_64", "4.4.0")
    assert run(old, numbers(X86_64)["ptrace"]) == EPERM


@pytest.mark.parametrize("value", [0, 1, 5, 0xFFFFFFFF, 0x1_0000_0000, 0x1_0000_0005, 2**64 - 1])
@pytest.mark.parametrize("constant", [0, 5, 0xFFFFFFFF, 0x1_0000_0005, 2**63])
def test_comparisons_are_of_64_bits(value: int, constant: int) -> None:
    expected = {
        "eq": value == constant,
        "ne": value != constant,
        "lt": value < constant,
        "le": value <= constant,
        "gt": value > constant,
        "ge": value >= constant,
        "masked_eq": value & 0xFF0000FF == constant,
    }
    for operator, holds in expected.items():
        compare = (
            Compare(2, "masked_eq", 0xFF0000FF, constant)
            if operator == "masked_eq"
            else Compare(2, operator, constant)
        )  # type: ignore[arg-type]
        two = (Compare(0, "eq", 7), compare)
        table = Table(AUDIT_ARCH_X86_64, {10: (Rule(ALLOW, two),)})
        program = bpf.assemble([table], EPERM)
        assert run(program, 10, 7, 0, value) == (ALLOW if holds else EPERM), operator
        assert run(program, 10, 8, 0, value) == EPERM
        assert run(program, 11, 7, 0, value) == EPERM


def test_a_profile_from_a_file_decides(tmp_path) -> None:
    path = tmp_path / "profile.json"
    path.write_text(
        json.dumps(
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [
                    {"names": ["getcwd", "no_such_call"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13}
                ],
            }
        )
    )
    program = compile_program(str(path), CAPS)
    assert program is not None
    if struct.calcsize("P") == 8:
        native = AUDIT_ARCH_X86_64
        assert run(program, numbers(X86_64)["getcwd"], arch=native) == bpf.RET_ERRNO | 13
        assert run(program, numbers(X86_64)["read"], arch=native) == ALLOW


@pytest.mark.parametrize("text", ["{", "[]", '{"defaultAction": "SCMP_ACT_MAYBE"}', "{}"])
def test_a_broken_profile_is_one_sentence(tmp_path, text: str) -> None:
    path = tmp_path / "profile.json"
    path.write_text(text)
    with pytest.raises(EngineError, match="seccomp profile"):
        compile_program(str(path), CAPS)


def test_unconfined_is_no_filter() -> None:
    assert compile_program("unconfined", CAPS) is None
