"""The short form of `ports`: `[[ip:][host]:]container[/protocol]`, with ranges."""

from __future__ import annotations

import re
from typing import Any, Final

PROTOCOLS: Final = ("tcp", "udp", "sctp")
LAST_PORT: Final = 65535
_MOST: Final = 65536


def parse_range(text: str, what: str) -> tuple[int, int]:
    """First and last port of `80` or `80-90`.

    Raises:
        ValueError: Not a port or a range of ports.
    """
    start, dash, end = text.partition("-")
    numbers = []
    for part in (start, end) if dash else (start,):
        if not re.fullmatch("[0-9]{1,5}", part) or int(part) > LAST_PORT:
            raise ValueError(f"Invalid {what}: {text}")
        numbers.append(int(part))
    if numbers[-1] < numbers[0]:
        raise ValueError(f"Invalid {what}: {text}")
    return numbers[0], numbers[-1]


def split_port(text: str) -> tuple[str, str, str]:
    """Host address, host port and container port (with protocol) of a short form."""
    rest, colon, container = text.rpartition(":")
    if not colon:
        return "", "", text
    address, colon, host = rest.rpartition(":")
    if not colon:
        return "", rest, container
    return address, host, container


def parse_port(text: str) -> list[dict[str, Any]]:
    """The long forms of *text*: one per container port.

    Raises:
        ValueError: With a sentence that says what is wrong.
    """
    address, host, container = split_port(text)
    container, slash, protocol = container.partition("/")
    protocol = protocol.lower() if slash else "tcp"
    if not container:
        raise ValueError(f"No port specified: {text}<empty>")
    if address:
        address = parse_address(address)
    first, last = parse_range(container, "containerPort")
    if slash and protocol not in PROTOCOLS:
        raise ValueError(f"Invalid proto: {protocol}")
    host_first = host_last = 0
    if host:
        host_first, host_last = parse_range(host, "hostPort")
    if host and host_last - host_first != last - first and first != last:
        raise ValueError(f"Invalid ranges specified for container and host Ports: {container} and {host}")
    if last - first > _MOST:
        raise ValueError(f"Invalid containerPort: {container}")
    ports = []
    for offset in range(last - first + 1):
        port: dict[str, Any] = {"mode": "ingress", "target": first + offset, "protocol": protocol}
        if address:
            port["host_ip"] = address
        if host:
            single = first == last
            port["published"] = host if single else str(host_first + offset)
            if single and host_first == host_last:
                port["published"] = str(host_first)
        ports.append(port)
    return sorted(ports, key=lambda port: f"{port['target']}/{protocol}")


def parse_address(text: str) -> str:
    """An IP address without brackets.

    Raises:
        ValueError: Not an IP address, or IPv6 without brackets.
    """
    import ipaddress

    bracketed = text.startswith("[") and text.endswith("]")
    plain = text[1:-1] if bracketed else text
    try:
        version = ipaddress.ip_address(plain.partition("%")[0]).version
    except ValueError:
        raise ValueError(f"Invalid ip address: {text}") from None
    if version == 6 and not bracketed:
        raise ValueError(f"invalid IP address {text}: an IPv6 address needs brackets")
    return plain
