"""Which names mean which addresses on a network: a pure function of the containers as they are."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from composer.engine import ContainerState, Endpoint

_ANSWERING = frozenset({"running", "paused"})


@frozen
class Zone:
    """The names of one network.

    Attributes:
        network_name: `name.network_name` works as well as `name`.
        names: Lower case. A name without addresses belongs to containers that do not run; asking for it is
            answered at once with "no such name".
        pointers: Address to container name.
    """

    network_name: str = ""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    pointers: Mapping[str, str] = field(default_factory=dict)


def zones(states: Iterable[ContainerState]) -> dict[str, Zone]:
    """The zones of all networks that these containers are on, by network id."""
    names: dict[str, dict[str, tuple[str, ...]]] = {}
    pointers: dict[str, dict[str, str]] = {}
    titles: dict[str, str] = {}
    for state in states:
        answers = state.status in _ANSWERING
        for endpoint in state.endpoints:
            titles[endpoint.network] = endpoint.network_name
            here = names.setdefault(endpoint.network, {})
            addresses = _addresses(endpoint) if answers else ()
            for name in _names(state, endpoint):
                here[name] = here.get(name, ()) + addresses
            for address in addresses:
                pointers.setdefault(endpoint.network, {})[address] = state.name
    return {
        network: Zone(titles[network], known, pointers.get(network, {})) for network, known in names.items()
    }


def _names(state: ContainerState, endpoint: Endpoint) -> set[str]:
    found = {state.name, state.id[:12], state.config.hostname, *endpoint.aliases}
    return {name.lower() for name in found if name}


def _addresses(endpoint: Endpoint) -> tuple[str, ...]:
    return tuple(address for address in (endpoint.ipv4_address, endpoint.ipv6_address) if address)
