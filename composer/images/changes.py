"""`--change` of import and commit: Dockerfile instructions that only touch an image's configuration."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from composer.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from composer.images.config import ImageConfig

_SHELL = ("/bin/sh", "-c")


def apply_changes(config: ImageConfig, changes: Sequence[str]) -> ImageConfig:
    """*config* after the instructions in *changes*, such as `CMD ["nginx"]` or `ENV A=1`.

    Raises:
        ImageError: An instruction is unknown or malformed.
    """
    for change in changes:
        keyword, _, rest = change.strip().partition(" ")
        action = _ACTIONS.get(keyword.upper())
        if action is None:
            raise ImageError(
                f"{keyword!r} cannot be used in --change", hint=f"use one of {', '.join(sorted(_ACTIONS))}"
            )
        if not rest.strip():
            raise ImageError(f"{change!r} has no argument")
        config = action(config, rest.strip())
    return config


def _command(config: ImageConfig, text: str) -> tuple[str, ...]:
    words = _json_words(text)
    return words if words is not None else ((*(config.shell or _SHELL), text))


def _json_words(text: str) -> tuple[str, ...] | None:
    try:
        words = json.loads(text)
    except ValueError:
        return None
    return tuple(words) if isinstance(words, list) and all(isinstance(w, str) for w in words) else None


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ImageError(f"{text!r}: {error}") from error
    if words and "=" not in words[0]:
        name, _, value = text.partition(" ")
        return [(name, value.strip())]
    pairs = [word.partition("=") for word in words]
    if not all(name and equals for name, equals, _ in pairs):
        raise ImageError(f"{text!r}: every word must be NAME=VALUE")
    return [(name, value) for name, _, value in pairs]


def _cmd(config: ImageConfig, text: str) -> ImageConfig:
    return replace(config, cmd=_command(config, text))


def _entrypoint(config: ImageConfig, text: str) -> ImageConfig:
    return replace(config, entrypoint=_command(config, text))


def _env(config: ImageConfig, text: str) -> ImageConfig:
    env = list(config.env)
    for name, value in _pairs(text):
        entry = f"{name}={value}"
        known = [index for index, item in enumerate(env) if item.partition("=")[0] == name]
        if known:
            env[known[0]] = entry
        else:
            env.append(entry)
    return replace(config, env=tuple(env))


def _label(config: ImageConfig, text: str) -> ImageConfig:
    return replace(config, labels={**config.labels, **dict(_pairs(text))})


def _user(config: ImageConfig, text: str) -> ImageConfig:
    return replace(config, user=text)


def _workdir(config: ImageConfig, text: str) -> ImageConfig:
    import posixpath

    joined = posixpath.normpath(posixpath.join(config.working_dir or "/", text))
    return replace(config, working_dir=joined)


def _volume(config: ImageConfig, text: str) -> ImageConfig:
    added = _json_words(text) or tuple(text.split())
    return replace(config, volumes=tuple(dict.fromkeys((*config.volumes, *added))))


def _expose(config: ImageConfig, text: str) -> ImageConfig:
    ports = []
    for word in text.split():
        number, _, protocol = word.partition("/")
        if not number.isdigit() or int(number) > 65535:
            raise ImageError(f"{word!r} is not a port")
        ports.append(f"{number}/{protocol.lower() or 'tcp'}")
    return replace(config, exposed_ports=tuple(dict.fromkeys((*config.exposed_ports, *ports))))


def _stop_signal(config: ImageConfig, text: str) -> ImageConfig:
    return replace(config, stop_signal=text)


def _on_build(config: ImageConfig, text: str) -> ImageConfig:
    return replace(config, on_build=(*config.on_build, text))


_ACTIONS: dict[str, Callable[[ImageConfig, str], ImageConfig]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": _label,
    "ONBUILD": _on_build,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
