"""Permission bits and owners as COPY's flags give them."""

from __future__ import annotations

import re
import stat
from typing import TYPE_CHECKING

from composer.build.tree import Tree, resolve
from composer.build.upper import Owner
from composer.errors import BuildError
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFT = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}
_ID_MAX = 2**32 - 2
_ACCOUNT_FILE_LIMIT = 1 << 20


@frozen
class Mode:
    """`--chmod`: octal, symbolic, or nothing.

    Attributes:
        octal: Replaces all twelve bits.
        symbolic: As chmod(1) takes it, such as `u=rwX,go=rX`.
    """

    octal: int | None = None
    symbolic: str = ""

    @classmethod
    def parse(cls, text: str) -> Mode:
        """Parse the flag's value.

        Raises:
            BuildError: Neither octal up to 7777 nor symbolic.
        """
        if not text:
            return cls()
        if re.fullmatch(r"[0-7]+", text):
            value = int(text, 8)
            if value <= 0o7777:
                return cls(octal=value)
        elif all(_CLAUSE.fullmatch(clause) for clause in text.split(",")):
            return cls(symbolic=text)
        raise BuildError(
            f"--chmod={text} is not a mode", hint="write it in octal, such as 0755, or as u=rwX,go=rX"
        )

    @property
    def parents(self) -> int:
        """Mode of directories that have to be made on the way."""
        return 0o755 if self.octal is None else self.octal & 0o777

    def apply(self, mode: int) -> int:
        """The permission bits of an entry whose st_mode is *mode*."""
        if self.octal is not None:
            return self.octal
        bits = stat.S_IMODE(mode)
        if self.symbolic:
            some_x = stat.S_ISDIR(mode) or bool(mode & 0o111)
            for clause in self.symbolic.split(","):
                bits = _apply_clause(clause, bits, some_x=some_x)
        return bits


def _apply_clause(clause: str, bits: int, *, some_x: bool) -> int:
    """*bits* after one clause; *some_x*: whether `X` is `x`, which is as it was before the first clause."""
    match = _CLAUSE.fullmatch(clause)
    if match is None:  # Mode.parse lets nothing else through
        return bits
    named = match.group(1).replace("a", "ugo")
    classes = named or "ugo"
    for operator, what in _ACTION.findall(match.group(2)):
        copied = what in _SHIFT
        set_id = (0o4000 if "u" in classes else 0) | (0o2000 if "g" in classes else 0)
        mask = clear = 0
        for letter in set(classes):
            mask |= _permissions(what, bits, some_x=some_x) << _SHIFT[letter]
            clear |= 7 << _SHIFT[letter]
        if "s" in what:
            mask |= set_id
        if not copied:
            clear |= set_id
        if "t" in what and not named:
            mask = clear = stat.S_ISVTX  # as setmode(3) of BSD has it, and BuildKit: `+xt` is `+t`
        elif "t" in what and set(classes) != {"o"}:
            mask |= stat.S_ISVTX
        if operator == "+":
            bits |= mask
        elif operator == "-":
            bits &= ~mask
        else:
            bits = (bits & ~clear) | mask
    return bits


def _permissions(what: str, bits: int, *, some_x: bool) -> int:
    if what in _SHIFT:
        return (bits >> _SHIFT[what]) & 7
    result = 0
    for letter in what:
        if letter == "X":
            result |= 1 if some_x else 0
        else:
            result |= _BITS.get(letter, 0)
    return result


def parse_owner(text: str, tree: Tree | None, flag: str = "--chown") -> Owner:
    """The numbers behind `user[:group]`.

    Args:
        text: Names or numbers; a number alone is the group too, a name alone takes its primary group.
        tree: The image whose passwd and group name them; None when names have nothing to be looked up in.
        flag: What to call it in errors.

    Raises:
        BuildError: A name is unknown, or a number is out of range.
    """
    user, colon, group = text.partition(":")
    uid = gid = 0
    if user:
        number = _number(user, text, flag)
        if number is not None:
            uid = gid = number
        else:
            fields = _account(tree, "etc/passwd", user, text, flag)
            uid, gid = int(fields[2]), int(fields[3])
    if colon and group:
        number = _number(group, text, flag)
        gid = number if number is not None else int(_account(tree, "etc/group", group, text, flag)[2])
    elif colon and not user:
        raise BuildError(f"{flag}={text} names neither user nor group")
    return Owner(uid, gid)


def names_accounts(text: str) -> bool:
    """Whether `user[:group]` has to be looked up."""
    return any(part and not re.fullmatch(r"[0-9]+", part) for part in text.split(":"))


def _number(text: str, whole: str, flag: str) -> int | None:
    if not re.fullmatch(r"[0-9]+", text):
        return None
    if len(text) > 10 or int(text) > _ID_MAX:
        raise BuildError(f"{flag}={whole}: {text} is too large for an id")
    return int(text)


def _account(tree: Tree | None, file: str, name: str, whole: str, flag: str) -> list[str]:
    kind = "user" if file == "etc/passwd" else "group"
    if tree is None:
        raise BuildError(
            f"{flag}={whole}: there is no /{file} to look {kind} {name!r} up in", hint="use numbers"
        )
    for fields in _accounts(tree, file):
        if fields[0] == name and len(fields) > (3 if kind == "user" else 2):
            numbers = fields[2:4] if kind == "user" else fields[2:3]
            if all(re.fullmatch(r"[0-9]{1,10}", number) and int(number) <= _ID_MAX for number in numbers):
                return fields
    raise BuildError(
        f"{flag}={whole}: the image has no {kind} {name!r}", hint="use numbers, or create it first"
    )


def _accounts(tree: Tree, file: str) -> Iterator[list[str]]:
    path = resolve(tree, file)
    found = tree.lstat(path)
    if found is None or not stat.S_ISREG(found.st_mode):
        return
    if found.st_size > _ACCOUNT_FILE_LIMIT:
        raise BuildError(f"/{file} of the image is larger than 1 MiB")
    with open(tree.host_path(path), "rb") as opened:
        for line in opened.read(_ACCOUNT_FILE_LIMIT).decode(errors="surrogateescape").splitlines():
            yield line.split(":")
