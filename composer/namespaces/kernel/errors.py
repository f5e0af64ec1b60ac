"""The error of everything that is forked: small, and made of what fits into one message to the parent."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class KernelError(OSError):
    """A system call failed.

    Args:
        number: The kernel's error number.
        call: Name of the system call.
        subject: What it was applied to, usually a path.
    """

    def __init__(self, number: int, call: str, subject: str = "") -> None:
        super().__init__(number, os.strerror(number))
        self.call = call
        self.subject = subject

    def __str__(self) -> str:
        what = f"{self.call} {self.subject}" if self.subject else self.call
        return f"{what}: {self.strerror}"


class LaunchError(Exception):
    """A container or an exec could not be started.

    Args:
        message: One sentence for the user.
        kind: `engine`, `not-found`, `cannot-invoke`, `unsupported` or `conflict`; chooses the error class
            that the engine raises, see `composer.namespaces.failures`.
        errno: The kernel's error number, or 0.
        hint: What to do about it, or empty.
        path: YAML path of the offending element, or empty.
        about: The part of the configuration that is to blame; see `composer.errors.EngineError`.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: str = "engine",
        errno: int = 0,
        hint: str = "",
        path: str = "",
        about: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind
        self.errno = errno
        self.hint = hint
        self.path = path
        self.about = about

    def as_json(self) -> dict[str, Any]:
        """What is sent to whoever asked for the start."""
        return {
            "kind": self.kind,
            "message": self.message,
            "errno": self.errno,
            "hint": self.hint,
            "path": self.path,
            "about": self.about,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> LaunchError:
        """What `as_json` was made of."""
        return cls(**values)


def describe(error: BaseException) -> dict[str, Any]:
    """Any exception as the JSON form of a `LaunchError`."""
    if isinstance(error, LaunchError):
        return error.as_json()
    if isinstance(error, KernelError):
        return LaunchError(str(error), errno=error.errno or 0).as_json()
    if isinstance(error, OSError):
        subject = f"{error.filename}: " if error.filename else ""
        return LaunchError(f"{subject}{error.strerror or error}", errno=error.errno or 0).as_json()
    return LaunchError(f"{type(error).__name__}: {error}").as_json()
