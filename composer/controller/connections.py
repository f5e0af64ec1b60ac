"""How a container of a service is connected: networks, links, published ports, name servers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from composer.controller import labels
from composer.controller.surroundings import other_container
from composer.engine import Attachment, PortMapping
from composer.errors import SpecError
from composer.values import is_address

if TYPE_CHECKING:
    from collections.abc import Mapping

    from composer.controller.surroundings import Surroundings
    from composer.spec.model import Service, ServiceNetwork


def attachments(surroundings: Surroundings, service: Service, *, aliases: bool) -> tuple[Attachment, ...]:
    """Networks by priority, highest first, then by name: the first one becomes eth0.

    Raises:
        NotFoundError: A container that `external_links` names does not exist.
    """
    if service.network_mode == "bridge":
        return (Attachment(network=surroundings.networks["bridge"]),)
    ordered = sorted(service.networks.items(), key=lambda item: (-item[1].priority, item[0]))
    links = _links(surroundings, service)
    result = [
        attachment(surroundings, service, key, network, aliases=aliases, links=links)
        for key, network in ordered
    ]
    if result and service.mac_address and not result[0].mac_address:
        result[0] = replace(result[0], mac_address=service.mac_address)
    return tuple(result)


def attachment(
    surroundings: Surroundings,
    service: Service,
    key: str,
    network: ServiceNetwork,
    *,
    aliases: bool = True,
    links: Mapping[str, str] | None = None,
) -> Attachment:
    """How a container of *service* joins the network *key*."""
    names = dict.fromkeys((service.name, *network.aliases)) if aliases else {}
    return Attachment(
        network=surroundings.networks[key],
        path=f"services.{service.name}.networks.{key}",
        aliases=tuple(names),
        ipv4_address=network.ipv4_address,
        ipv6_address=network.ipv6_address,
        mac_address=network.mac_address,
        priority=network.priority,
        gw_priority=network.gw_priority,
        interface_name=network.interface_name,
        link_local_ips=network.link_local_ips,
        driver_opts=network.driver_opts,
        links=links or {},
    )


def _links(surroundings: Surroundings, service: Service) -> dict[str, str]:
    """`alias -> container name` that only this service resolves."""
    found: dict[str, str] = {}
    for link in service.links:
        target, _, alias = link.partition(":")
        replicas = surroundings.replicas.get(target, ())
        for replica in replicas:
            name = labels.final_name(replica)
            found[f"{target}-{labels.number_of(replica)}"] = name
            found[name] = name
        if replicas:
            found[alias or target] = labels.final_name(replicas[0])
    for link in service.external_links:
        name, _, alias = link.partition(":")
        found[alias or name] = other_container(surroundings, name, service, "external_links").name
    return found


def published_ports(service: Service) -> tuple[PortMapping, ...]:
    """The published ports; `8000-8010` on one container port means the first free one.

    Raises:
        SpecError: The host port is no number.
    """
    result = []
    for position, port in enumerate(service.ports):
        path = f"services.{service.name}.ports[{position}]"
        first, _, last = port.published.partition("-")
        if port.published and not (first.isdecimal() and (not last or last.isdecimal())):
            raise SpecError(f"{port.published!r} is not a port", path=path)
        result.append(
            PortMapping(
                container_port=port.target,
                host_port=int(first or 0),
                host_port_end=int(last or 0),
                host_ip=port.host_ip,
                protocol=port.protocol or "tcp",
                path=path,
            )
        )
    return tuple(result)


def name_servers(service: Service) -> tuple[str, ...]:
    """The `dns` of a service.

    Raises:
        SpecError: One is not an address.
    """
    for position, server in enumerate(service.dns):
        if not is_address(server):
            raise SpecError(
                f"{server!r} is not an IP address",
                hint="a name server is known by its address, such as 1.1.1.1",
                path=f"services.{service.name}.dns[{position}]",
            )
    return service.dns
