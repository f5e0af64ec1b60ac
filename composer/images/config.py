"""Image configurations: the JSON document whose digest is an image's id, typed.

See the OCI image-spec 1.1 `config.md`; Docker's additions Healthcheck, OnBuild, Shell and ArgsEscaped are
kept. Fields that we do not know survive a round trip. What was pulled is never written anew: its digest is
over its bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping  # noqa: TC003 - dataclass fields are read at run time
from dataclasses import field, replace
from typing import Any

from composer.errors import ImageError
from composer.frozen import frozen

DOCUMENT_LIMIT = 4 * 1024 * 1024
"""Largest manifest or configuration, in bytes, that is read at all (distribution-spec 1.1)."""


@frozen
class ImageHealthcheck:
    """HEALTHCHECK: durations are nanoseconds, 0 means the engine's default, `("NONE",)` switches it off."""

    test: tuple[str, ...] = ()
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0

    def document(self) -> dict[str, Any]:
        """As an image's configuration spells it; zeros are left out."""
        numbers = {
            "Interval": self.interval,
            "Timeout": self.timeout,
            "StartPeriod": self.start_period,
            "StartInterval": self.start_interval,
            "Retries": self.retries,
        }
        return {"Test": list(self.test)} | {key: number for key, number in numbers.items() if number}


