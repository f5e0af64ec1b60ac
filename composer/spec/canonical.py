"""Short forms to long forms, and the defaults that the long forms have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from composer.spec.merge import default_dependency, to_mapping
from composer.spec.ports import LAST_PORT, PROTOCOLS, parse_port
from composer.spec.rules import apply, table
from composer.spec.scalars import go_text
from composer.spec.tree import Map, Path, like, places_of, seq_like, spec_error
from composer.spec.volumes import parse_volume

if TYPE_CHECKING:
    from composer.spec.warn import Warnings


class Canonical:
    """The pass that brings one model into its long form.

    Args:
        tree: The model; it is changed.
        warnings: Told about deprecated forms.
        lenient: Variables were left in place: what cannot be parsed stays as it is.
    """

    def __init__(self, tree: Any, warnings: Warnings, *, lenient: bool) -> None:
        self.tree = tree
        self.warnings = warnings
        self.lenient = lenient

    def run(self) -> None:
        """Do it.

        Raises:
            SpecError: A short form is malformed.
        """
        services = self.tree.get("services")
        if services is not None and not isinstance(services, dict):
            raise spec_error("services must be a mapping", self.tree, ("services",))
        service = {
            "": self.service,
            ".build": self.build,
            ".build.additional_contexts": self.key_values,
            ".build.secrets.*": self.source,
            ".build.ssh": self.ssh,
            ".configs.*": self.source,
            ".depends_on": self.depends_on,
            ".devices.*": self.device,
            ".dns": self.strings,
            ".env_file": self.env_file,
            ".extends": self.extends,
            ".gpus": self.gpus,
            ".label_file": self.strings,
            ".models": self.names,
            ".networks": self.names,
            ".ports": self.ports,
            ".secrets.*": self.source,
            ".volumes.*": self.volume,
        }
        rules = {f"services.*{name}": action for name, action in service.items()}
        rules |= {f"{kind}.*": self.external for kind in ("networks", "volumes", "configs", "secrets")}
        rules["include.*"] = self.include
        apply(self.tree, table(rules))

    def service(self, value: Any, path: Path) -> Any:
        """A service is a mapping; null is the schema's to refuse, or the base of an `extends`."""
        if value is not None and not isinstance(value, dict):
            raise spec_error("must be a mapping", self.tree, path)
        return value

    def build(self, value: Any, _path: Path) -> Any:
        """A string is the context."""
        return _single("context", value) if isinstance(value, str) else value

    def key_values(self, value: Any, path: Path) -> Any:
        """`K=V` items as a mapping."""
        if not isinstance(value, list):
            return value
        result = like(value)
        for index, (item, place) in enumerate(zip(value, places_of(value), strict=True)):
            key, equals, text = go_text(item).partition("=")
            if not equals:
                raise spec_error(f"invalid value {item!r}, expected key=value", self.tree, (*path, index))
            result.put(key, text, place)
        return result

    def ssh(self, value: Any, _path: Path) -> Any:
        """`id=path` items as a mapping; `default` has no path."""
        if not isinstance(value, list):
            return value
        result = like(value)
        for item, place in zip(value, places_of(value), strict=True):
            key, equals, text = go_text(item).partition("=")
            result.put(key, text if equals else None, place)
        return result

    def source(self, value: Any, _path: Path) -> Any:
        """A string is the source."""
        return _single("source", value) if isinstance(value, str) else value

    def depends_on(self, value: Any, path: Path) -> Any:
        """Names as a mapping, required unless said otherwise."""
        value = to_mapping(value, default_dependency)
        if not isinstance(value, dict):
            return value
        for name, dependency in value.items():
            if not isinstance(dependency, dict):
                raise spec_error(f"unsupported value {dependency}", self.tree, (*path, name))
            dependency.setdefault("required", True)
        return value

    def device(self, value: Any, path: Path) -> Any:
        """`host[:container[:permissions]]`."""
        if not isinstance(value, str):
            return value
        parts = value.split(":")
        if len(parts) > 3 or not parts[0]:
            if self.lenient:
                return value
            raise spec_error(f"confusing device mapping, please use long syntax: {value}", self.tree, path)
        result = Map()
        result["source"] = parts[0]
        result["target"] = parts[1] if len(parts) > 1 else parts[0]
        result["permissions"] = parts[2] if len(parts) > 2 else "rwm"
        return result

    def strings(self, value: Any, _path: Path) -> Any:
        """One string as a list."""
        if not isinstance(value, str):
            return value
        result = seq_like(value)
        result.add(value, None)
        return result

    def env_file(self, value: Any, _path: Path) -> Any:
        """Each entry as a mapping with `path` and `required`."""
        result = seq_like(value)
        items = value if isinstance(value, list) else [value]
        for item, place in zip(items, places_of(items), strict=True):
            entry = _single("path", item) if isinstance(item, str) else item
            if isinstance(entry, dict):
                entry.setdefault("required", True)
            result.add(entry, place)
        return result

    def extends(self, value: Any, _path: Path) -> Any:
        """A string is the service."""
        return _single("service", value) if isinstance(value, str) else value

    def gpus(self, value: Any, _path: Path) -> Any:
        """`all` is a request for every one."""
        if not isinstance(value, str):
            return value
        result = seq_like(value)
        result.add(_single("count", value), None)
        return result

    def names(self, value: Any, _path: Path) -> Any:
        """Names as a mapping."""
        return to_mapping(value) if isinstance(value, list) else value

    def ports(self, value: Any, path: Path) -> Any:
        """Each entry as a mapping; ranges become several."""
        if not isinstance(value, list):
            return value
        result = seq_like(value)
        for index, (item, place) in enumerate(zip(value, places_of(value), strict=True)):
            if isinstance(item, dict):
                result.add(item, place)
                continue
            text = go_text(item)
            try:
                ports = parse_port(text)
            except ValueError as error:
                if self.lenient:
                    return value
                hint = _port_hint(text)
                raise spec_error(str(error), self.tree, (*path, index), hint=hint) from None
            for port in ports:
                result.add(_map(port), place)
        return result

    def volume(self, value: Any, path: Path) -> Any:
        """`[source:]target[:options]`."""
        if not isinstance(value, str):
            return value
        try:
            return _map(parse_volume(value))
        except ValueError as error:
            if self.lenient:
                return value
            raise spec_error(str(error), self.tree, path, hint="write SOURCE:TARGET or TARGET") from None

    def external(self, value: Any, path: Path) -> Any:
        """The deprecated `external: {name: ...}`."""
        if not isinstance(value, dict) or not isinstance(outside := value.get("external"), dict):
            return value
        value["external"] = True
        if (name := outside.get("name")) is not None:
            shown = ".".join(map(str, path))
            self.warnings.add(f"{shown}: external.name is deprecated. Please set name and external: true")
            if value.get("name", name) != name:
                raise spec_error("name and external.name conflict; only use name", self.tree, path)
            value["name"] = name
        return value

    def include(self, value: Any, _path: Path) -> Any:
        """A string is the path."""
        return _single("path", value) if isinstance(value, str) else value


