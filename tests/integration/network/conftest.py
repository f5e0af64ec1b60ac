"""A machine of our own for each test: a scratch network namespace, a remote host beside it, containers inside."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import socket
import subprocess
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import pytest

from composer.engine import Attachment, ContainerConfig, NetworkConfig, PortMapping, Process
from composer.namespaces.network import endpoint, netlink
from composer.namespaces.network.manager import NetworkManager
from composer.state.paths import Paths

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from composer.namespaces.network.setups import EndpointSetup

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEWNET = 0x40000000
_NUMBERS = itertools.count(1)


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Namespace:
    """A network namespace; sockets made inside stay inside."""

    def __init__(self) -> None:
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _check(_LIBC.unshare(_NEWNET))
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        self.sockets: list[socket.socket] = []
        _check(_LIBC.setns(before, _NEWNET))
        os.close(before)

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _check(_LIBC.setns(self.fd, _NEWNET))
        try:
            yield
        finally:
            _check(_LIBC.setns(before, _NEWNET))
            os.close(before)

    def run(self, *argv: str) -> str:
        with self.inside():
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def serve(self, port: int, protocol: str = "tcp", address: str = "") -> None:
        """Answer each connection or datagram with the client's address, until the namespace is closed."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.inside():
            kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
            sock = socket.socket(family, kind)
            sock.bind((address, port))
            if protocol == "tcp":
                sock.listen()
        self.sockets.append(sock)
        target = _serve_tcp if protocol == "tcp" else _serve_udp
        threading.Thread(target=target, args=(sock,), daemon=True).start()

    def ask(self, address: str, port: int, protocol: str = "tcp", timeout: float = 2.0) -> str:
        """The address a server saw, or `timeout`, `refused`, `unreachable`."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
        with self.inside():
            sock = socket.socket(family, kind)
        with sock:
            sock.settimeout(timeout)
            try:
                sock.connect((address, port))
                sock.send(b"?")
                return sock.recv(100).decode() or "closed"
            except TimeoutError:
                return "timeout"
            except ConnectionRefusedError:
                return "refused"
            except OSError as error:
                return f"unreachable: {error}"

    def close(self) -> None:
        for sock in self.sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        os.close(self.fd)


def _serve_tcp(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, address = sock.accept()
            with client:
                client.sendall(address[0].encode())


def _serve_udp(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            data, address = sock.recvfrom(100)
            if not data:
                return
            sock.sendto(address[0].encode(), address)


class Container(Namespace):
    """What a shim would hold: a namespace, its endpoints and its bound ports."""

    def __init__(self, machine: Machine, config: ContainerConfig) -> None:
        super().__init__()
        self.machine = machine
        self.config = config
        machine.paths.container(config.id).mkdir(parents=True)
        self.setups = machine.manager.reserve(config, starting=True)
        self.bound = machine.manager.bind(config)
        self.ports = self.bound.ports
        machine.manager.publish(config.id, self.ports, self.setups, config.name)
        with self.inside():
            endpoint.setup_endpoints([setup.to_dict() for setup in self.setups], machine.netlink)

    @property
    def address(self) -> str:
        return self.setups[0].ipv4_address

    def finish(self) -> None:
        self.machine.manager.release(self.config.id)
        self.bound.close()
        for setup in self.setups:
            endpoint.remove_endpoint(setup.to_dict(), self.machine.netlink)
        self.machine.paths.container(self.config.id).rmdir()
        self.close()


class Machine(Namespace):
    """A host with an uplink (192.0.2.1) to a remote host (192.0.2.9) that routes everything back to it."""

    def __init__(self, home: Path) -> None:
        super().__init__()
        self.paths = Paths(home / "lib", home / "run")
        self.remote = Namespace()
        self.run("ip", "link", "set", "lo", "up")
        self.remote.run("ip", "link", "set", "lo", "up")
        link = ["type", "veth", "peer", "name", "eth0", "netns", f"/proc/self/fd/{self.remote.fd}"]
        with self.inside():
            subprocess.run(["ip", "link", "add", "up0", *link], check=True, pass_fds=[self.remote.fd])
        for namespace, name, number in ((self, "up0", 1), (self.remote, "eth0", 9)):
            namespace.run("ip", "addr", "add", f"192.0.2.{number}/24", "dev", name)
            namespace.run("ip", "addr", "add", f"2001:db8::{number}/64", "dev", name, "nodad")
            namespace.run("ip", "link", "set", name, "up")
        self.remote.run("ip", "route", "add", "default", "via", "192.0.2.1")
        self.remote.run("ip", "-6", "route", "add", "default", "via", "2001:db8::1")
        self.run("ip", "route", "add", "default", "via", "192.0.2.9")
        self.containers: list[Container] = []

    def __enter__(self) -> Self:
        self._before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _check(_LIBC.setns(self.fd, _NEWNET))
        self.netlink = netlink.open_netlink()
        self.manager = NetworkManager(self.paths)
        return self

    def __exit__(self, *_: object) -> None:
        for container in self.containers:
            with contextlib.suppress(OSError):
                container.close()
        self.manager.close()
        self.netlink.close()
        _check(_LIBC.setns(self._before, _NEWNET))
        os.close(self._before)
        self.remote.close()
        self.close()

    def network(self, name: str = "", **options: object) -> NetworkConfig:
        number = next(_NUMBERS)
        config = NetworkConfig(id=f"{number:012x}" + os.urandom(26).hex(), name=name or f"net{number}")
        config = replace(config, **options)  # type: ignore[arg-type]
        self.manager.create(config)
        return config

    def config(
        self, *networks: NetworkConfig | Attachment, ports: tuple[PortMapping, ...] = (), name: str = ""
    ) -> ContainerConfig:
        attachments = tuple(
            item if isinstance(item, Attachment) else Attachment(network=item.id) for item in networks
        )
        ident = os.urandom(32).hex()
        return ContainerConfig(
            id=ident,
            name=name or f"c-{ident[:6]}",
            process=Process(args=("true",)),
            attachments=attachments,
            ports=ports,
        )

    def container(
        self, *networks: NetworkConfig | Attachment, ports: tuple[PortMapping, ...] = (), name: str = ""
    ) -> Container:
        made = Container(self, self.config(*networks, ports=ports, name=name))
        self.containers.append(made)
        return made

    def setups(self, container: Container) -> tuple[EndpointSetup, ...]:
        return container.setups


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with Machine(tmp_path) as made:
        yield made
