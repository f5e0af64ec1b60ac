"""Networks of this installation, as the engine uses them: made, leased from, published through, removed.

Synchronous; each call takes a millisecond or two. Any number of processes may use the same installation at
once: each change is one SQLite write transaction that also covers the change in the kernel.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
from typing import TYPE_CHECKING

from composer.engine import NetworkState
from composer.errors import ConflictError, EngineError, NotFoundError
from composer.namespaces.network import bridge, ipam, leasing, links, ports, records
from composer.namespaces.network import options as network_options
from composer.namespaces.network.conntrack import forget_flows
from composer.namespaces.network.netlink import open_netlink
from composer.namespaces.network.table import FirewallTable, translations
from composer.namespaces.network.zones import zones
from composer.state.database import Database

if TYPE_CHECKING:
    import socket
    import sqlite3
    from collections.abc import Callable, Collection, Iterable, Sequence

    from composer.engine import ContainerConfig, ContainerState, NetworkConfig, PortMapping, PublishedPort
    from composer.namespaces.network.setups import EndpointSetup
    from composer.namespaces.network.zones import Zone
    from composer.state.paths import Paths


class NetworkManager:
    """Networks, addresses and published ports of the installation at *paths*.

    Sockets to the kernel are opened once, in the network namespace of that moment: the host's.

    Attributes:
        on_unpublish: Called with the id of a container whose ports are about to be free again.
    """

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._database = Database(paths.database, "networks", records.MIGRATIONS)
        self._table = FirewallTable(f"composer{paths.suffix}")
        self._netlink: socket.socket | None = None
        self.on_unpublish: list[Callable[[str], None]] = []

    @property
    def alias(self) -> str:
        """What `ip link` shows as alias at links of this installation."""
        return self._table.name

    def close(self) -> None:
        """Close the sockets to the kernel."""
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None
        self._table.close()

    # -- networks ------------------------------------------------------------------------------------------

    def list(self, project: str | None = None) -> tuple[NetworkState, ...]:
        """All networks (of *project*), oldest first."""
        db = self._database.connection()
        if project is None:
            return tuple(records.networks(db))
        return tuple(records.networks(db, "WHERE project = ?", project))

    def get(self, network: str) -> NetworkState:
        """The network with this id.

        Raises:
            NotFoundError: There is none.
        """
        found = records.networks(self._database.connection(), "WHERE id = ?", network)
        if not found:
            raise NotFoundError(f"network {network[:12]} does not exist")
        return found[0]

    def create(self, config: NetworkConfig) -> NetworkState:
        """Make a network: choose its addresses, then its bridge and its place in the firewall.

        Raises:
            ConflictError: The name is taken, or a wanted subnet overlaps another network or a host route.
            EngineError: Something in *config* makes no sense, or the kernel refused.
            UnsupportedError: An option, a driver or a feature of the kernel is missing.
        """
        options = network_options.parse(config)
        made: NetworkState | None = None
        try:
            with self._database.transaction() as db:
                made = self._create(db, config, options)
        except BaseException:
            if made is not None:  # the kernel did its part, but the disk is full
                self._unmake(made)
            raise
        return made

    def _create(
        self, db: sqlite3.Connection, config: NetworkConfig, options: network_options.Options
    ) -> NetworkState:
        bridged = config.driver == "bridge"
        existing = records.networks(db)
        if any(state.config.name == config.name for state in existing):
            raise ConflictError(f"network {config.name} exists already")
        pools = ipam.fill(config, self._taken(existing, bridged=bridged), _machine(), bridged=bridged)
        name = (options.bridge or f"br-{config.id[:12]}") if bridged else options.parent
        state = NetworkState(config=config, pools=pools, bridge=name)
        if not bridged:
            made_parent = bridge.make_vlan(self._socket(), name)
            self._check_child(config, options, made_parent=made_parent)
            records.add_network(db, state, made_parent=made_parent)
            return state
        records.add_network(db, state, made_parent=False)
        self._make_bridge(state)
        try:
            self._table.add(db, state, first=not any(item.config.driver == "bridge" for item in existing))
        except BaseException:
            bridge.remove(self._socket(), state.bridge)
            raise
        return state

    def _unmake(self, state: NetworkState) -> None:
        if state.config.driver == "bridge":
            links.delete_with_ports(self._socket(), state.bridge)
            self._table.remove(self._database.connection(), state)

    def remove(self, network: str) -> None:
        """Remove a network; one that does not exist is an error.

        Raises:
            NotFoundError: There is no such network.
            ConflictError: A container is still on it.
        """
        with self._database.transaction() as db:
            state = leasing.network(db, network)
            self._drop_stale(db, state)
            holders = records.leases(db, "network", network)
            if holders:
                names = ", ".join(sorted(lease.name for lease in holders))
                raise ConflictError(
                    f"network {state.config.name} is in use by {names}", hint="remove those containers first"
                )
            delete_parent = records.forget_network(db, network)
            if state.config.driver != "bridge":
                if delete_parent:
                    bridge.remove(self._socket(), state.bridge)
                return
            links.delete_with_ports(self._socket(), state.bridge)
            self._table.remove(db, state)

    def reconcile(self, live: Collection[str] | None = None) -> None:
        """Make again what a reboot or `nft flush ruleset` took away, and tell firewalls that came later.

        A bridge that no record knows goes: whoever made it was killed before the record was written.

        Args:
            live: Ids of containers that run; ports of all others are unpublished. None leaves them.
        """
        db = self._database.connection()
        bridged = [state for state in records.networks(db) if state.config.driver == "bridge"]
        dead = records.publishers(db) - set(live) if live is not None else set()
        present = links.kinds(self._socket())
        strays = {name for name, is_a in present.items() if is_a == ("bridge", self.alias)}
        strays -= {state.bridge for state in bridged}
        if not bridged and not dead and not strays:
            return
        missing = [state for state in bridged if state.bridge not in present]
        self._table.tell_others([state.bridge for state in bridged])
        if not missing and not dead and not strays and self._table.present():
            return
        with self._database.transaction() as writer:
            # Look again: another process may just have been removing a network, or making one.
            networks = records.networks(writer)
            known = {state.config.id for state in networks}
            for name in strays - {state.bridge for state in networks}:
                links.delete_with_ports(self._socket(), name)
            for state in missing:
                if state.config.id in known:
                    with contextlib.suppress(ConflictError):  # another process was faster
                        self._make_bridge(state)
            records.drop_ports(writer, sorted(dead))
            self._table.replace(writer)

    def obstacles(self) -> tuple[str, ...]:
        """Chains of other firewalls that drop packets and that we do not open, as `inet filter forward`."""
        return self._table.obstacles()

    def _check_child(
        self, config: NetworkConfig, options: network_options.Options, *, made_parent: bool
    ) -> None:
        try:
            bridge.check_child(
                self._socket(), config.driver, options.parent, options.mode, f"cmp{config.id[:12]}"
            )
        except EngineError:
            if made_parent:
                bridge.remove(self._socket(), options.parent)
            raise

    def _make_bridge(self, state: NetworkState) -> None:
        mtu = network_options.parse(state.config).mtu
        bridge.make(self._socket(), state.bridge, state.pools, mtu, self.alias)
        self._table.tell_others([state.bridge])

    def _taken(self, existing: Iterable[NetworkState], *, bridged: bool) -> tuple[ipam.Subnet, ...]:
        taken = [ipaddress.ip_network(pool.subnet) for state in existing for pool in state.pools]
        if bridged:
            # A macvlan joins a network the host is on, so there only other networks of ours count.
            taken += [
                ipaddress.ip_network(text, strict=False) for text in links.host_networks(self._socket())
            ]
        return tuple(taken)

    # -- addresses -----------------------------------------------------------------------------------------

    def reserve(self, config: ContainerConfig, *, starting: bool = False) -> tuple[EndpointSetup, ...]:
        """Addresses for a container on its networks, the same ones each time until `release`.

        Args:
            config: The container; its directory must exist, else its leases count as abandoned.
            starting: Right before the start a wanted address must be free. Before that, another container
                (one that is about to be replaced) may still hold it.

        Raises:
            NotFoundError: A network does not exist.
            ConflictError: A wanted address is held, or a network is full.
            EngineError: A wanted address or name makes no sense.
        """
        if config.network_mode != "bridge" or not config.attachments:
            return ()
        db = self._database.connection()
        states = leasing.networks_of(db, config)
        known = {lease.network for lease in records.leases(db, "container", config.id)}
        if known == states.keys():
            return leasing.setups(db, config, states, self.alias)
        with self._database.transaction() as writer:
            try:
                leasing.lease(writer, config, states, starting=starting)
            except ConflictError:
                for state in states.values():
                    self._drop_stale(writer, state)
                leasing.lease(writer, config, states, starting=starting)
            return leasing.setups(writer, config, states, self.alias)

    def release(self, container: str, network: str = "") -> None:
        """Give a container's addresses back, on all networks or on one; its ports are unpublished too."""
        if not network:
            self.unpublish(container)
        db = self._database.connection()
        if records.leases(db, "container", container):
            with self._database.transaction() as writer:
                records.drop_leases(writer, container, network)

    def _drop_stale(self, db: sqlite3.Connection, state: NetworkState) -> None:
        """Forget leases of containers that were never finished, or removed behind our back."""
        for lease in records.leases(db, "network", state.config.id):
            if not self._paths.container(lease.container).is_dir():
                records.drop_leases(db, lease.container)

    # -- ports ---------------------------------------------------------------------------------------------

    def check_ports(self, configs: Sequence[ContainerConfig], leaving: Collection[str] = ()) -> None:
        """See whether all ports of a plan can be published, before anything of it starts.

        Args:
            configs: Containers that will start.
            leaving: Containers that will be gone by then; their ports do not count as taken.

        Raises:
            ConflictError: A port is in use, or wanted twice; the message says by whom.
        """
        db = self._database.connection()
        wanted: dict[tuple[str, str, int], str] = {}
        for config in configs:
            if config.network_mode != "bridge":
                continue
            for mapping in config.ports:
                if not mapping.host_port or mapping.host_port_end > mapping.host_port:
                    continue
                for address in ports.addresses_of(mapping.host_ip):
                    key = (mapping.protocol, address, mapping.host_port)
                    if key in wanted:
                        raise ConflictError(
                            f"port {mapping.host_port}/{mapping.protocol} is published by both"
                            f" {wanted[key]} and {config.name}",
                            hint="publish another port",
                            path=mapping.path,
                        )
                    wanted[key] = config.name
                    holder, _ = records.publisher(db, mapping.protocol, mapping.host_port)
                    if holder == config.id or holder in leaving:
                        continue
                    self._try_port(mapping, address)

    def _try_port(self, mapping: PortMapping, address: str) -> None:
        try:
            probe = ports.open_socket(mapping.protocol, address, mapping.host_port, listen=False)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ports.in_use(mapping, address, self._holder) from error
            if mapping.host_ip or error.errno not in ports.NO_IPV6:
                raise ports.refused(error, mapping, address, mapping.host_port) from error
            return
        if probe is not None:
            probe.close()

    def bind(self, config: ContainerConfig) -> ports.BoundPorts:
        """Take a container's published ports with real sockets; the shim is to hold them.

        Raises:
            ConflictError: A port is in use; the message says by whom.
            EngineError: An address is not this machine's, or the kernel refused.
        """
        if config.network_mode != "bridge" or not config.ports:
            return ports.BoundPorts()
        db = self._database.connection()
        target = leasing.publishing_network(db, config)
        if target is None:
            return ports.BoundPorts()
        return ports.bind(config.ports, network_options.parse(target).host_binding, self._holder)

    def publish(
        self,
        container: str,
        published: Sequence[PublishedPort],
        setups: Sequence[EndpointSetup],
        name: str = "",
    ) -> None:
        """Lead published ports to the container, in one transaction; what it published before is replaced.

        Args:
            container: Container id.
            published: `BoundPorts.ports`.
            setups: Its endpoints.
            name: Its name, for messages about a port in use.
        """
        db = self._database.connection()
        if not published and not records.translations(db, container):
            return
        items = translations(published, setups)
        with self._database.transaction() as writer:
            before = records.translations(writer, container)
            records.drop_ports(writer, [container])
            records.add_ports(writer, container, name or container[:12], items)
            self._table.publish(writer, before, items)
        forget_flows({item.host_port for item in items if item.protocol == "udp"})

    def unpublish(self, container: str) -> None:
        """Stop leading its ports to a container, in the kernel and wherever else they are served."""
        for tell in self.on_unpublish:
            tell(container)
        db = self._database.connection()
        if not records.translations(db, container):
            return
        with self._database.transaction() as writer:
            before = records.translations(writer, container)
            records.drop_ports(writer, [container])
            self._table.publish(writer, before)
        forget_flows({item.host_port for item in before if item.protocol == "udp"})

    def publishers(self) -> Collection[str]:
        """Ids of the containers whose ports are published."""
        return records.publishers(self._database.connection())

    def _holder(self, protocol: str, port: int) -> str:
        _, name = records.publisher(self._database.connection(), protocol, port)
        return f"container {name}" if name else ports.process_with(protocol, port)

    @staticmethod
    def names(states: Iterable[ContainerState]) -> dict[str, Zone]:
        """The DNS names of all networks these containers are on, for `Resolver.set_zones`."""
        return zones(states)

    @staticmethod
    def host_gateway(setups: Sequence[EndpointSetup]) -> str:
        """The host's address as a container with these endpoints sees it, or empty."""
        for setup in sorted(setups, key=lambda setup: not setup.gateways):
            if setup.gateway and setup.driver == "bridge":
                return setup.gateway
        return ""

    # -- kernel --------------------------------------------------------------------------------------------

    def _socket(self) -> socket.socket:
        if self._netlink is None:
            self._netlink = open_netlink()
        return self._netlink


def _machine() -> str:
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id", "/proc/sys/kernel/hostname"):
        with contextlib.suppress(OSError), open(path, encoding="utf-8") as file:
            text = file.read().strip()
            if text:
                return text
    raise EngineError("this machine has neither a machine id nor a host name")
