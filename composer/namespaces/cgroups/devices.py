"""Which device nodes a container may make and open: v1 rules, and the same as a BPF program for v2.

Rules are v1's words, `c 1:3 rwm` (type, numbers or `*`, access). A rule list is an allow list over a
denied ground; Docker's defaults come first. See bpf(2) BPF_PROG_TYPE_CGROUP_DEVICE.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

from composer.namespaces.kernel.errors import KernelError

DEFAULT_RULES = (
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:1 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
)
ALL = "a *:* rwm"

_NR_BPF = {"x86_64": 321, "aarch64": 280}
_PROG_LOAD, _PROG_ATTACH = 5, 8
_PROG_TYPE_CGROUP_DEVICE = 15
_ATTACH_CGROUP_DEVICE = 6
_ALLOW_MULTI = 2
_TYPES = {"b": 1, "c": 2}
_ACCESS = {"m": 1, "r": 2, "w": 4}
_LICENSE = ctypes.create_string_buffer(b"Apache-2.0")


class DeviceRule:
    """One parsed rule; a number of -1 matches any."""

    __slots__ = ("access", "allow", "kind", "major", "minor")

    def __init__(self, kind: str, major: int, minor: int, access: str, *, allow: bool = True) -> None:
        self.kind = kind
        self.major = major
        self.minor = minor
        self.access = access
        self.allow = allow


def parse_rule(text: str) -> DeviceRule:
    """Parse `a|b|c MAJOR:MINOR ACCESS`.

    Raises:
        ValueError: The text is not a device rule.
    """
    try:
        kind, numbers, access = text.split()
        major, minor = (-1 if part == "*" else int(part) for part in numbers.split(":"))
    except ValueError:
        raise ValueError(f"{text!r} is not a device rule such as 'c 1:3 rwm'") from None
    if kind not in ("a", "b", "c") or not access or set(access) - set("rwm"):
        raise ValueError(f"{text!r} is not a device rule such as 'c 1:3 rwm'")
    return DeviceRule(kind, major, minor, access)


def _instruction(code: int, destination: int, source: int, offset: int, constant: int) -> bytes:
    return struct.pack("=BBhi", code, source << 4 | destination, offset, constant)


def program(rules: list[str]) -> bytes:
    """An eBPF program that allows what some rule allows, and denies the rest.

    Context: struct bpf_cgroup_dev_ctx, u32 access_type (access << 16 | type), u32 major, u32 minor.
    """
    code = [
        _instruction(0x61, 2, 1, 0, 0),  # w2 = ctx->access_type
        _instruction(0xBC, 3, 2, 0, 0),  # w3 = w2
        _instruction(0x54, 2, 0, 0, 0xFFFF),  # w2 &= 0xffff: the type
        _instruction(0x74, 3, 0, 0, 16),  # w3 >>= 16: the access
        _instruction(0x61, 4, 1, 4, 0),  # w4 = ctx->major
        _instruction(0x61, 5, 1, 8, 0),  # w5 = ctx->minor
    ]
    for text in rules:
        code += _rule_code(parse_rule(text))
    code += [_instruction(0xB7, 0, 0, 0, 0), _instruction(0x95, 0, 0, 0, 0)]  # return 0
    return b"".join(code)


def _rule_code(rule: DeviceRule) -> list[bytes]:
    tests: list[tuple[int, int]] = []  # (register, value it must have)
    if rule.kind != "a":
        tests.append((2, _TYPES[rule.kind]))
    if rule.major >= 0:
        tests.append((4, rule.major))
    if rule.minor >= 0:
        tests.append((5, rule.minor))
    denied = 7 & ~sum(_ACCESS[letter] for letter in rule.access)
    body = [_instruction(0xB7, 0, 0, 0, 1), _instruction(0x95, 0, 0, 0, 0)]  # return 1
    if denied:
        # w6 = w3 & denied; if w6 != 0 skip: the access asks for more than the rule gives
        body = [
            _instruction(0xBC, 6, 3, 0, 0),
            _instruction(0x54, 6, 0, 0, denied),
            _instruction(0x56, 6, 0, 2, 0),
            *body,
        ]
    for register, value in reversed(tests):
        body = [_instruction(0x56, register, 0, len(body), value), *body]  # if w != value goto behind
    return body


def attach(directory: str, rules: list[str]) -> None:
    """Load the program for *rules* and attach it to the cgroup v2 *directory*.

    Raises:
        KernelError: bpf(2) refused; EPERM without CAP_SYS_ADMIN in the initial user namespace.
    """
    code = program(rules)
    buffer = ctypes.create_string_buffer(code, len(code))
    load = struct.pack(
        "=IIQQIIQI",
        _PROG_TYPE_CGROUP_DEVICE,
        len(code) // 8,
        ctypes.addressof(buffer),
        ctypes.addressof(_LICENSE),
        0,
        0,
        0,
        0,
    )
    program_fd = _bpf(_PROG_LOAD, load, "bpf PROG_LOAD", directory)
    try:
        target = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            request = struct.pack("=IIIII", target, program_fd, _ATTACH_CGROUP_DEVICE, _ALLOW_MULTI, 0)
            _bpf(_PROG_ATTACH, request, "bpf PROG_ATTACH", directory)
        finally:
            os.close(target)
    finally:
        os.close(program_fd)


def _bpf(command: int, attributes: bytes, call: str, subject: str) -> int:
    number = _NR_BPF.get(os.uname().machine)
    if number is None:
        raise KernelError(errno.ENOSYS, call, subject)
    libc = ctypes.PyDLL(None, use_errno=True)
    # The kernel takes a shorter or longer struct than its own as long as the rest is zero.
    buffer = ctypes.create_string_buffer(attributes, 128)
    result: int = libc.syscall(ctypes.c_long(number), ctypes.c_long(command), buffer, ctypes.c_long(128))
    if result < 0:
        raise KernelError(ctypes.get_errno(), call, subject)
    return result
