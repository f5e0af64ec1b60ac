"""The canonical document as `composer config` prints it: escaped, and as JSON or YAML."""

from __future__ import annotations

import json
from typing import Any

from composer.spec.scalars import Timestamp

_BLKIO = ("weight_device", "device_read_bps", "device_read_iops", "device_write_bps", "device_write_iops")


def printable(document: Any) -> dict[str, Any]:
    """*document* in the reference's shape: no models, no secret's content, `Path` and `Rate` in blkio."""
    result = {key: value for key, value in document.items() if key != "models"}
    if secrets := result.get("secrets"):
        result["secrets"] = {
            name: {key: value for key, value in entry.items() if key != "content"}
            for name, entry in secrets.items()
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


def without_extensions(document: Any) -> dict[str, Any]:
    """*document* without the `x-` entries below the top level, which the reference's JSON leaves out."""
    from composer.spec.fields import PROJECT

    result = dict(document)
    for kind, struct in PROJECT.items():
        if entries := result.get(kind):
            result[kind] = {key: _bare(entry, struct) for key, entry in entries.items()}
    return result


def _bare(value: Any, kind: Any) -> Any:
    from composer.spec.fields import ListOf, MapOf, Struct

    if isinstance(kind, Struct) and isinstance(value, dict):
        return {
            key: _bare(item, field.convert) if (field := kind.fields.get(key)) else item
            for key, item in value.items()
            if not key.startswith("x-")
        }
    if isinstance(kind, ListOf) and isinstance(value, list):
        return [_bare(item, kind.item) for item in value]
    if isinstance(kind, MapOf) and isinstance(value, dict):
        return {key: _bare(item, kind.item) for key, item in value.items()}
    return value


def escape(value: Any) -> Any:
    """Every `$` doubled, so that the output can be read again."""
    if isinstance(value, str):
        return value.replace("$", "$$") if "$" in value else value
    if isinstance(value, dict):
        return {key: escape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [escape(item) for item in value]
    return value


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

    def text(dumper: Any, value: str) -> Any:
        style = "|" if "\n" in value and value.strip("\n") and not value.startswith((" ", "\n")) else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style=style)

    Dumper.add_representer(str, text)
    Dumper.add_representer(Timestamp, text)
    Dumper.add_multi_representer(dict, lambda dumper, value: dumper.represent_dict(value.items()))
    Dumper.add_multi_representer(list, yaml.SafeDumper.represent_list)
    result: str = yaml.dump(
        document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=4096, default_flow_style=False
    )
    return result
