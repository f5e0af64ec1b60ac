"""Seccomp filters: profiles in Docker's JSON words, compiled to BPF (3 ms, once a process).

Compiling happens where a container is prepared; what is forked only loads bytes.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from composer.errors import EngineError
from composer.namespaces.seccomp import profile as profiles

if TYPE_CHECKING:
    from collections.abc import Collection

_compiled: dict[str, bytes] = {}


def compile_program(profile: str, capabilities: Collection[str]) -> bytes | None:
    """The filter for a container, as an array of struct sock_filter for seccomp(2).

    Args:
        profile: Empty or `builtin` for the default, `unconfined` for none, else the path of a JSON file.
        capabilities: What the container keeps, names without CAP_; profiles may ask for them.

    Returns:
        The program, or None for `unconfined`.

    Raises:
        EngineError: The profile cannot be read, is not in Docker's format, or does not fit into the kernel.
    """
    if profile == "unconfined":
        return None
    builtin = profile in ("", "builtin")
    document = None if builtin else _document(profile)
    key = json.dumps([document, sorted(capabilities)], sort_keys=True)
    if key not in _compiled:
        document = document or _document(profile)
        kernel = os.uname()
        try:
            _compiled[key] = profiles.compile_profile(
                document, set(capabilities), kernel.machine, kernel.release
            )
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(
                f"seccomp profile {profile or 'builtin'!r} cannot be used: {error}", about="security_opt"
            ) from error
    return _compiled[key]


def _document(profile: str) -> dict[str, Any]:
    if profile in ("", "builtin"):
        from composer.namespaces.seccomp.default import PROFILE

        return PROFILE
    try:
        with open(profile, "rb") as file:
            document = json.load(file)
    except OSError as error:
        raise EngineError(
            f"seccomp profile {profile}: {error.strerror}", errno=error.errno or 0, about="security_opt"
        ) from error
    except ValueError as error:
        raise EngineError(f"seccomp profile {profile} is not JSON: {error}", about="security_opt") from error
    if not isinstance(document, dict):
        raise EngineError(f"seccomp profile {profile} is not a JSON object", about="security_opt")
    return document
