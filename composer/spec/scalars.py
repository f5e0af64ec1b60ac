"""What a plain YAML scalar means, and how Go's formatting spells a value.

YAML 1.2 with the extras that the reference loader's parser has: `0440` is octal like `0o440`, underscores
may separate digits, and an unquoted date is a timestamp. `yes`, `no`, `on` and `off` are strings.
"""

from __future__ import annotations

import re
from typing import Any, Final

_CONSTANTS: Final[dict[str, Any]] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    ".nan": float("nan"),
    ".NaN": float("nan"),
    ".NAN": float("nan"),
    **{sign + name: float("inf") for sign in ("", "+") for name in (".inf", ".Inf", ".INF")},
    **{"-" + name: float("-inf") for name in (".inf", ".Inf", ".INF")},
}
_FIRST: Final = frozenset("0123456789+-.tTfFnN~")
_INTEGER = re.compile(r"([-+]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]*|[1-9][0-9]*)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_TIMESTAMP = re.compile(
    r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})"
    r"(?:(?:[Tt]|[ \t]+)([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?:\.([0-9]{1,9})0*)?"
    r"(?:[ \t]*(?:(Z)|([-+])([0-9]{2}):([0-9]{2})))?)?"
)
_TOO_LONG: Final = 400


class Timestamp(str):
    """An unquoted date; as text it reads like Go prints it: `2020-01-01 00:00:00 +0000 UTC`."""

    __slots__ = ()

    def rfc3339(self) -> str:
        """The same time as JSON spells it: `2020-01-01T00:00:00Z`."""
        day, clock, zone, _ = self.split(" ")
        return f"{day}T{clock}{'Z' if zone == '+0000' else f'{zone[:3]}:{zone[3:]}'}"


def resolve(text: str) -> Any:
    """The value of the plain scalar *text*."""
    if text and text[0] not in _FIRST:
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] in "tTfFnN~" or len(text) > _TOO_LONG:
        return text
    if text[0] in "0123456789" and "-" in text and (match := _TIMESTAMP.fullmatch(text)):
        return _timestamp(match) or text
    plain = text.replace("_", "")
    if match := _INTEGER.fullmatch(plain):
        return _integer(match)
    if _FLOAT.fullmatch(plain):
        return float(plain)
    return text


def _integer(match: re.Match[str]) -> int | float:
    sign, digits = match.groups()
    lower = digits.lower()
    if lower.startswith(("0x", "0b")):
        value = int(lower, 0)
    elif lower.startswith("0") and len(lower) > 1:
        value = int(lower[1:].lstrip("o") or "0", 8)
    else:
        value = int(lower)
    value = -value if sign == "-" else value
    return value if -(2**63) <= value < 2**64 else float(value)


def _timestamp(match: re.Match[str]) -> Timestamp | None:
    year, month, day, hour, minute, second, fraction, _zulu, sign, off_hours, off_minutes = match.groups()
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31 and int(hour or 0) < 24 and int(minute or 0) < 60):
        return None
    text = f"{year}-{int(month):02}-{int(day):02} "
    text += f"{int(hour or 0):02}:{int(minute or 0):02}:{int(second or 0):02}"
    if fraction and fraction.strip("0"):
        text += "." + fraction.rstrip("0")
    if sign and (off_hours, off_minutes) != ("00", "00"):
        return Timestamp(f"{text} {sign}{off_hours}{off_minutes} {sign}{off_hours}{off_minutes}")
    return Timestamp(f"{text} +0000 UTC")


def format_float(value: float) -> str:
    """Go's `%v`: the shortest digits, with an exponent below 1e-4 and from 1e6 on."""
    if value != value:  # noqa: PLR0124 - that is what a NaN is
        return "NaN"
    if value in (float("inf"), float("-inf")):
        return "+Inf" if value > 0 else "-Inf"
    if value == 0:
        return "-0" if str(value).startswith("-") else "0"
    mantissa, _, exponent_text = repr(value).partition("e")
    sign = "-" if mantissa.startswith("-") else ""
    whole, _, fraction = mantissa.lstrip("-").partition(".")
    digits = (whole + fraction).lstrip("0")
    leading = len(whole + fraction) - len(digits)
    exponent = int(exponent_text or 0) + len(whole) - leading - 1
    digits = digits.rstrip("0") or "0"
    if exponent < -4 or exponent >= 6:
        rest = f".{digits[1:]}" if len(digits) > 1 else ""
        return f"{sign}{digits[0]}{rest}e{'-' if exponent < 0 else '+'}{abs(exponent):02}"
    if exponent < 0:
        return f"{sign}0.{'0' * (-exponent - 1)}{digits}"
    if len(digits) <= exponent + 1:
        return sign + digits + "0" * (exponent + 1 - len(digits))
    return f"{sign}{digits[: exponent + 1]}.{digits[exponent + 1 :]}"


def go_text(value: Any) -> str:
    """A scalar as Go's `fmt.Sprint` writes it."""
    if isinstance(value, str):
        return str(value)
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, float):
        return format_float(value)
    return str(value)
