"""How one value of a model becomes its canonical form: text, numbers, sizes, durations, mappings.

Each function takes a value and its path and raises ValueError with a sentence when it does not fit.
"""

from __future__ import annotations

from typing import Any

from composer.spec.interpolate import to_boolean
from composer.spec.scalars import go_text
from composer.spec.tree import like, place_of, places_of, seq_like
from composer.spec.units import format_duration, parse_duration, parse_size
from composer.spec.words import split_words


def text(value: Any) -> Any:
    """A string; numbers and booleans as Go prints them."""
    return go_text(value)


def boolean(value: Any) -> Any:
    """A boolean; the words of YAML 1.1 too."""
    if isinstance(value, str):
        return to_boolean(value)
    if not isinstance(value, bool):
        raise ValueError(f"{go_text(value)} is not a boolean")  # noqa: TRY004 - one kind of error
    return value


def opt_out(value: Any) -> Any:
    """A boolean that is true unless a file says false; only false is shown."""
    return None if boolean(value) else False


def integer(value: Any) -> Any:
    """A whole number."""
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise ValueError(f"{value!r} is not an integer") from None
    if isinstance(value, float) and not isinstance(value, bool):
        if not value.is_integer():
            raise ValueError(f"{go_text(value)} is not an integer")
        return int(value)
    return value


def number(value: Any) -> Any:
    """A number; the smallest form."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            raise ValueError(f"{value!r} is not a number") from None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value


def size(value: Any) -> Any:
    """Bytes, as decimal text; 0 is not set."""
    if isinstance(value, float):
        value = int(value)
    count = value if isinstance(value, int) else parse_size(value)
    return str(count) if count else None


def duration(value: Any) -> Any:
    """Go's spelling of a duration."""
    if not isinstance(value, str):
        raise ValueError(f"{go_text(value)} is not a duration: missing unit")  # noqa: TRY004 - one kind
    return format_duration(parse_duration(value))


def long_duration(value: Any) -> Any:
    """A duration; zero is not set."""
    converted = duration(value)
    return None if converted == "0s" else converted


def mode(value: Any) -> Any:
    """Permission bits as octal text."""
    if isinstance(value, str):
        try:
            value = int(value, 8)
        except ValueError:
            raise ValueError(f"{value!r} is not an octal file mode") from None
    return f"0{int(value):o}"


def words(value: Any) -> Any:
    """A command line as words."""
    if value is None:
        return None
    if isinstance(value, str):
        result = seq_like(value)
        for word in split_words(value):
            result.add(word, None)
        return result
    return texts(value)


def texts(value: Any) -> Any:
    """A list of strings; one string is a list of one."""
    result = seq_like(value)
    if isinstance(value, list):
        for item, place in zip(value, places_of(value), strict=True):
            result.add(go_text(item), place)
    elif value is not None:
        result.add(go_text(value), None)
    return result


def probe(value: Any) -> Any:
    """`healthcheck.test`: a string is a shell command."""
    if isinstance(value, str):
        result = seq_like(value)
        result.add("CMD-SHELL", None)
        result.add(value, None)
        return result
    return texts(value)


def variables(value: Any) -> Any:
    """`K=V` items or a mapping as a mapping; a key alone is null."""
    return _mapping(value, None)


def labels(value: Any) -> Any:
    """`K=V` items or a mapping as a mapping; a key alone is empty."""
    return _mapping(value, "")


def _mapping(value: Any, alone: Any) -> Any:
    result = like(value)
    if isinstance(value, dict):
        for key, item in value.items():
            result.put(key, alone if item is None else go_text(item), place_of(value, key))
    elif isinstance(value, list):
        for item, place in zip(value, places_of(value), strict=True):
            key, equals, rest = go_text(item).partition("=")
            if alone is None and key != key.rstrip():
                raise ValueError(f"environment variable {key} is declared with a trailing space")
            result.put(key, rest if equals else alone, place)
    return result


def hosts(value: Any) -> Any:
    """`extra_hosts` as sorted `host=address` items."""
    lines: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        for host, addresses in value.items():
            several = addresses if isinstance(addresses, list) else [addresses]
            place = place_of(value, host)
            lines.extend((f"{host}={_address(go_text(address))}", place) for address in several)
    else:
        for item, place in zip(value, places_of(value), strict=True):
            line = go_text(item)
            host, separator, address = line.partition("=")
            if not separator:
                host, separator, address = line.partition(":")
            if not separator:
                raise ValueError(f"additional host {line!r} must be HOST=ADDRESS")
            lines.append((f"{host.strip()}={_address(address.strip())}", place))
    result = seq_like(value)
    for line, place in sorted(lines, key=lambda entry: entry[0]):
        result.add(line, place)
    return result


def _address(address: str) -> str:
    bracketed = address.startswith("[") and address.endswith("]")
    return address[1:-1] if bracketed else address


def ulimit(value: Any) -> Any:
    """A number, or soft and hard limits."""
    if isinstance(value, dict):
        result = like(value)
        for key in ("soft", "hard"):
            if key in value:
                result.put(key, integer(value[key]), place_of(value, key))
        return result
    return integer(value)


def ssh(value: Any) -> Any:
    """`default` and `id=path` items."""
    result = seq_like(value)
    if isinstance(value, dict):
        for key in sorted(value):
            item = value[key]
            path = "" if item is None else go_text(item)
            if not path and key != "default":
                raise ValueError(f"invalid ssh key {key!r}: write default or ID=PATH")
            result.add(f"{key}={path}" if path else key, place_of(value, key))
        return result
    items = value if isinstance(value, list) else [value]
    for item, place in zip(items, places_of(items), strict=True):
        key, equals, _ = go_text(item).partition("=")
        if not equals and key != "default":
            raise ValueError(f"invalid ssh key {go_text(item)!r}: write default or ID=PATH")
        result.add(go_text(item), place)
    return result


def device_count(value: Any) -> Any:
    """A number, or `all`, which is -1."""
    if isinstance(value, str):
        if value.lower() == "all":
            return -1
        try:
            return int(value)
        except ValueError:
            raise ValueError(
                f"invalid value \"{value}\", the only value allowed is 'all' or a number"
            ) from None
    return value


def provider_options(value: Any) -> Any:
    """Each option as a list of texts."""
    result = like(value)
    for key, item in value.items():
        result.put(key, texts(item), place_of(value, key))
    return result


__all__ = [
    "boolean",
    "device_count",
    "duration",
    "hosts",
    "integer",
    "labels",
    "long_duration",
    "mode",
    "number",
    "opt_out",
    "probe",
    "provider_options",
    "size",
    "ssh",
    "text",
    "texts",
    "ulimit",
    "variables",
    "words",
]
