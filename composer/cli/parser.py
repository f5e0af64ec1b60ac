"""The argument parser of one command: argparse with our errors and Go's spellings of booleans."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, NoReturn

from composer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


class CommandParser(argparse.ArgumentParser):
    """Parses what follows the command's words.

    Attributes:
        interspersed: False for commands that end in another command line (`exec`, `run`): the first word
            that is no option ends the options, so that `exec web ls -l` gives `-l` to `ls`.
    """

    interspersed = True

    def __init__(self, command: str, description: str) -> None:
        super().__init__(prog=f"composer {command}", description=f"{description}.", allow_abbrev=False)

    def _get_formatter(self) -> argparse.HelpFormatter:
        # argparse makes one for each argument it is told, to check metavars; without a width each imports
        # shutil, which imports three compressors.
        try:
            width = os.get_terminal_size().columns - 2
        except OSError:
            width = 100
        return argparse.HelpFormatter(prog=self.prog, width=width)

    def error(self, message: str) -> NoReturn:
        """Raise instead of exiting.

        Raises:
            UsageError: Always.
        """
        raise UsageError(f"{self.prog.removeprefix('composer ')}: {message}", hint=f"see {self.prog} --help")

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse *words*; `--flag=true` and `--flag=false` work for flags without a value.

        Raises:
            UsageError: The words do not fit.
        """
        head: list[str] = []
        positional: list[str] = []
        off: list[str] = []
        rest = list(words)
        while rest:
            word = rest.pop(0)
            if word == "--":
                positional += rest
                break
            if not word.startswith("-") or word == "-":
                positional.append(word)
                if not self.interspersed:
                    positional += rest
                    break
                continue
            flag, equals, value = word.partition("=")
            action = self._option_string_actions.get(flag)
            if equals and action is not None and action.nargs == 0:
                from composer.cli.options import boolean

                if boolean(flag, value):
                    head.append(flag)
                else:
                    off.append(action.dest)
                continue
            head.append(word)
            if self._takes_next(word) and rest:
                head.append(rest.pop(0))
        # argparse itself cannot mix options and arguments; behind -- it takes every word as it is.
        guard = ["--"] if any(word.startswith("-") for word in positional) else []
        namespace = self.parse_args([*self._glued(head), *guard, *positional])
        for dest in off:
            setattr(namespace, dest, False)
        return namespace

    def _takes_next(self, word: str) -> bool:
        """Whether the option *word* (maybe a bundle such as `-itu`) takes the next word as its value."""
        if "=" in word:
            return False
        action = self._option_string_actions.get(word)
        if action is not None:
            return action.nargs is None
        if word.startswith("--"):
            return False
        for position, letter in enumerate(word[1:], start=1):
            action = self._option_string_actions.get(f"-{letter}")
            if action is None:
                return False
            if action.nargs is None:
                return position == len(word) - 1
        return False

    def _glued(self, words: list[str]) -> list[str]:
        """Join `--flag -value`, which argparse would refuse, into `--flag=-value`."""
        result: list[str] = []
        position = 0
        while position < len(words):
            word = words[position]
            position += 1
            if (
                word.startswith("-")
                and position < len(words)
                and words[position].startswith("-")
                and word in self._option_string_actions
                and self._takes_next(word)
            ):
                value = words[position]
                position += 1
                result.append(f"{word}={value}" if word.startswith("--") else f"{word}{value}")
            else:
                result.append(word)
        return result
