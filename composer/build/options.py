"""Option values of `build`, as docker's command line has them."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from composer.build.request import SecretSource
from composer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([bkmg]?)(?:i?b)?", re.IGNORECASE)
_SCALE = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def split_fields(text: str) -> list[tuple[str, str | None]]:
    """`key=value,key` as pairs; keys in lower case, a missing value is None."""
    import csv

    rows = list(csv.reader([text]))
    result: list[tuple[str, str | None]] = []
    for field in rows[0] if rows else []:
        key, equals, value = field.partition("=")
        result.append((key.strip().lower() if equals else key, value if equals else None))
    return result


def parse_pairs(words: Iterable[str], environ: Mapping[str, str], flag: str) -> dict[str, str]:
    """`NAME=VALUE`, or `NAME` for the caller's own variable.

    Raises:
        UsageError: A name is blank.
    """
    result = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise UsageError(f"{flag} {word!r} has no name")
        if equals:
            result[name] = value
        elif name in environ:
            result[name] = environ[name]
    return result


def parse_labels(words: Iterable[str]) -> dict[str, str]:
    """`NAME=VALUE`; a missing value is empty."""
    pairs = (word.partition("=") for word in words)
    return {name: value for name, _, value in pairs}


def parse_secret(text: str, environ: Mapping[str, str]) -> tuple[str, SecretSource]:
    """`id=NAME[,src=FILE|,env=VARIABLE][,type=file|env]`.

    Raises:
        UsageError: Unknown keys, no id, a variable that is not set, or a file that is not there.
    """
    fields = {key: value or "" for key, value in split_fields(text)}
    unknown = set(fields) - {"id", "src", "source", "env", "type"}
    if unknown:
        raise UsageError(f"--secret {text!r} has an unknown key {min(unknown)!r}")
    name = fields.get("id", "")
    file = fields.get("src") or fields.get("source") or ""
    variable = fields.get("env", "")
    if not name:
        raise UsageError(f"--secret {text!r} has no id")
    if fields.get("type") == "env" and not variable:
        variable, file = file or name, ""
    if not file and not variable:
        variable = name if name in environ else ""
        file = "" if variable else name
    if variable:
        if variable not in environ:
            raise UsageError(f"--secret {text!r}: the variable {variable} is not set")
        return name, SecretSource(value=environ[variable])
    path = os.path.abspath(file)
    if not os.path.exists(path) or os.path.isdir(path):  # it may be a pipe
        kind = "is a directory" if os.path.isdir(path) else "does not exist"
        raise UsageError(f"--secret {text!r}: {path} {kind}")
    return name, SecretSource(file=path)


def parse_ssh(text: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """`default` or `ID[=SOCKET]`: the id and the agent's socket.

    Raises:
        UsageError: There is no agent.
    """
    name, _, path = text.partition("=")
    path = path or environ.get("SSH_AUTH_SOCK", "")
    if not path:
        raise UsageError(f"--ssh {text}: no agent is running", hint="start one, and set SSH_AUTH_SOCK")
    return name or "default", path


def parse_ulimit(text: str) -> tuple[str, tuple[int, int]]:
    """`NAME=SOFT[:HARD]`.

    Raises:
        UsageError: Not numbers.
    """
    match = re.fullmatch(r"(\w+)=(-?\d+)(?::(-?\d+))?", text)
    if match is None:
        raise UsageError(f"--ulimit {text!r} is not NAME=SOFT[:HARD]")
    soft = int(match.group(2))
    return match.group(1), (soft, int(match.group(3) or soft))


def parse_size(text: str, flag: str) -> int:
    """Bytes of `64m`.

    Raises:
        UsageError: It is none.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{flag} {text!r} is not a size such as 64m")
    return int(float(match.group(1)) * _SCALE[match.group(2).lower()])
