"""Flags of instructions: which exist, which take values, which may be repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from composer.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Kind: TypeAlias = Literal["string", "bool", "list"]

FLAGS: Mapping[str, Mapping[str, Kind]] = {
    "from": {"platform": "string"},
    "run": {"mount": "list", "network": "string", "security": "string", "device": "list"},
    "copy": {
        "from": "string",
        "chown": "string",
        "chmod": "string",
        "link": "bool",
        "parents": "bool",
        "exclude": "list",
    },
    "add": {
        "chown": "string",
        "chmod": "string",
        "link": "bool",
        "exclude": "list",
        "keep-git-dir": "bool",
        "checksum": "string",
        "unpack": "bool",
    },
    "healthcheck": {
        "interval": "string",
        "timeout": "string",
        "start-period": "string",
        "start-interval": "string",
        "retries": "string",
    },
}


class Flags:
    """The flags of one instruction, checked.

    Args:
        keyword: Lower case.
        words: `--name` or `--name=value`.

    Raises:
        BuildError: A flag is unknown, repeated, or lacks its value.
    """

    def __init__(self, keyword: str, words: Iterable[str]) -> None:
        known = FLAGS.get(keyword, {})
        self._values: dict[str, list[str]] = {}
        for word in words:
            name, equals, value = word[2:].partition("=")
            kind = known.get(name)
            if kind is None:
                raise BuildError(f"{keyword.upper()} has no flag --{name}", hint=_suggest(name, known))
            if name in self._values and kind != "list":
                raise BuildError(f"flag --{name} is given twice")
            if kind == "bool":
                value = value.lower() if equals else "true"
                if value not in ("true", "false"):
                    raise BuildError(f"flag --{name} is true or false, not {value!r}")
            elif not equals:
                raise BuildError(f"flag --{name} lacks its value")
            self._values.setdefault(name, []).append(value)

    def string(self, name: str) -> str:
        """Its value, or an empty string."""
        return self._values.get(name, [""])[-1]

    def given(self, name: str) -> bool:
        """Whether it is there at all."""
        return name in self._values

    def boolean(self, name: str) -> bool:
        """Whether it is there and true."""
        return self.string(name) == "true"

    def many(self, name: str) -> tuple[str, ...]:
        """All values of a flag that may be repeated."""
        return tuple(self._values.get(name, ()))


def _suggest(name: str, known: Mapping[str, Kind]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, known, 1)
    if near:
        return f"did you mean --{near[0]}?"
    return f"its flags are {', '.join('--' + flag for flag in known)}" if known else ""
