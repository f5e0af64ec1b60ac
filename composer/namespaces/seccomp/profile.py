"""Docker's JSON seccomp profiles, resolved for one machine and one set of capabilities."""

from __future__ import annotations

import re
from typing import Any

from composer.namespaces.seccomp import bpf, syscalls
from composer.namespaces.seccomp.bpf import Compare, Outcome, Rule, Table

AUDIT_ARCH_X86_64 = 0xC000003E
AUDIT_ARCH_I386 = 0x40000003
AUDIT_ARCH_AARCH64 = 0xC00000B7

_ACTIONS = {
    "SCMP_ACT_ALLOW": bpf.RET_ALLOW,
    "SCMP_ACT_ERRNO": bpf.RET_ERRNO,
    "SCMP_ACT_KILL": bpf.RET_KILL_THREAD,
    "SCMP_ACT_KILL_THREAD": bpf.RET_KILL_THREAD,
    "SCMP_ACT_KILL_PROCESS": bpf.RET_KILL_PROCESS,
    "SCMP_ACT_TRAP": bpf.RET_TRAP,
    "SCMP_ACT_TRACE": bpf.RET_TRACE,
    "SCMP_ACT_LOG": bpf.RET_LOG,
}
_OPERATORS: dict[str, bpf.Operator] = {
    "SCMP_CMP_EQ": "eq",
    "SCMP_CMP_NE": "ne",
    "SCMP_CMP_LT": "lt",
    "SCMP_CMP_LE": "le",
    "SCMP_CMP_GT": "gt",
    "SCMP_CMP_GE": "ge",
    "SCMP_CMP_MASKED_EQ": "masked_eq",
}
_EPERM = 1
_MAX_ERRNO = 4095
_ARGUMENTS = 6

# machine -> tables that its kernel can be entered through: (audit arch, numbers, Docker's names, has x32)
_MACHINES: dict[str, list[tuple[int, str, frozenset[str], bool]]] = {
    "x86_64": [
        (AUDIT_ARCH_X86_64, syscalls.X86_64, frozenset({"amd64", "x32"}), True),
        (AUDIT_ARCH_I386, syscalls.I386, frozenset({"x86", "amd64"}), False),
    ],
    "aarch64": [(AUDIT_ARCH_AARCH64, syscalls.AARCH64, frozenset({"arm64"}), False)],
}


def compile_profile(profile: dict[str, Any], capabilities: set[str], machine: str, release: str) -> bytes:
    """Compile *profile* for `uname -m` *machine* and kernel *release*.

    Names that this machine does not have are skipped, as libseccomp does.

    Raises:
        ValueError: The profile uses an unknown action, operator or argument, or the machine is unknown.
        KeyError: A required key is missing.
    """
    if machine not in _MACHINES:
        raise ValueError(f"no system call table for {machine}")
    default = _action(profile, "defaultAction", profile.get("defaultErrnoRet"))
    tables = []
    for audit_arch, table, arches, x32 in _MACHINES[machine]:
        outcomes = _outcomes(profile, syscalls.numbers(table), arches, capabilities, release, default)
        tables.append(Table(audit_arch, outcomes, x32=x32))
    return bpf.assemble(tables, default)


def _outcomes(
    profile: dict[str, Any],
    numbers: dict[str, int],
    arches: frozenset[str],
    capabilities: set[str],
    release: str,
    default: int,
) -> dict[int, Outcome]:
    found: dict[int, tuple[Rule, ...]] = {}
    for entry in profile.get("syscalls") or ():
        if not _applies(entry, arches, capabilities, release):
            continue
        action = _action(entry, "action", entry.get("errnoRet"))
        conditions = tuple(_condition(arg) for arg in entry.get("args") or ())
        if action == default:
            continue
        rule = Rule(action, conditions)
        for name in entry.get("names") or [entry["name"]]:
            if (number := numbers.get(name)) is not None:
                found[number] = (*found.get(number, ()), rule)
    # An unconditional rule decides alone: libseccomp, too, lets it win over conditional ones.
    return {
        number: next(((rule,) for rule in rules if not rule.conditions), rules)
        for number, rules in found.items()
    }


def _applies(entry: dict[str, Any], arches: frozenset[str], capabilities: set[str], release: str) -> bool:
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    wanted = includes.get("arches")
    if wanted and arches.isdisjoint(wanted):
        return False
    if not arches.isdisjoint(excludes.get("arches") or ()):
        return False
    if any(_bare(cap) not in capabilities for cap in includes.get("caps") or ()):
        return False
    if any(_bare(cap) in capabilities for cap in excludes.get("caps") or ()):
        return False
    minimum = includes.get("minKernel")
    if minimum and _version(release) < _version(minimum):
        return False
    unwanted = excludes.get("minKernel")
    return not (unwanted and _version(release) >= _version(unwanted))


def _bare(capability: str) -> str:
    return capability.upper().removeprefix("CAP_")


def _version(release: str) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", release)
    if not match:
        raise ValueError(f"{release!r} is not a kernel version")
    return int(match[1]), int(match[2])


def _action(entry: dict[str, Any], key: str, errno: int | None) -> int:
    name = entry[key]
    if name not in _ACTIONS:
        raise ValueError(f"{name!r} is not a seccomp action")
    value = _ACTIONS[name]
    if value in (bpf.RET_ERRNO, bpf.RET_TRACE):
        number = _EPERM if errno is None else errno
        if not 0 <= number <= _MAX_ERRNO:
            raise ValueError(f"errnoRet {number} is out of range")
        value |= number
    return value


def _condition(arg: dict[str, Any]) -> Compare:
    operator = _OPERATORS.get(arg["op"])
    if operator is None:
        raise ValueError(f"{arg['op']!r} is not a comparison")
    if not 0 <= arg["index"] < _ARGUMENTS:
        raise ValueError(f"a system call has no argument {arg['index']}")
    return Compare(arg["index"], operator, int(arg["value"]), int(arg.get("valueTwo") or 0))
