"""The options of `RUN --mount`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from composer.errors import BuildError
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?)i?b?")
_SCALE = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
_ID_MAX = 2**32 - 2


@frozen
class RunMount:
    """One mount of a RUN.

    Attributes:
        type: bind, cache, tmpfs, secret or ssh.
        target: As given; relative to WORKDIR; may be empty for secret and ssh.
        source: Path below `from`; `/` when not given.
        origin: `from`: a stage, context or image; empty: the build context.
        read_only: For bind the default.
        id: Of a cache, secret or agent.
        sharing: Of a cache.
        size: Of a tmpfs in bytes, 0 unlimited.
        required: A secret or agent that is absent is an error.
        env: The variable that takes a secret's value.
        mode: Permission bits, None for the type's default.
        uid: Owner, None for the default.
        gid: Group, None for the default.
    """

    type: str
    target: str = ""
    source: str = ""
    origin: str = ""
    read_only: bool = False
    id: str = ""
    sharing: str = "shared"
    size: int = 0
    required: bool = False
    env: str = ""
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None


def check_mount(text: str) -> None:
    """What can be said about a mount before its variables are known.

    Raises:
        BuildError: It is not CSV, or `from` has a variable.
    """
    for key, value in _fields(text):
        if key == "from" and value is not None and re.search(r"\$.", value):
            raise BuildError(
                "'from' of a mount cannot hold a variable", hint="name a stage with FROM $VARIABLE AS name"
            )


def mount_origin(text: str) -> str:
    """The `from` of a mount, empty when there is none."""
    return next((value or "" for key, value in reversed(_fields(text)) if key == "from"), "")


def parse_mount(text: str, expand: Callable[[str], str]) -> RunMount:
    """Parse the value of `--mount`.

    Args:
        text: Comma-separated `key[=value]`.
        expand: Replaces variables in values other than `from`.

    Raises:
        BuildError: Unknown keys or values, or keys that do not go with the type.
    """
    fields = _fields(text)
    kind = next((value for key, value in fields if key == "type" and value is not None), "bind")
    kind = expand(kind).lower()
    if kind not in TYPES:
        raise BuildError(f"mount type {kind!r} is not one of {', '.join(TYPES)}")
    values: dict[str, Any] = {"type": kind, "read_only": kind == "bind"}
    allowed = _ALLOWED[kind]
    for key, value in fields:
        if key == "type":
            continue
        name = _ALIASES.get(key, key)
        if name not in _KNOWN:
            raise BuildError(f"mount has no option {key!r}")
        if name not in allowed:
            raise BuildError(f"a {kind} mount takes no option {key!r}")
        if value is None and name not in ("read_only", "read_write", "required"):
            raise BuildError(f"mount option {key!r} lacks its value")
        text_value = expand(value) if value is not None and name != "origin" else value
        if name == "read_write":
            values["read_only"] = not _boolean(key, text_value)
        elif name in ("read_only", "required"):
            values[name] = _boolean(key, text_value)
        else:
            values[name] = _PARSE.get(name, _text)(key, text_value or "")
    mount = RunMount(**values)
    if kind in ("bind", "cache", "tmpfs") and not mount.target:
        raise BuildError(f"a {kind} mount needs a target")
    if kind == "secret" and not (mount.id or mount.target):
        raise BuildError("a secret mount needs an id or a target")
    return mount


def _fields(text: str) -> list[tuple[str, str | None]]:
    import csv

    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise BuildError(f"mount {text!r} is not comma-separated: {error}") from error
    fields: list[tuple[str, str | None]] = []
    for field in _row(rows):
        key, equals, value = field.partition("=")
        fields.append((key.strip().lower(), value if equals else None))
    return fields


def _row(rows: Iterable[list[str]]) -> list[str]:
    return next(iter(rows), [])


def _boolean(key: str, value: str | None) -> bool:
    if value is None:
        return True
    if value.lower() in ("1", "t", "true"):
        return True
    if value.lower() in ("0", "f", "false"):
        return False
    raise BuildError(f"mount option {key!r} is true or false, not {value!r}")


def _text(_key: str, value: str) -> str:
    return value


def _number(key: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,10}", value) or int(value) > _ID_MAX:
        raise BuildError(f"mount option {key!r} is a number, not {value!r}")
    return int(value)


def _mode(key: str, value: str) -> int:
    if not re.fullmatch(r"[0-7]{1,5}", value) or int(value, 8) > 0o7777:
        raise BuildError(f"mount option {key!r} is an octal mode, not {value!r}")
    return int(value, 8)


def _size(key: str, value: str) -> int:
    match = _SIZE.fullmatch(value.lower().strip())
    if match is None:
        raise BuildError(f"mount option {key!r} is a size such as 64m, not {value!r}")
    return int(float(match.group(1)) * _SCALE[match.group(2)])


def _sharing(key: str, value: str) -> str:
    if value.lower() not in ("shared", "private", "locked"):
        raise BuildError(f"mount option {key!r} is shared, private or locked, not {value!r}")
    return value.lower()


_ALIASES = {
    "dst": "target",
    "destination": "target",
    "src": "source",
    "from": "origin",
    "ro": "read_only",
    "readonly": "read_only",
    "rw": "read_write",
    "readwrite": "read_write",
}
_PARSE: dict[str, Callable[[str, str], Any]] = {
    "size": _size,
    "sharing": _sharing,
    "mode": _mode,
    "uid": _number,
    "gid": _number,
}
_OWNER = {"mode", "uid", "gid"}
_ALLOWED = {
    "bind": {"target", "source", "origin", "read_only", "read_write"},
    "cache": {"target", "source", "origin", "id", "sharing", "read_only", "read_write", *_OWNER},
    "tmpfs": {"target", "size", "read_write"},
    "secret": {"target", "id", "env", "required", *_OWNER},
    "ssh": {"target", "id", "required", *_OWNER},
}
_KNOWN = set[str]().union(*_ALLOWED.values())
