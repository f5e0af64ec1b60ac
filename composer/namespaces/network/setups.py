"""One container's place on one network, as it is handed to the shim."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from composer.engine import Endpoint
from composer.frozen import frozen
from composer.values import to_json

if TYPE_CHECKING:
    from collections.abc import Iterable


@frozen(kw_only=True)
class EndpointSetup:
    """Everything that is needed to join a network; `endpoint.setup_endpoints` takes its `to_dict()`.

    Attributes:
        network: Network id.
        network_name: Its name.
        driver: bridge, macvlan or ipvlan.
        parent: The bridge, or the interface that a macvlan or ipvlan belongs to.
        link: Name of the veth's host end; empty for macvlan and ipvlan.
        alias: What `ip link` shows at the host end.
        interface: Name inside.
        mac_address: MAC address inside; empty for ipvlan.
        addresses: With prefix length.
        ipv4_address: The leased address alone, or empty.
        ipv6_address: The leased address alone, or empty.
        gateway: Address of the network's gateway (IPv4 when it has one), or empty.
        gateways: Default routes that this endpoint provides; at most one per family.
        aliases: Names on this network.
        internal: Nothing leaves this network.
        mtu: Bytes; 0 is the kernel's.
        hairpin: Packets may come back through their bridge port.
        isolated: The bridge port talks to no other isolated one.
        mode: Of a macvlan or ipvlan.
        links: `name -> container name`, resolved for this container only.
    """

    network: str
    network_name: str
    driver: str
    parent: str
    link: str
    alias: str
    interface: str
    mac_address: str
    addresses: tuple[str, ...]
    ipv4_address: str
    ipv6_address: str
    gateway: str
    gateways: tuple[str, ...]
    aliases: tuple[str, ...]
    internal: bool
    mtu: int
    hairpin: bool
    isolated: bool
    mode: str
    links: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """As JSON, complete, for the shim."""
        data: dict[str, Any] = to_json(self)
        return data

    def endpoint(self) -> Endpoint:
        """What is shown of it in a container's state."""
        return Endpoint(
            network=self.network,
            network_name=self.network_name,
            interface=self.interface,
            mac_address=self.mac_address,
            ipv4_address=self.ipv4_address,
            ipv6_address=self.ipv6_address,
            gateway=self.gateway,
            aliases=self.aliases,
        )


def published_through(setups: Iterable[EndpointSetup]) -> tuple[str, str]:
    """The IPv4 and the IPv6 address that published ports lead to; empty when there is none.

    They are on the network with the default route; an internal network and the drivers that bypass the host's
    own stack publish nothing, as with Docker.
    """
    able = [setup for setup in setups if setup.driver == "bridge" and not setup.internal]
    able.sort(key=lambda setup: not setup.gateways)
    ipv4 = next((setup.ipv4_address for setup in able if setup.ipv4_address), "")
    ipv6 = next((setup.ipv6_address for setup in able if setup.ipv6_address), "")
    return ipv4, ipv6
