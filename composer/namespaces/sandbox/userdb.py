"""`user:` resolved in the container's own passwd and group files; see passwd(5) and group(5).

Parsed here and never by libc: after pivot_root `getpwnam` would load libraries of the image.
"""

from __future__ import annotations

from composer.namespaces.kernel.errors import LaunchError

MAX_ID = 2**31 - 1


class Identity:
    """Who a process is: ids, supplementary groups, home directory."""

    __slots__ = ("gid", "groups", "home", "uid")

    def __init__(self, uid: int, gid: int, groups: list[int], home: str) -> None:
        self.uid = uid
        self.gid = gid
        self.groups = groups
        self.home = home


def _records(data: bytes | None, fields: int) -> list[list[str]]:
    """Well-formed lines of a colon-separated file; others are skipped, as libc does."""
    found = []
    for line in (data or b"").decode("utf-8", "surrogateescape").split("\n"):
        parts = line.split(":")
        if len(parts) >= fields and parts[0] and not line.startswith("#"):
            found.append(parts)
    return found


def _number(text: str) -> int | None:
    """An id written in plain ASCII digits, or None when *text* is a name.

    Raises:
        LaunchError: A number that no user can have; it is never looked up as a name.
    """
    if text.isascii() and text.isdigit():
        value = int(text) if len(text) < 12 else MAX_ID + 1
        if value > MAX_ID:
            raise LaunchError(
                f"user or group id {text} is out of range", hint=f"use 0 to {MAX_ID}", about="process.user"
            )
        return value
    # Digits of other scripts are numbers to some programs and names to others: neither here.
    if not text.isascii() or (text[:1] in "+-" and text[1:].isdigit()):
        raise LaunchError(
            f"{text!r} is no user or group",
            hint=f"use a name, or a number from 0 to {MAX_ID}",
            about="process.user",
        )
    return None


def _id(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else -1


def resolve(user: str, extra_groups: list[str], passwd: bytes | None, group: bytes | None) -> Identity:
    """Find who `name|uid[:group|gid]` is.

    Args:
        user: The specification; empty means root.
        extra_groups: `group_add`, names or numbers.
        passwd: Content of the container's /etc/passwd, or None.
        group: Content of the container's /etc/group, or None.

    Raises:
        LaunchError: A name that is not there, or an id out of range.
    """
    name, _, group_name = user.partition(":")
    name = name or "0"
    users = _records(passwd, 4)
    groups = _records(group, 3)
    number = _number(name)
    entry = None
    for parts in users:
        if parts[0] == name if number is None else _id(parts[2]) == number:
            entry = parts
            break
    if entry is None and number is None:
        raise LaunchError(
            f"unable to find user {name}: no matching entries in passwd file",
            kind="cannot-invoke",
            about="process.user",
        )
    uid = number if number is not None else _checked(_id(entry[2] if entry else ""), name)
    gid = _checked(_id(entry[3]), name) if entry else 0
    home = entry[5] if entry and len(entry) > 5 else ""
    supplementary: list[int] = []
    if group_name:
        gid = _group(group_name, groups, "process.user")
    elif entry:
        supplementary = [
            _id(parts[2])
            for parts in groups
            if len(parts) > 3 and entry[0] in parts[3].split(",") and _id(parts[2]) >= 0
        ]
    supplementary.extend(_group(extra, groups, "process.groups") for extra in extra_groups)
    # The primary group is among them: else a file whose group bits deny it would be open to "others"
    # after setgid(2) by a set-id program (CVE-2022-36109).
    return Identity(uid, gid, list(dict.fromkeys([gid, *supplementary])), home or "/")


def _checked(value: int, name: str) -> int:
    if not 0 <= value <= MAX_ID:
        raise LaunchError(f"user {name} has an id out of range in the passwd file", kind="cannot-invoke")
    return value


def _group(text: str, groups: list[list[str]], about: str) -> int:
    number = _number(text)
    if number is not None:
        return number
    for parts in groups:
        if parts[0] == text and 0 <= _id(parts[2]) <= MAX_ID:
            return _id(parts[2])
    raise LaunchError(
        f"unable to find group {text}: no matching entries in group file", kind="cannot-invoke", about=about
    )
