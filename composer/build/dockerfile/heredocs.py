"""Here-documents: finding `<<NAME` words on a line, and what their quoting means."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from composer.build.dockerfile.words import WordError, expand
from composer.frozen import frozen

if TYPE_CHECKING:
    from composer.build.dockerfile.arguments import Arguments

_WORD = re.compile(r"(\d*)<<(-?)\s*([^<]*)")
_OPENING = re.compile(r"\d*<<-?")
_LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)


@frozen
class Heredoc:
    """One here-document.

    Attributes:
        name: The terminator, without quotes.
        expand: Variables in the body count (no part of the name was quoted).
        chomp: `<<-`: leading tabs are stripped.
        descriptor: The number before `<<`, 0 when there is none.
        content: The body as it stands in the file.
    """

    name: str
    expand: bool
    chomp: bool
    descriptor: int = 0
    content: str = ""

    @property
    def text(self) -> str:
        """The body, without leading tabs if `<<-` says so."""
        return _LEADING_TABS.sub("", self.content) if self.chomp else self.content


def takes_heredocs(keyword: str, arguments: Arguments) -> bool:
    """Whether *keyword* with these arguments may have here-documents."""
    if keyword == "onbuild":
        keyword = arguments.nested.split(maxsplit=1)[0].lower() if arguments.nested.split() else ""
    return keyword in ("run", "add", "copy") and not arguments.json


def find_heredocs(line: str) -> tuple[Heredoc, ...]:
    """The here-documents that *line* opens, without bodies."""
    if "<<" not in line:
        return ()
    try:
        words = expand(line, {}, raw=True, raw_quotes=True, keep_unset=True).words
    except WordError:
        return ()
    found = []
    for position, word in enumerate(words):
        text = word
        if _OPENING.fullmatch(word) and position + 1 < len(words):
            text += words[position + 1]
        heredoc = parse_heredoc(text)
        if heredoc is not None:
            found.append(heredoc)
    return tuple(found)


def parse_heredoc(word: str) -> Heredoc | None:
    """What `[fd]<<[-]NAME` says, or None when *word* is something else."""
    match = _WORD.fullmatch(word)
    if match is None or not match.group(3):
        return None
    descriptor, dash, rest = match.groups()
    try:
        plain = expand(rest, {}, keep_unset=True).words
        quoted = expand(rest, {}, raw=True, raw_quotes=True, keep_unset=True).words
    except WordError:
        return None
    if len(plain) != 1:
        return None
    return Heredoc(plain[0], expand=plain == quoted, chomp=bool(dash), descriptor=int(descriptor or 0))