def _single(key: str, value: Any) -> Map:
    result = Map()
    result[key] = value
    return result


def _map(value: dict[str, Any]) -> Map:
    result = Map()
    for key, item in value.items():
        result[key] = _map(item) if isinstance(item, dict) else item
    return result


def _port_hint(text: str) -> str:
    words = {"http": "80", "https": "443", "ssh": "22", "eighty": "80"}
    fixed = ":".join(words.get(part, part) for part in text.split(":"))
    if fixed != text:
        return f'did you mean "{fixed}"?'
    if "/" in text and text.rpartition("/")[2].lower() not in PROTOCOLS:
        return f"the protocols are {', '.join(PROTOCOLS)}"
    if any(int(number) > LAST_PORT for number in re.findall("[0-9]+", text.rpartition("]")[2])):
        return f"ports are numbers up to {LAST_PORT}"
    if "-" in text:
        return "give both sides ranges of one length, such as 8000-8002:80-82"
    return "write HOST:CONTAINER, such as 8080:80"


def drop_empty_dns(tree: Any) -> None:
    """Remove empty `dns` entries, that a variable without value leaves."""
    for service in (tree.get("services") or {}).values():
        dns = service.get("dns") if isinstance(service, dict) else None
        if isinstance(dns, list) and "" in dns:
            kept = seq_like(dns)
            for item, place in zip(dns, places_of(dns), strict=True):
                if item != "":
                    kept.add(item, place)
            service["dns"] = kept


def set_defaults(tree: Any) -> None:
    """Fill in what a long form leaves open."""
    apply(tree, _DEFAULTS)


def _secret(value: Any, _path: Path) -> Any:
    if isinstance(value, dict) and value.get("target") is None:
        value["target"] = f"/run/secrets/{value.get('source')}"
    return value


def _port(value: Any, _path: Path) -> Any:
    if isinstance(value, dict):
        value.setdefault("protocol", "tcp")
        value.setdefault("mode", "ingress")
    return value


def _device_request(value: Any, _path: Path) -> Any:
    if isinstance(value, dict) and "count" not in value and "device_ids" not in value:
        value["count"] = "all"
    return value


def _bind(value: Any, _path: Path) -> Any:
    if isinstance(value, dict):
        value.setdefault("create_host_path", True)
    return value


def _context(value: Any, _path: Path) -> Any:
    if isinstance(value, dict) and "context" not in value:
        value["context"] = "."
    return value


_DEFAULTS = table(
    {
        "services.*.build": _context,
        "services.*.secrets.*": _secret,
        "services.*.ports.*": _port,
        "services.*.deploy.resources.reservations.devices.*": _device_request,
        "services.*.gpus.*": _device_request,
        "services.*.volumes.*.bind": _bind,
    }
)
