"""Assemble rules on system calls into a classic BPF program, see seccomp(2) and the kernel's filter.rst.

The program looks at the architecture, finds the call's number by binary search over ranges of numbers that
share an outcome, and compares arguments where a rule asks for it. Ranges keep the default profile at a few
hundred instructions, of which a call executes about ten.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Literal, TypeAlias

from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
JUMP = 0x05  # BPF_JMP | BPF_JA
JUMP_EQ = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
JUMP_GT = 0x25
JUMP_GE = 0x35
RETURN = 0x06

# offsets in struct seccomp_data
NUMBER = 0
ARCH = 4
ARGS = 16

RET_KILL_PROCESS = 0x80000000
RET_KILL_THREAD = 0x00000000
RET_TRAP = 0x00030000
RET_ERRNO = 0x00050000
RET_TRACE = 0x7FF00000
RET_LOG = 0x7FFC0000
RET_ALLOW = 0x7FFF0000

X32_BIT = 0x40000000
MAX_INSTRUCTIONS = 4096
_MAX_SHORT_JUMP = 255
_LOW = 0xFFFFFFFF

Operator: TypeAlias = Literal["eq", "ne", "lt", "le", "gt", "ge", "masked_eq"]
Instruction: TypeAlias = tuple[int, int, int, int]
"""Code, jump if true, jump if false, constant: struct sock_filter."""


@frozen
class Compare:
    """A comparison of a 64-bit argument; for `masked_eq`, `value` is the mask and `other` the result."""

    index: int
    operator: Operator
    value: int
    other: int = 0


@frozen
class Rule:
    """What to return when all comparisons hold."""

    action: int
    conditions: tuple[Compare, ...] = ()


Outcome: TypeAlias = tuple[Rule, ...]
"""Rules tried in order; the filter's default follows when none holds."""


@frozen
class Table:
    """The outcomes of one architecture, by call number. `x32` marks x86_64, whose x32 calls carry a bit."""

    audit_arch: int
    outcomes: Mapping[int, Outcome]
    x32: bool = False


def assemble(tables: Sequence[Table], default: int, *, unknown_arch: int = RET_KILL_PROCESS) -> bytes:
    """The program as an array of struct sock_filter.

    Args:
        tables: One entry for each architecture whose calls this machine can make.
        default: Return value for calls without a rule.
        unknown_arch: Return value for any other architecture.

    Raises:
        ValueError: The program is longer than the kernel takes (4096 instructions).
    """
    program: list[Instruction] = [(LOAD, 0, 0, ARCH)]
    for table in tables:
        body = _architecture(table, default)
        program.append((JUMP_EQ, 1, 0, table.audit_arch))
        program.append((JUMP, 0, 0, len(body)))
        program += body
    program.append((RETURN, 0, 0, unknown_arch))
    if len(program) > MAX_INSTRUCTIONS:
        raise ValueError(f"the filter has {len(program)} instructions, the kernel takes {MAX_INSTRUCTIONS}")
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _architecture(table: Table, default: int) -> list[Instruction]:
    body: list[Instruction] = [(LOAD, 0, 0, NUMBER)]
    if table.x32:
        # Both ABIs share numbers below 512, and what is denied to one must be denied to the other.
        body += [(JUMP_GE, 0, 1, X32_BIT), (AND, 0, 0, X32_BIT - 1)]
    return body + _search(_ranges(table.outcomes), default)


def _ranges(outcomes: Mapping[int, Outcome]) -> list[tuple[int, Outcome]]:
    """Where each run of equal outcomes starts; numbers without a rule have the outcome ()."""
    starts: list[tuple[int, Outcome]] = [(0, ())]
    expected = 0
    for number in sorted(outcomes):
        if number > expected and starts[-1][1] != ():
            starts.append((expected, ()))
        if outcomes[number] != starts[-1][1]:
            starts.append((number, outcomes[number]))
        expected = number + 1
    starts.append((expected, ()))
    return [entry for index, entry in enumerate(starts) if index == 0 or entry[1] != starts[index - 1][1]]


def _search(ranges: list[tuple[int, Outcome]], default: int) -> list[Instruction]:
    if len(ranges) == 1:
        return _outcome(ranges[0][1], default)
    middle = len(ranges) // 2
    left = _search(ranges[:middle], default)
    right = _search(ranges[middle:], default)
    pivot = ranges[middle][0]
    if len(left) <= _MAX_SHORT_JUMP:
        return [(JUMP_GE, len(left), 0, pivot), *left, *right]
    return [(JUMP_GE, 0, 1, pivot), (JUMP, 0, 0, len(left)), *left, *right]


def _outcome(outcome: Outcome, default: int) -> list[Instruction]:
    code: list[Instruction] = []
    for rule in outcome:
        code += _rule(rule)
        if not rule.conditions:
            return code
    return [*code, (RETURN, 0, 0, default)]


def _rule(rule: Rule) -> list[Instruction]:
    """Return the action if every comparison holds, else fall through behind the rule."""
    code: list[Instruction] = [(RETURN, 0, 0, rule.action)]
    for compare in reversed(rule.conditions):
        code = _compare(compare, len(code)) + code
    return code


def _compare(compare: Compare, behind: int) -> list[Instruction]:
    """Fall through when it holds, else skip *behind* further instructions. Compares high word, then low."""
    low, high = ARGS + 8 * compare.index, ARGS + 8 * compare.index + 4
    value_low, value_high = compare.value & _LOW, compare.value >> 32 & _LOW
    fail = behind
    match compare.operator:
        case "eq":
            return [
                (LOAD, 0, 0, high),
                (JUMP_EQ, 0, 2 + fail, value_high),
                (LOAD, 0, 0, low),
                (JUMP_EQ, 0, fail, value_low),
            ]
        case "ne":
            return [
                (LOAD, 0, 0, high),
                (JUMP_EQ, 0, 2, value_high),
                (LOAD, 0, 0, low),
                (JUMP_EQ, fail, 0, value_low),
            ]
        case "masked_eq":
            other_low, other_high = compare.other & _LOW, compare.other >> 32 & _LOW
            return [
                (LOAD, 0, 0, high),
                (AND, 0, 0, value_high),
                (JUMP_EQ, 0, 3 + fail, other_high),
                (LOAD, 0, 0, low),
                (AND, 0, 0, value_low),
                (JUMP_EQ, 0, fail, other_low),
            ]
        case "gt" | "ge":
            jump = JUMP_GT if compare.operator == "gt" else JUMP_GE
            return [
                (LOAD, 0, 0, high),
                (JUMP_GT, 3, 0, value_high),
                (JUMP_EQ, 0, 2 + fail, value_high),
                (LOAD, 0, 0, low),
                (jump, 0, fail, value_low),
            ]
        case "lt" | "le":
            jump = JUMP_GE if compare.operator == "lt" else JUMP_GT
            return [
                (LOAD, 0, 0, high),
                (JUMP_GT, 3 + fail, 0, value_high),
                (JUMP_EQ, 0, 2, value_high),
                (LOAD, 0, 0, low),
                (jump, fail, 0, value_low),
            ]
