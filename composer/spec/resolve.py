"""Relative paths to absolute ones, and values that the environment holds."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from composer.spec.rules import apply, table
from composer.spec.tree import Path, places_of, seq_like, spec_error
from composer.spec.volumes import clean_path

if TYPE_CHECKING:
    from collections.abc import Mapping

_REMOTE = ("https://", "http://", "git://", "ssh://", "github.com/", "git@")
VALUE = "x-#value"
"""Key that carries the value of a config's or secret's variable until the document is made."""

_WINDOWS = re.compile(r"[a-zA-Z]:[\\/]|\\\\")


def resolve_paths(tree: Any, directory: str, home: str) -> None:
    """Make the paths of *tree* start from *directory*, which may itself be relative.

    Raises:
        SpecError: A bind mount has no source.
    """
    _Resolver(tree, directory, home).run()


class _Resolver:
    """One pass over a tree."""

    def __init__(self, tree: Any, directory: str, home: str) -> None:
        self.tree = tree
        self.directory = directory
        self.home = home

    def run(self) -> None:
        apply(
            self.tree,
            table(
                {
                    "services.*.build.context": self.context,
                    "services.*.build.additional_contexts.*": self.context,
                    "services.*.env_file.*.path": self.path,
                    "services.*.label_file.*": self.path,
                    "services.*.extends.file": self.path,
                    "services.*.develop.watch.*.path": self.link,
                    "services.*.volumes.*": self.mount,
                    "configs.*.file": self.path,
                    "secrets.*.file": self.path,
                    "volumes.*": self.volume,
                }
            ),
        )

    def path(self, value: Any, _path: Path) -> Any:
        if not isinstance(value, str) or not value:
            return value
        if value == "~" or value.startswith("~/"):
            value = self.home + value[1:]
        if value.startswith("/") or _WINDOWS.match(value):
            return value
        return clean_path(os.path.join(self.directory, value))

    def context(self, value: Any, path: Path) -> Any:
        if not isinstance(value, str) or "://" in value or value.startswith(("service:", *_REMOTE)):
            return value
        return self.path(value, path)

    def link(self, value: Any, path: Path) -> Any:
        value = self.path(value, path)
        return os.path.realpath(value) if isinstance(value, str) and os.path.isabs(value) else value

    def mount(self, value: Any, path: Path) -> Any:
        if isinstance(value, dict) and value.get("type") == "bind":
            source = value.get("source")
            if not isinstance(source, str) or not source:
                raise spec_error(
                    'invalid mount config for type "bind": field Source must not be empty',
                    self.tree,
                    path,
                    hint="add source: the path on this machine",
                )
            value["source"] = self.path(source, path)
        return value

    def volume(self, value: Any, path: Path) -> Any:
        if isinstance(value, dict) and value.get("driver") == "local":
            options = value.get("driver_opts")
            if isinstance(options, dict) and options.get("o") == "bind" and "device" in options:
                options["device"] = self.path(options["device"], path)
        return value


def resolve_environment(tree: Any, environment: Mapping[str, str]) -> None:
    """Give bare keys of an `environment` list, and configs and secrets, the values of *environment*."""
    for service in (tree.get("services") or {}).values():
        variables = service.get("environment") if isinstance(service, dict) else None
        if isinstance(variables, list):
            result = seq_like(variables)
            for item, place in zip(variables, places_of(variables), strict=True):
                known = isinstance(item, str) and item in environment
                result.add(f"{item}={environment[item]}" if known else item, place)
            service["environment"] = result
    for kind in ("secrets", "configs"):
        for entry in (tree.get(kind) or {}).values():
            name = entry.get("environment") if isinstance(entry, dict) else None
            if isinstance(name, str) and name in environment:
                entry[VALUE] = environment[name]


def check_fields(tree: Any) -> None:
    """The checks that look at one element.

    Raises:
        SpecError: Sources of a config or secret, an external volume, a host address, a watched path or a
            device request contradict themselves.
    """

    def file_object(*keys: str) -> Any:
        shown = "|".join(keys)

        def check(value: Any, path: Path) -> Any:
            entry = value or {}
            count = sum(key in entry for key in keys)
            if count > 1:
                raise spec_error(f"{shown} attributes are mutually exclusive", tree, path)
            if not count and "driver" not in entry and "external" not in entry:
                raise spec_error(f"one of {shown} must be set", tree, path, hint=f"add {keys[0]}")
            return value

        return check

    def volume(value: Any, path: Path) -> Any:
        if isinstance(value, dict) and value.get("external") is True:
            for key in value:
                if key not in ("name", "external") and not key.startswith("x-"):
                    raise spec_error(
                        f'conflicting parameters "external" and "{key}" specified',
                        tree,
                        (*path, key),
                        hint="an external volume is made by somebody else; remove the parameter",
                    )
        return value

    def port(value: Any, path: Path) -> Any:
        address = value.get("host_ip") if isinstance(value, dict) else None
        if isinstance(address, str) and address:
            from composer.values import is_address  # few ports have one

            if not is_address(address):
                raise spec_error(f"invalid ip address: {address}", tree, path)
        return value

    def target(value: Any, path: Path) -> Any:
        if isinstance(value, dict) and not isinstance(value.get("target"), str):
            kind = "device" if "devices" in path else "volume"
            raise spec_error(f"this {kind} is missing a mount target", tree, path, hint="add target:")
        return value

    def not_blank(value: Any, path: Path) -> Any:
        if value == "":
            raise spec_error("value can't be blank", tree, path)
        return value

    def device(value: Any, path: Path) -> Any:
        if isinstance(value, dict) and "count" in value and "device_ids" in value:
            raise spec_error('"count" and "device_ids" attributes are exclusive', tree, path)
        return value

    apply(
        tree,
        table(
            {
                "volumes.*": volume,
                "configs.*": file_object("file", "environment", "content"),
                "secrets.*": file_object("file", "environment"),
                "services.*.ports.*": port,
                "services.*.devices.*": target,
                "services.*.volumes.*": target,
                "services.*.develop.watch.*.path": not_blank,
                "services.*.deploy.resources.reservations.devices.*": device,
                "services.*.gpus.*": device,
            }
        ),
    )
