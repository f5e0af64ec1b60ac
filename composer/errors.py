"""Every exception that a user can meet, and the exit code each one ends in.

    ComposerError                 1    anything that has one clear sentence
    |-- SpecError                 1    a Compose file (or a file it names) is wrong; has `where` and `path`
    |-- UsageError                2    the command line is wrong
    |-- NotFoundError             1    a service, container, image, network or volume that does not exist
    |-- ConflictError             1    a name, port, address or lock that somebody else holds
    |-- DependencyFailedError     1    a dependency became unhealthy, exited, or did not complete
    |-- OperationTimeoutError     1    something did not happen in the time that was given
    |-- EngineError             125    the kernel refused; carries the call and the errno
    |   |-- CannotInvokeError   126    the container's command exists but cannot be executed
    |   |-- CommandNotFoundError 127   the container's command does not exist
    |   `-- UnsupportedError      1    this machine lacks a feature, or privileges are missing
    |-- ImageError                1    an image, layer or archive is missing or broken
    |-- RegistryError             1    a registry refused, answered nonsense, or cannot be reached
    `-- BuildError                1    a Dockerfile is wrong or one of its steps failed; has `where`

Ctrl-C is Python's KeyboardInterrupt and ends in 130.

Library code raises; only `cli` prints and exits. A message is one sentence that says what is wrong;
`hint` says what to do, in the imperative; `where` points at the place in a file.
"""

from __future__ import annotations

from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


class Location(NamedTuple):
    """A place in a text file. Lines and columns count from 1, as editors do."""

    file: str
    line: int
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def seen_from(self, directory: str) -> Location:
        """The same place with the file named as somebody in *directory* would type it."""
        below = directory.rstrip("/") + "/"
        return self._replace(file=self.file[len(below) :]) if self.file.startswith(below) else self


class ComposerError(Exception):
    """Base of all errors that are shown to a user as one sentence.

    Args:
        message: What is wrong, one sentence without a final full stop.
        hint: What to do about it, in the imperative, or an empty string.
        where: The place in a file that caused it, when there is one.
        path: The YAML path of the offending element, such as `services.web.ports[0]`.
    """

    exit_code = 1

    def __init__(
        self, message: str, *, hint: str = "", where: Location | None = None, path: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where
        self.path = path

    def __str__(self) -> str:
        """`file:line:column: path: message (hint)`, leaving out what is not known or said by the message."""
        parts = [str(part) for part in (self.where, self.path) if part]
        if self.path and self.path in self.message:
            parts.pop()
        parts.append(f"{self.message} ({self.hint})" if self.hint else self.message)
        return ": ".join(parts)


class SpecError(ComposerError):
    """A Compose file, env file or `.env` file is wrong."""


class UsageError(ComposerError):
    """The command line is wrong: an unknown flag, flags that exclude each other, a missing argument."""

    exit_code = 2


class NotFoundError(ComposerError):
    """A service, container, image, network or volume does not exist."""


class ConflictError(ComposerError):
    """A name, port, address or lock is held by somebody else."""


class DependencyFailedError(ComposerError):
    """A dependency became unhealthy, exited, or did not complete successfully."""


class OperationTimeoutError(ComposerError):
    """Something did not happen within the time that was given for it."""


class EngineError(ComposerError):
    """A container engine could not do what was asked.

    Args:
        message: What is wrong, naming the system call and the path when there is one.
        errno: The kernel's error number, or 0.
        about: The part of the configuration that is to blame, in the words of
            `engine.ContainerConfig` (`process.user`), or empty; a controller knows the attribute behind it.
        hint: See `ComposerError`.
        where: See `ComposerError`.
        path: See `ComposerError`.
    """

    exit_code = 125

    def __init__(
        self,
        message: str,
        *,
        errno: int = 0,
        about: str = "",
        hint: str = "",
        where: Location | None = None,
        path: str = "",
    ) -> None:
        super().__init__(message, hint=hint, where=where, path=path)
        self.errno = errno
        self.about = about


class CannotInvokeError(EngineError):
    """The command exists in the container but cannot be executed (EACCES, ENOEXEC, a directory)."""

    exit_code = 126


class CommandNotFoundError(EngineError):
    """The command does not exist in the container."""

    exit_code = 127


class UnsupportedError(EngineError):
    """This kernel or machine lacks a feature, or the caller lacks privileges."""

    exit_code = 1


class ImageError(ComposerError):
    """An image, layer or archive is missing, broken or hostile."""


class RegistryError(ComposerError):
    """A registry refused, answered nonsense, or cannot be reached."""


class BuildError(ComposerError):
    """A Dockerfile is wrong, or one of its steps failed."""


def suggestion(word: str, known: Iterable[str]) -> str:
    """`did you mean ...?` for a misspelt word, or an empty string."""
    from difflib import get_close_matches

    words = list(known)
    matches = get_close_matches(word, words, n=1, cutoff=0.6)
    if not matches:
        folded = {item.replace("_", "").replace("-", "").lower(): item for item in words}
        match = folded.get(word.replace("_", "").replace("-", "").lower())
        matches = [match] if match else []
    return f'did you mean "{matches[0]}"?' if matches else ""


def unknown_service(name: str, known: Iterable[str]) -> NotFoundError:
    """The error for a service that is not among *known*."""
    return NotFoundError(f"no such service: {name}", hint=suggestion(name, known))


__all__ = [
    "BuildError",
    "CannotInvokeError",
    "CommandNotFoundError",
    "ComposerError",
    "ConflictError",
    "DependencyFailedError",
    "EngineError",
    "ImageError",
    "Location",
    "NotFoundError",
    "OperationTimeoutError",
    "RegistryError",
    "SpecError",
    "UnsupportedError",
    "UsageError",
    "suggestion",
    "unknown_service",
]
