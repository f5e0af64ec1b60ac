"""The canonical document as `composer config` prints it: escaped, and as JSON or YAML."""

from __future__ import annotations

import json
from typing import Any

from composer.spec.fields import PROJECT, ListOf, MapOf, Struct
from composer.spec.scalars import Timestamp, resolve

_EXACT = 2**53
_BLKIO = ("weight_device", "device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops")


def printable(document: Any) -> dict[str, Any]:
    """*document* in the reference's shape: without models, values of variables and ipam options."""
    result = {key: value for key, value in document.items() if key != "models"}
    if secrets := result.get("secrets"):
        result["secrets"] = {
            name: {key: value for key, value in entry.items() if key != "content"}
            for name, entry in secrets.items()
        }
    if configs := result.get("configs"):
        result["configs"] = {
            name: {
                key: value for key, value in entry.items() if key != "content" or "environment" not in entry
            }
            for name, entry in configs.items()
        }
    if networks := result.get("networks"):
        result["networks"] = {
            name: {**entry, "ipam": {key: value for key, value in entry["ipam"].items() if key != "options"}}
            for name, entry in networks.items()
        }
    services = dict(result.get("services") or {})
    for name, service in services.items():
        if blkio := service.get("blkio_config"):
            capital = {
                key: [{inner.title(): item for inner, item in entry.items()} for entry in value]
                if key in _BLKIO
                else value
                for key, value in blkio.items()
            }
            services[name] = {**service, "blkio_config": capital}
    result["services"] = services
    return result


def shaped(document: Any, *, json_shape: bool) -> dict[str, Any]:
    """*document* in the order of the reference: attributes by its table, names by the alphabet.

    Its JSON leaves out `x-` entries below the top level, its YAML leaves out a `command` and an `entrypoint`
    that are null.
    """
    result = {key: value for key, value in document.items() if not key.startswith("x-")}
    for kind, struct in PROJECT.items():
        if entries := result.get(kind):
            result[kind] = {key: _shaped(entries[key], struct, json_shape) for key in sorted(entries)}
    for key in sorted(document):
        if key.startswith("x-"):
            result[key] = _shaped(document[key], None, json_shape)
    return result


def _shaped(value: Any, kind: Any, json_shape: bool) -> Any:  # noqa: FBT001 - handed down
    if isinstance(value, dict):
        if isinstance(kind, Struct):
            fields = kind.fields
            extensions = [] if json_shape else sorted(key for key in value if key.startswith("x-"))
            return {
                key: _shaped(value[key], fields[key].convert if key in fields else None, json_shape)
                for key in [*(key for key in value if not key.startswith("x-")), *extensions]
                if json_shape or value[key] is not None or key not in ("command", "entrypoint")
            }
        item = kind.item if isinstance(kind, MapOf) else None
        return {key: _shaped(value[key], item, json_shape) for key in sorted(value)}
    if isinstance(value, list):
        item = kind.item if isinstance(kind, ListOf) else None
        return [_shaped(entry, item, json_shape) for entry in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return int(value)
    return value.rfc3339() if isinstance(value, Timestamp) else value


def to_json(document: Any) -> str:
    """Indented JSON."""
    return json.dumps(document, indent=2, ensure_ascii=False, default=str)


def to_yaml(document: Any) -> str:
    """YAML with two spaces of indentation, texts quoted where a YAML 1.1 or 1.2 reader would see more."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the interface
            return True

        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002
            return super().increase_indent(flow, False)

        def choose_scalar_style(self) -> Any:
            style = super().choose_scalar_style()
            return '"' if style == "'" else style

    def text(dumper: Any, value: str) -> Any:
        style = "|" if "\n" in value and value.strip("\n") and not value.startswith((" ", "\n")) else None
        if value in ("y", "n", "Y", "N") or not isinstance(resolve(value), str):
            style = '"'
        return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style=style)

    Dumper.add_representer(str, text)
    Dumper.add_representer(Timestamp, text)
    Dumper.add_multi_representer(dict, lambda dumper, value: dumper.represent_dict(value.items()))
    Dumper.add_multi_representer(list, yaml.SafeDumper.represent_list)
    result: str = yaml.dump(
        document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=4096, default_flow_style=False
    )
    return result
