"""What a warning is, and the settings that switch rules: `# check=` directives and comments."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from composer.errors import BuildError
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

EXPERIMENTAL = frozenset({"InvalidDefinitionDescription"})
_COMMENT = re.compile(r"check\s*=\s*(\S+)")


@frozen
class LintWarning:
    """One finding; `line` is where the instruction begins."""

    rule: str
    line: int
    message: str


@frozen
class CheckOptions:
    """The value of a `check` directive.

    Attributes:
        skip: Rules that are off.
        skip_all: All rules are off.
        error: Any finding fails the build.
        experimental: Experimental rules that are on.
        experimental_all: All of them are on.
    """

    skip: frozenset[str] = frozenset()
    skip_all: bool = False
    error: bool = False
    experimental: frozenset[str] = frozenset()
    experimental_all: bool = False

    def wants(self, rule: str) -> bool:
        """Whether findings of *rule* are to be reported."""
        if rule in EXPERIMENTAL and not (self.experimental_all or rule in self.experimental):
            return False
        return not self.skip_all and rule not in self.skip


def parse_check(text: str) -> CheckOptions:
    """Parse `skip=A,B;error=true;experimental=A`; it ends at the first blank.

    Raises:
        BuildError: An option is unknown.
    """
    skip: list[str] = []
    experimental: list[str] = []
    error = False
    words = text.split()
    for option in words[0].split(";") if words else []:
        name, _, value = option.partition("=")
        if name == "skip":
            skip += _list(value)
        elif name == "experimental":
            experimental += _list(value)
        elif name == "error" and value.lower() in ("true", "1", "false", "0"):
            error = value.lower() in ("true", "1")
        else:
            raise BuildError(
                f"check directive has no option {option!r}", hint="it knows skip, error and experimental"
            )
    return CheckOptions(frozenset(skip), "all" in skip, error, frozenset(experimental), "all" in experimental)


def inline_check(comments: Iterable[str]) -> CheckOptions | None:
    """The `check=` in the comment right above an instruction."""
    for comment in comments:
        match = _COMMENT.match(comment)
        if match is not None:
            return parse_check(match.group(1))
    return None


def _list(value: str) -> list[str]:
    return [item.strip() for item in value.split(",") if item.strip()]


@dataclass(slots=True)
class Findings:
    """Collects warnings, leaving out what is switched off."""

    options: CheckOptions
    inline: dict[int, CheckOptions] = field(default_factory=dict)
    found: list[LintWarning] = field(default_factory=list)

    def add(self, rule: str, line: int, message: str, *, at: int = 0) -> None:
        """Report *rule* for the instruction that begins at *line*, shown at line *at* (default the same)."""
        inline = self.inline.get(line)
        if self.options.wants(rule) and (inline is None or inline.wants(rule) or rule in EXPERIMENTAL):
            self.found.append(LintWarning(rule, at or line, message))

    def sorted(self) -> tuple[LintWarning, ...]:
        """By line, then by rule."""
        return tuple(sorted(self.found, key=lambda warning: (warning.line, warning.rule)))
