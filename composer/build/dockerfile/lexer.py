"""A Dockerfile's text -> its instructions as written: continuation, comments, directives, here-documents.

Nothing here knows what an instruction means, only which keywords take which form of arguments. Lines count
from 1 and are kept for every instruction, because errors and checks point at them.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from composer.build.dockerfile.arguments import Arguments, split_arguments, split_flags
from composer.build.dockerfile.heredocs import Heredoc, find_heredocs, takes_heredocs
from composer.errors import BuildError, Location
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINE = 65_535
"""Bytes of one physical line."""

BLANKS = " \t\v\f\r"
_DIRECTIVE = re.compile(r"^\s*#\s*([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$")
_DIRECTIVES = ("syntax", "escape", "check")


@frozen
class Node:
    """One instruction as written.

    Attributes:
        keyword: As written, in any case.
        flags: `--name=value` words with quotes removed.
        arguments: What stands behind the flags, in the form of the keyword.
        original: The joined line.
        first_line: Where it begins.
        last_line: Where it, or its last here-document, ends.
        heredocs: Here-documents with their bodies.
        comments: The comment lines directly above it, without `#`.
        empty_continuation: A blank line stands inside it: its last line, or 0.
        escape: The escape character of the file.
    """

    keyword: str
    flags: tuple[str, ...]
    arguments: Arguments
    original: str
    first_line: int
    last_line: int
    heredocs: tuple[Heredoc, ...] = ()
    comments: tuple[str, ...] = ()
    empty_continuation: int = 0
    escape: str = "\\"

    @property
    def name(self) -> str:
        """The keyword in lower case."""
        return self.keyword.lower()


@frozen
class Source:
    """A whole file as written.

    Attributes:
        file: Its name, for errors.
        lines: Its physical lines, for showing the context of an error.
        nodes: Its instructions.
        escape: The escape character.
        directives: `syntax`, `escape` and `check` with value and line.
    """

    file: str
    lines: tuple[str, ...]
    nodes: tuple[Node, ...]
    escape: str
    directives: dict[str, tuple[str, int]]


def read(text: str, file: str = "Dockerfile") -> Source:
    """Split *text* into instructions.

    Raises:
        BuildError: With the line: a bad directive, an unfinished here-document, a line that is too long,
            flags or words that cannot be split; or there is no instruction at all.
    """
    lines = text.removeprefix("\ufeff").split("\n")
    if lines[-1] == "":
        lines.pop()
    for number, line in enumerate(lines, 1):
        if len(line) > MAX_LINE // 4 and len(line.encode()) > MAX_LINE:
            raise BuildError(f"line is longer than {MAX_LINE} bytes", where=Location(file, number))
        if "\0" in line:
            raise BuildError("line holds a NUL character", where=Location(file, number))
    directives = _directives(lines, file)
    escape = directives.get("escape", ("\\", 0))[0]
    if escape not in ("\\", "`"):
        raise BuildError(
            f"escape directive {escape!r} is neither ` nor \\", where=Location(file, directives["escape"][1])
        )
    nodes = tuple(_Reader(lines, escape, file).nodes())
    if not nodes:
        raise BuildError(f"{file} has no instructions")
    return Source(file, tuple(lines), nodes, escape, directives)


def node_from_line(line: str, escape: str, *, first_line: int = 1, last_line: int = 1) -> Node:
    """One instruction from its joined line.

    Raises:
        BuildError: Its flags or words cannot be split.
    """
    keyword, _, rest = _split_blank(line.strip())
    flags, rest = split_flags(rest) if rest else ((), "")
    arguments = split_arguments(keyword.lower(), rest.strip(), escape)
    return Node(keyword, flags, arguments, line, first_line, last_line, escape=escape)


def _split_blank(line: str) -> tuple[str, str, str]:
    match = re.search(r"[ \t\v\f\r]+", line)
    if match is None:
        return line, "", ""
    return line[: match.start()], match.group(), line[match.end() :]


def _directives(lines: list[str], file: str) -> dict[str, tuple[str, int]]:
    found: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(lines, 1):
        match = _DIRECTIVE.match(line)
        if match is None or match.group(1).lower() not in _DIRECTIVES:
            break
        key = match.group(1).lower()
        if key in found:
            raise BuildError(f"{key} directive is given twice", where=Location(file, number))
        found[key] = (match.group(2), number)
    return found


class _Reader:
    """Walks physical lines and yields instructions."""

    def __init__(self, lines: list[str], escape: str, file: str) -> None:
        self._lines = lines
        self._next = 0
        self._escape = escape
        self._file = file
        token = re.escape(escape)
        self._continued = re.compile(rf"(?:(?<=[^{token}])|^){token}[ \t]*$")

    def nodes(self) -> Iterator[Node]:
        comments: list[str] = []
        while self._next < len(self._lines):
            raw = self._take()
            first = self._next
            stripped = raw.lstrip(BLANKS)
            if stripped.startswith("#"):
                comment = stripped[1:].strip()
                comments = [*comments, comment] if comment else []
                continue
            if not stripped:
                comments = []
                continue
            line, empty = self._join(stripped)
            yield self._node(line, first, tuple(comments), empty)
            comments = []

    def _take(self) -> str:
        line = self._lines[self._next]
        self._next += 1
        return line.rstrip("\r")

    def _join(self, line: str) -> tuple[str, int]:
        empty = False
        line, more = self._cut(line)
        parts = [line]
        while more and self._next < len(self._lines):
            following = self._take()
            stripped = following.strip(BLANKS)
            if stripped.startswith("#"):
                continue
            if not stripped:
                empty = True
                continue
            line, more = self._cut(following)
            parts.append(line)
        return "".join(parts), self._next if empty else 0

    def _cut(self, line: str) -> tuple[str, bool]:
        match = self._continued.search(line)
        return (line, False) if match is None else (line[: match.start()], True)

    def _node(self, line: str, first: int, comments: tuple[str, ...], empty: int) -> Node:
        try:
            node = node_from_line(line, self._escape, first_line=first, last_line=self._next)
            heredocs = find_heredocs(line) if takes_heredocs(node.name, node.arguments) else ()
        except BuildError as error:
            error.where = error.where or Location(self._file, first)
            raise
        filled = tuple(replace(heredoc, content=self._body(heredoc, first)) for heredoc in heredocs)
        return replace(
            node, heredocs=filled, comments=comments, empty_continuation=empty, last_line=self._next
        )

    def _body(self, heredoc: Heredoc, first: int) -> str:
        content: list[str] = []
        while self._next < len(self._lines):
            raw = self._lines[self._next]
            self._next += 1
            line = raw.rstrip("\r")
            if (line.lstrip("\t") if heredoc.chomp else line) == heredoc.name:
                return "".join(content)
            content.append(raw + "\n")
        raise BuildError(
            f"here-document {heredoc.name!r} is not finished",
            hint=f"end it with a line that holds only {heredoc.name}",
            where=Location(self._file, first),
        )
