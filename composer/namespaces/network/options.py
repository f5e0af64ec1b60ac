"""A network's driver options: which exist, what they mean, and a refusal by name of all others."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from composer.errors import EngineError, UnsupportedError
from composer.frozen import frozen
from composer.namespaces.network.links import IPVLAN_MODES, MACVLAN_MODES

if TYPE_CHECKING:
    from composer.engine import NetworkConfig

_BRIDGE = "com.docker.network.bridge."
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_DEFAULT_MODES = {"macvlan": "bridge", "ipvlan": "l2"}
_TRUE = frozenset({"1", "t", "true", "yes"})
_FALSE = frozenset({"0", "f", "false", "no"})


@frozen
class Options:
    """Driver options, parsed.

    Attributes:
        mtu: Bytes, 0 for the kernel's.
        bridge: Wanted name of the bridge, or empty.
        icc: Containers on the network may talk to each other.
        masquerade: Outgoing packets get the host's address.
        host_binding: Address on which ports are published when none is given.
        prefix: Interfaces inside are called this and a number.
        parent: Of a macvlan or ipvlan; `eth0.10` makes the VLAN sub-interface when it is missing.
        mode: Of a macvlan or ipvlan.
    """

    mtu: int = 0
    bridge: str = ""
    icc: bool = True
    masquerade: bool = True
    host_binding: str = ""
    prefix: str = "eth"
    parent: str = ""
    mode: str = ""


def parse(config: NetworkConfig) -> Options:
    """Read *config.options*.

    Raises:
        UnsupportedError: An option or driver that is not known.
        EngineError: A value that makes no sense.
    """
    if config.driver not in ("bridge", "macvlan", "ipvlan"):
        raise UnsupportedError(
            f"network driver '{config.driver}' is not supported", hint="use bridge, macvlan or ipvlan"
        )
    values: dict[str, object] = {}
    for name, value in config.options.items():
        match name.removeprefix(_BRIDGE):
            case "com.docker.network.driver.mtu" | "com.docker.network.mtu":
                values["mtu"] = _mtu(name, value)
            case "name" if name.startswith(_BRIDGE):
                values["bridge"] = interface_name(value)
            case "enable_icc":
                values["icc"] = _boolean(name, value)
            case "enable_ip_masquerade":
                values["masquerade"] = _boolean(name, value)
            case "host_binding_ipv4":
                values["host_binding"] = value
            case "com.docker.network.container_iface_prefix":
                values["prefix"] = interface_name(value)
            case "default_bridge":
                pass
            case "parent" if config.driver != "bridge":
                values["parent"] = interface_name(value)
            case "macvlan_mode" | "ipvlan_mode" as key if key.startswith(config.driver):
                modes = MACVLAN_MODES if config.driver == "macvlan" else IPVLAN_MODES
                if value not in modes:
                    raise EngineError(
                        f"network {config.name}: {name} '{value}' does not exist",
                        hint=f"use {', '.join(modes)}",
                    )
                values["mode"] = value
            case _:
                raise UnsupportedError(
                    f"network {config.name}: driver option '{name}' is not supported", hint="remove it"
                )
    options = Options(**values)  # type: ignore[arg-type]  # each case above made the right type
    if config.driver == "bridge":
        return options
    if not options.mode:
        options = replace(options, mode=_DEFAULT_MODES[config.driver])
    if not options.parent:
        raise EngineError(
            f"network {config.name}: driver {config.driver} needs a host interface",
            hint="set driver_opts.parent, such as eth0",
        )
    return options


def interface_name(value: str) -> str:
    """*value*, when the kernel takes it as the name of an interface.

    Raises:
        EngineError: It is empty, too long (15 characters at most) or has odd characters.
    """
    if not _INTERFACE.fullmatch(value):
        raise EngineError(
            f"'{value}' is not an interface name", hint="use at most 15 letters, digits, '.', '_' and '-'"
        )
    return value


def _mtu(name: str, value: str) -> int:
    if not value.isdecimal() or not 68 <= int(value) <= 65535:
        raise EngineError(f"{name} '{value}' is not a size in bytes between 68 and 65535")
    return int(value)


def _boolean(name: str, value: str) -> bool:
    if value.lower() in _TRUE:
        return True
    if value.lower() in _FALSE:
        return False
    raise EngineError(f"{name} '{value}' is neither true nor false")
