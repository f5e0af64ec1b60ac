"""The short form of `volumes`: `[source:]target[:options]`."""

from __future__ import annotations

import posixpath
from typing import Any, Final

_PROPAGATION: Final = frozenset(("private", "rprivate", "shared", "rshared", "slave", "rslave"))


def split_volume(text: str) -> list[str]:
    """The sections of a short form; a one-letter section is a Windows drive and keeps its colon."""
    sections: list[str] = []
    current = ""
    braces = 0
    for index, character in enumerate(text):
        if character == "{" and text[index - 1 : index] == "$":
            braces += 1
        elif character == "}" and braces:
            braces -= 1
        drive = len(current) == 1 and current.isalpha()
        if character == ":" and not braces and not drive:
            sections.append(current)
            current = ""
        else:
            current += character
    return [*sections, current]


def parse_volume(text: str) -> dict[str, Any]:
    """The long form of *text*.

    Raises:
        ValueError: With a sentence that says what is wrong.
    """
    if not text:
        raise ValueError("invalid empty volume spec")
    if len(text) <= 2:
        return {"type": "volume", "target": text}
    sections = split_volume(text)
    if not all(sections):
        raise ValueError(f"invalid spec: {text}: empty section between colons")
    if len(sections) > 3:
        raise ValueError(f"invalid spec: {text}: too many colons")
    if len(sections) == 1:
        return {"type": "volume", "target": clean_path(sections[0]), "volume": {}}
    volume: dict[str, Any] = {"type": "volume", "source": sections[0], "target": clean_path(sections[1])}
    bind: dict[str, Any] = {}
    nocopy = False
    for option in sections[2].split(",") if len(sections) == 3 else ():
        if option == "ro":
            volume["read_only"] = True
        elif option == "nocopy":
            nocopy = True
        elif option in ("z", "Z"):
            bind["selinux"] = option
        elif option in _PROPAGATION:
            bind["propagation"] = option
    if is_path(sections[0]):
        volume["type"] = "bind"
        bind["create_host_path"] = True
        volume["bind"] = bind
        if nocopy:
            volume["volume"] = {"nocopy": True}
    else:
        volume["volume"] = {"nocopy": True} if nocopy else {}
        if bind:
            volume["bind"] = bind
    return volume


def is_path(source: str) -> bool:
    """Whether a source is a host path (bind) and not the name of a volume."""
    if source.startswith((".", "/", "~", "\\\\")):
        return True
    return len(source) > 1 and source[1] == ":" and source[0].isalpha()


def clean_path(path: str) -> str:
    """Go's `path.Clean`."""
    if not path:
        return "."
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned
