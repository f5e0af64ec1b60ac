"""A shim's report of a failure as the exception that callers know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.errors import (
    CannotInvokeError,
    CommandNotFoundError,
    ComposerError,
    ConflictError,
    EngineError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS: dict[str, type[EngineError]] = {
    "engine": EngineError,
    "not-found": CommandNotFoundError,
    "cannot-invoke": CannotInvokeError,
    "unsupported": UnsupportedError,
}


def failure(report: Mapping[str, Any], subject: str = "") -> ComposerError:
    """The error for what `kernel.errors.LaunchError.as_json` made; *subject* is put in front."""
    message = f"{subject}: {report['message']}" if subject else report["message"]
    if report["kind"] == "conflict":
        return ConflictError(message, hint=report["hint"], path=report["path"])
    return _KINDS[report["kind"]](
        message, errno=report["errno"], about=report["about"], hint=report["hint"], path=report["path"]
    )