@frozen
class History:
    """One line of an image's history; entries that are not `empty_layer` pair with the layers in order."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False


@frozen
class ImageConfig:
    """What an image says about itself.

    Attributes:
        env: `KEY=VALUE` strings in order of first definition.
        cmd: CMD, None when there is none (an empty tuple is `CMD []`).
        entrypoint: ENTRYPOINT, None when there is none.
        user: USER as written.
        working_dir: WORKDIR.
        volumes: Mount points of anonymous volumes.
        exposed_ports: `port/protocol` strings.
        stop_signal: Name or number as written, or empty.
        healthcheck: The probe, or None.
        labels: Labels.
        shell: SHELL, or None for the default.
        on_build: ONBUILD triggers.
        architecture: GOARCH.
        os: GOOS.
        variant: CPU variant such as `v7`.
        created: RFC 3339 time, or empty.
        author: MAINTAINER.
        history: One entry per instruction.
        diff_ids: Digests of the uncompressed layer archives, lowest first.
        extra: Unknown top-level fields, kept.
        extra_config: Unknown fields of `config`, kept.
    """

    env: tuple[str, ...] = ()
    cmd: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    user: str = ""
    working_dir: str = ""
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    stop_signal: str = ""
    healthcheck: ImageHealthcheck | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    shell: tuple[str, ...] | None = None
    on_build: tuple[str, ...] = ()
    architecture: str = ""
    os: str = "linux"
    variant: str = ""
    created: str = ""
    author: str = ""
    history: tuple[History, ...] = ()
    diff_ids: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    extra_config: Mapping[str, Any] = field(default_factory=dict)

    @property
    def platform(self) -> str:
        """`linux/arm/v7`."""
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)

    def with_layer(self, diff_id: str, history: History) -> ImageConfig:
        """One more layer on top, with its line of history."""
        return replace(self, diff_ids=(*self.diff_ids, diff_id), history=(*self.history, history))

    @classmethod
    def from_bytes(cls, data: bytes) -> ImageConfig:
        """Read a configuration document.

        Raises:
            ImageError: It is too large, no JSON, or its fields have wrong types.
        """
        document = parse_document(data, "image configuration")
        try:
            return _from_document(document)
        except (TypeError, ValueError, AttributeError) as error:
            raise ImageError(f"the image configuration is malformed: {error}") from error

    def to_bytes(self) -> bytes:
        """The canonical document: sorted keys, no white space; equal values give equal bytes."""
        document = _to_document(self)
        return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def parse_document(data: bytes, what: str) -> dict[str, Any]:
    """Parse a JSON object that came from outside; its size is limited, and so is its depth by the parser.

    Raises:
        ImageError: It exceeds a limit, repeats a key, holds NaN, or is no object.
    """
    if len(data) > DOCUMENT_LIMIT:
        raise ImageError(f"the {what} has {len(data)} bytes, more than {DOCUMENT_LIMIT}")
    try:
        document = json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ImageError(f"the {what} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ImageError(f"the {what} is not a JSON object")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {twice!r} stands twice")
    return result


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _strings(value: Any, name: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError(f"{name} is not a list of strings")
    return tuple(value)


def _text(value: Any, name: str) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError(f"{name} is not a string")
    return value


def _object(value: Any, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise TypeError(f"{name} is not an object")
    return value


def _from_document(document: dict[str, Any]) -> ImageConfig:
    config = _object(document.get("config"), "config")
    rootfs = _object(document.get("rootfs"), "rootfs")
    known = {"config", "rootfs", "architecture", "os", "variant", "created", "author", "history"}
    labels = _object(config.get("Labels"), "Labels")
    if not all(isinstance(value, str) for value in labels.values()):
        raise TypeError("Labels is not an object of strings")
    history = document.get("history") or []
    if not isinstance(history, list):
        raise TypeError("history is not a list")
    return ImageConfig(
        env=_strings(config.get("Env"), "Env"),
        cmd=_optional(config.get("Cmd"), "Cmd"),
        entrypoint=_optional(config.get("Entrypoint"), "Entrypoint"),
        user=_text(config.get("User"), "User"),
        working_dir=_text(config.get("WorkingDir"), "WorkingDir"),
        volumes=tuple(_object(config.get("Volumes"), "Volumes")),
        exposed_ports=tuple(_object(config.get("ExposedPorts"), "ExposedPorts")),
        stop_signal=_text(config.get("StopSignal"), "StopSignal"),
        healthcheck=_healthcheck(config.get("Healthcheck")),
        labels=labels,
        shell=_optional(config.get("Shell"), "Shell"),
        on_build=_strings(config.get("OnBuild"), "OnBuild"),
        architecture=_text(document.get("architecture"), "architecture"),
        os=_text(document.get("os"), "os") or "linux",
        variant=_text(document.get("variant"), "variant"),
        created=_text(document.get("created"), "created"),
        author=_text(document.get("author"), "author"),
        history=tuple(_history(_object(entry, "history entry")) for entry in history),
        diff_ids=_strings(rootfs.get("diff_ids"), "rootfs.diff_ids"),
        extra={key: value for key, value in document.items() if key not in known},
        extra_config={key: value for key, value in config.items() if key not in _CONFIG_KEYS},
    )


_CONFIG_KEYS = frozenset(
    (
        "Env",
        "Cmd",
        "Entrypoint",
        "User",
        "WorkingDir",
        "Volumes",
        "ExposedPorts",
        "StopSignal",
        "Healthcheck",
        "Labels",
        "Shell",
        "OnBuild",
    )
)


def _optional(value: Any, name: str) -> tuple[str, ...] | None:
    return None if value is None else _strings(value, name)


def _healthcheck(value: Any) -> ImageHealthcheck | None:
    data = _object(value, "Healthcheck")
    if not data:
        return None
    return ImageHealthcheck(
        test=_strings(data.get("Test"), "Healthcheck.Test"),
        interval=int(data.get("Interval") or 0),
        timeout=int(data.get("Timeout") or 0),
        start_period=int(data.get("StartPeriod") or 0),
        start_interval=int(data.get("StartInterval") or 0),
        retries=int(data.get("Retries") or 0),
    )


def _history(entry: dict[str, Any]) -> History:
    return History(
        created=_text(entry.get("created"), "history.created"),
        created_by=_text(entry.get("created_by"), "history.created_by"),
        author=_text(entry.get("author"), "history.author"),
        comment=_text(entry.get("comment"), "history.comment"),
        empty_layer=bool(entry.get("empty_layer")),
    )


def _to_document(image: ImageConfig) -> dict[str, Any]:
    config: dict[str, Any] = dict(image.extra_config)
    fields: dict[str, Any] = {
        "Env": list(image.env),
        "User": image.user,
        "WorkingDir": image.working_dir,
        "Volumes": {path: {} for path in image.volumes},
        "ExposedPorts": {port: {} for port in image.exposed_ports},
        "StopSignal": image.stop_signal,
        "Labels": dict(image.labels),
        "OnBuild": list(image.on_build),
    }
    config.update({key: value for key, value in fields.items() if value})
    for key, words in (("Cmd", image.cmd), ("Entrypoint", image.entrypoint), ("Shell", image.shell)):
        if words is not None:
            config[key] = list(words)
    if image.healthcheck is not None:
        config["Healthcheck"] = image.healthcheck.document()
    document = dict(image.extra)
    document |= {
        "architecture": image.architecture,
        "os": image.os,
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": list(image.diff_ids)},
    }
    optional = {"variant": image.variant, "created": image.created, "author": image.author}
    document |= {key: value for key, value in optional.items() if value}
    if image.history:
        document["history"] = [_history_document(entry) for entry in image.history]
    return document


def _history_document(entry: History) -> dict[str, Any]:
    texts = {
        "created": entry.created,
        "created_by": entry.created_by,
        "author": entry.author,
        "comment": entry.comment,
    }
    result: dict[str, Any] = {key: value for key, value in texts.items() if value}
    return result | {"empty_layer": True} if entry.empty_layer else result
