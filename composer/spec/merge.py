"""One Compose file over another, and the entries that may occur only once.

Mappings merge deeply, lists append, scalars are replaced; the tables below name the exceptions. What both
sides say about one key of an environment, one mount target or one port is then reduced to the later one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.errors import Location, SpecError
from composer.spec.rules import Rule, table
from composer.spec.scalars import go_text
from composer.spec.tree import Map, Path, Seq, like, path_text, place_of, places_of, seq_like

if TYPE_CHECKING:
    from collections.abc import Callable


def merge(base: Any, override: Any, path: Path = ()) -> Any:
    """*override* over *base*, both trees at *path*; *base* is changed and returned.

    Raises:
        SpecError: A mapping stands over a list or a scalar over either.
    """
    rule: Rule | None = _MERGE
    for part in path:
        rule = rule.below(str(part)) if rule is not None else None
    return _merge(base, override, rule, path)


def _merge(base: Any, override: Any, rule: Rule | None, path: Path) -> Any:
    if rule is not None and rule.action is not None:
        return rule.action(base, override, rule, path)
    return _plain(base, override, rule, path)


def _plain(base: Any, override: Any, rule: Rule | None, path: Path) -> Any:
    if override is None:
        return base
    if isinstance(base, dict):
        if not isinstance(override, dict):
            raise _clash(base, override, path)
        return _mappings(base, override, rule, path)
    if isinstance(base, list):
        if not isinstance(override, list):
            raise _clash(base, override, path)
        result = seq_like(base)
        result.take(base)
        result.take(override)
        return result
    return override


def _clash(base: Any, override: Any, path: Path) -> Exception:
    one, two = _kind(base), _kind(override)
    place = getattr(override, "place", None) or getattr(base, "place", None)
    return SpecError(
        f"cannot override {one} with {two}",
        where=None if place is None else Location(*place),
        path=path_text(path),
        hint=f"write {one}, or use !override to replace it",
    )


def _kind(value: Any) -> str:
    return (
        "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list) else "a single value"
    )


def _mappings(base: Any, override: Any, rule: Rule | None, path: Path) -> Any:
    if not isinstance(base, dict) or not isinstance(override, dict):
        if override is None:
            return base
        raise _clash(base, override, path)
    places = getattr(base, "places", None)
    for key, value in override.items():
        if key in base:
            below = rule.below(key) if rule is not None else None
            before = base[key]
            base[key] = _merge(before, value, below, (*path, key))
            if base[key] is before:
                continue
        else:
            base[key] = value
        if places is not None and (place := place_of(override, key)) is not None:
            places[key] = place
    return base


def to_sequence(value: Any) -> Seq:
    """A mapping as sorted `K=V` items, a scalar as a list of one, nothing as an empty list."""
    result = seq_like(value)
    if isinstance(value, dict):
        for key in sorted(value):
            item = value[key]
            result.add(key if item is None else f"{key}={go_text(item)}", place_of(value, key))
    elif isinstance(value, list):
        result.take(value)
    elif value is not None:
        result.add(value, None)
    return result


def _sequences(base: Any, override: Any, _rule: Rule | None, _path: Path) -> Any:
    result = to_sequence(base)
    result.take(to_sequence(override))
    return result


def _replace(_base: Any, override: Any, _rule: Rule | None, _path: Path) -> Any:
    return override


def to_mapping(value: Any, default: Callable[[], Any] = lambda: None) -> Any:
    """A list of names as a mapping; *default* makes each value."""
    if isinstance(value, list):
        result = like(value)
        for item, place in zip(value, places_of(value), strict=True):
            result.put(str(item), default(), place)
        return result
    return like(value) if value is None else value


def default_dependency() -> dict[str, Any]:
    """What a name in a list of `depends_on` stands for."""
    return {"condition": "service_started", "required": True}


def _named(base: Any, override: Any, rule: Rule | None, path: Path) -> Any:
    return _mappings(to_mapping(base), to_mapping(override), rule, path)


def _depends_on(base: Any, override: Any, rule: Rule | None, path: Path) -> Any:
    return _mappings(
        to_mapping(base, default_dependency), to_mapping(override, default_dependency), rule, path
    )


def _build(base: Any, override: Any, rule: Rule | None, path: Path) -> Any:
    return _mappings(_build_mapping(base), _build_mapping(override), rule, path)


def _build_mapping(value: Any) -> Any:
    if isinstance(value, str):
        result = Map()
        result["context"] = value
        return result
    return value if isinstance(value, dict) else Map()


def _logging(base: Any, override: Any, rule: Rule | None, path: Path) -> Any:
    if not isinstance(base, dict) or not isinstance(override, dict):
        return base if override is None else override
    one, two = base.get("driver"), override.get("driver")
    if one == two or one is None or two is None:
        return _mappings(base, override, rule, path)
    return override


def _extra_hosts(base: Any, override: Any, _rule: Rule | None, _path: Path) -> Any:
    result = _host_lines(base)
    for line, place in zip(lines := _host_lines(override), lines.places, strict=True):
        if line not in result:
            result.add(line, place)
    return result


def _host_lines(value: Any) -> Seq:
    if not isinstance(value, dict):
        return to_sequence(value)
    result = seq_like(value)
    for host in sorted(value):
        addresses = value[host]
        for address in addresses if isinstance(addresses, list) else (addresses,):
            result.add(f"{host}={go_text(address)}", place_of(value, host))
    return result


def _pools(base: Any, override: Any, rule: Rule | None, path: Path) -> Any:
    if not isinstance(base, list) or not isinstance(override, list):
        return _plain(base, override, rule, path)
    result = seq_like(base)
    result.take(base)
    for pool, place in zip(override, places_of(override), strict=True):
        for index, known in enumerate(result):
            both = isinstance(known, dict) and isinstance(pool, dict)
            if both and known.get("subnet") == pool.get("subnet"):
                result[index] = _mappings(known, pool, None, (*path, index))
                break
        else:
            result.add(pool, place)
    return result


_MERGE = table(
    {
        "networks.*.ipam.config": _pools,
        "networks.*.labels": _sequences,
        "volumes.*.labels": _sequences,
        "services.*.annotations": _sequences,
        "services.*.build": _build,
        "services.*.build.args": _sequences,
        "services.*.build.additional_contexts": _sequences,
        "services.*.build.extra_hosts": _extra_hosts,
        "services.*.build.labels": _sequences,
        "services.*.command": _replace,
        "services.*.depends_on": _depends_on,
        "services.*.deploy.labels": _sequences,
        "services.*.dns": _sequences,
        "services.*.dns_opt": _sequences,
        "services.*.dns_search": _sequences,
        "services.*.entrypoint": _replace,
        "services.*.env_file": _sequences,
        "services.*.label_file": _sequences,
        "services.*.environment": _sequences,
        "services.*.extra_hosts": _extra_hosts,
        "services.*.healthcheck.test": _replace,
        "services.*.labels": _sequences,
        "services.*.logging": _logging,
        "services.*.models": _named,
        "services.*.networks": _named,
        "services.*.sysctls": _sequences,
        "services.*.tmpfs": _sequences,
        "services.*.ulimits.*": _replace,
    }
)


def enforce_unicity(model: Any) -> Any:
    """Keep the last of the entries with one key, where a key exists, at the place of the first."""
    _unique(model, _UNIQUE)
    return model


def _unique(value: Any, rule: Rule) -> Any:
    if rule.action is not None and isinstance(value, list):
        return _last_of_each(value, rule.action)
    if isinstance(value, dict):
        for key in value:
            if (below := rule.below(key)) is not None and isinstance(value[key], (dict, list)):
                value[key] = _unique(value[key], below)
    return value


def _last_of_each(sequence: list[Any], key_of: Callable[[Any], Any]) -> Any:
    if len(sequence) < 2:
        return sequence
    positions: dict[Any, int] = {}
    result = seq_like(sequence)
    for item, place in zip(sequence, places_of(sequence), strict=True):
        key = key_of(item)
        if key is None or isinstance(key, (dict, list)):
            result.add(item, place)
        elif key in positions:
            result[positions[key]] = item
            result.places[positions[key]] = place
        else:
            positions[key] = len(result)
            result.add(item, place)
    return result


def _before_equals(item: Any) -> Any:
    return item.partition("=")[0] if isinstance(item, str) else None


def _itself(item: Any) -> Any:
    return go_text(item) if not isinstance(item, (dict, list)) else None


def _by_target(item: Any) -> Any:
    if isinstance(item, str):
        parts = item.split(":")
        return parts[0] if len(parts) == 1 else _volume_target(item)
    return item.get("target") if isinstance(item, dict) else None


def _volume_target(text: str) -> str:
    from composer.spec.volumes import split_volume

    parts = split_volume(text)
    return parts[1] if len(parts) > 1 else parts[0]


def _by_path(item: Any) -> Any:
    return item if isinstance(item, str) else item.get("path") if isinstance(item, dict) else None


def _mounted(directory: str) -> Callable[[Any], Any]:
    def key(item: Any) -> Any:
        if isinstance(item, str):
            return f"{directory}/{item}"
        if isinstance(item, dict):
            return item.get("target") or f"{directory}/{item.get('source')}"
        return None

    return key


def _port(item: Any) -> Any:
    if isinstance(item, dict):
        host = item.get("host_ip") or "0.0.0.0"  # noqa: S104 - the default that a file means
        return f"{host}:{item.get('published', '')}:{item.get('target')}/{item.get('protocol', 'tcp')}"
    return go_text(item)


_UNIQUE = table(
    {
        "networks.*.labels": _before_equals,
        "networks.*.ipam.options": _before_equals,
        "volumes.*.labels": _before_equals,
        "services.*.annotations": _before_equals,
        "services.*.build.args": _before_equals,
        "services.*.build.additional_contexts": _before_equals,
        "services.*.build.platforms": _before_equals,
        "services.*.build.tags": _before_equals,
        "services.*.build.labels": _before_equals,
        "services.*.cap_add": _before_equals,
        "services.*.cap_drop": _before_equals,
        "services.*.devices": _by_target,
        "services.*.configs": _mounted(""),
        "services.*.deploy.labels": _before_equals,
        "services.*.dns": _before_equals,
        "services.*.dns_opt": _before_equals,
        "services.*.dns_search": _before_equals,
        "services.*.environment": _before_equals,
        "services.*.env_file": _by_path,
        "services.*.expose": _itself,
        "services.*.label_file": _itself,
        "services.*.labels": _before_equals,
        "services.*.links": _before_equals,
        "services.*.networks.*.aliases": _before_equals,
        "services.*.networks.*.link_local_ips": _before_equals,
        "services.*.ports": _port,
        "services.*.profiles": _before_equals,
        "services.*.secrets": _mounted("/run/secrets"),
        "services.*.sysctls": _before_equals,
        "services.*.tmpfs": _before_equals,
        "services.*.volumes": _by_target,
    }
)
