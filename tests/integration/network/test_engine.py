"""Networks under the whole engine: zygote, shims and name service, on a scratch machine."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import pytest

from composer.engine import Attachment, ContainerConfig, NetworkConfig, PortMapping, Process
from composer.namespaces.engine import open_engine
from composer.namespaces.names import serve_names

pytestmark = pytest.mark.root


@pytest.fixture(scope="session")
def layer(busybox_rootfs, tmp_path_factory):
    directory = tmp_path_factory.mktemp("busybox")
    subprocess.run(["tar", "-xf", busybox_rootfs, "-C", directory], check=True)
    return str(directory)


class World:
    """An engine with its name service, and short ways to use both."""

    def __init__(self, machine, engine, names, layer):
        self.machine, self.engine, self._names, self._layer = machine, engine, names, layer

    async def network(self, name, **options):
        config = NetworkConfig(id=secrets.token_hex(32), name=name, **options)
        await self.engine.create_network(config)
        return config.id

    async def start(self, name, *networks, **options):
        attachments = tuple(
            item if isinstance(item, Attachment) else Attachment(network=item) for item in networks
        )
        config = ContainerConfig(
            id=secrets.token_hex(32),
            name=name,
            project="net",
            process=Process(args=("sh", "-c", "httpd -p 80 -h /etc; exec sleep 1000")),
            layers=(self._layer,),
            stop_signal="SIGKILL",
            attachments=attachments,
            **options,
        )
        await self.engine.create(config)
        state = await self.engine.start(config.id)
        await self.ready(state)
        await self.refresh()
        return state

    async def ready(self, container):
        code, _ = await self.sh(
            container, "until wget -qO/dev/null http://127.0.0.1/hostname; do sleep 0.02; done"
        )
        assert code == 0

    async def refresh(self):
        self._names.update(await self.engine.containers())
        await anyio.sleep(0.05)

    async def sh(self, container, command):
        code, output = await self.engine.execute(
            container.id, Process(args=("sh", "-c", command)), timeout=10
        )
        return code, output.decode()

    async def fetch(self, address, port):
        def work():
            with socket.create_connection((address, port), timeout=3) as sock:
                sock.sendall(b"GET /hostname HTTP/1.0\r\n\r\n")
                data = b""
                while chunk := sock.recv(4096):
                    data += chunk
                return data.decode().splitlines()[-1]

        return await anyio.to_thread.run_sync(work)


@asynccontextmanager
async def world(machine, layer):
    async with open_engine(machine.paths) as engine, serve_names(engine) as names:
        yield World(machine, engine, names, layer)


async def clean_up(it):
    for state in await it.engine.containers():
        await it.engine.remove(state.id, force=True)
    for network in await it.engine.networks():
        await it.engine.remove_network(network.config.id)


def test_names_ports_and_a_clean_end(machine, layer):
    async def run():
        async with world(machine, layer) as it:
            front = await it.network("front")
            web = await it.start(
                "net-web-1", Attachment(network=front, aliases=("web",)), ports=(PortMapping(80, 8080),)
            )
            other = await it.start("net-probe-1", front)
            for address in ("127.0.0.1", "192.0.2.1", "::1", "2001:db8::1"):
                assert await it.fetch(address, 8080) == web.id[:12]
            code, output = await it.sh(other, "wget -qO- http://web/hostname")
            assert (code, output.strip()) == (0, web.id[:12])
            code, _ = await it.sh(other, "nslookup -type=a net-web-1.front | grep 172.18.0.2")
            assert code == 0
            await it.engine.stop(web.id)
            await it.refresh()
            assert "8080" not in machine.run("nft", "list", "ruleset")
            code, output = await it.sh(other, "nslookup -type=a web")
            assert (code, "NXDOMAIN" in output) == (1, True)
            await it.ready(await it.engine.start(web.id))
            assert await it.fetch("127.0.0.1", 8080) == web.id[:12]
            await clean_up(it)
        assert machine.run("nft", "list", "ruleset") == ""
        with anyio.fail_after(2):
            while "veth" in machine.run("ip", "-br", "link", "show", "type", "veth").replace("up0", ""):  # noqa: ASYNC110
                await anyio.sleep(0.02)
        assert "br-" not in machine.run("ip", "link")

    anyio.run(run)


def test_joining_and_leaving_while_running(machine, layer):
    async def run():
        async with world(machine, layer) as it:
            front, back = await it.network("a-front"), await it.network("b-back")
            web = await it.start("net-web-1", Attachment(network=front, aliases=("web",)))
            other = await it.start("net-probe-1", back)
            assert (await it.sh(other, "wget -T 1 -qO- http://web/hostname"))[0] != 0
            await it.engine.connect(other.id, Attachment(network=front))
            await it.refresh()
            code, output = await it.sh(other, "wget -qO- http://web/hostname")
            assert (code, output.strip()) == (0, web.id[:12])
            assert "dev eth1" in (await it.sh(other, "ip route show default"))[1]
            _, before = await it.sh(other, "cat /etc/hosts")
            assert before.count(other.id[:12]) == 2
            await it.sh(other, "printf '192.0.2.9 mine' >>/etc/hosts")
            await it.engine.disconnect(other.id, front)
            await it.refresh()
            assert "dev eth0" in (await it.sh(other, "ip route show default"))[1]
            assert (await it.sh(other, "ip link show eth1"))[0] != 0
            lines = (await it.sh(other, "cat /etc/hosts"))[1].splitlines()
            assert [line.split()[0] for line in lines if other.id[:12] in line] == ["172.19.0.2"]
            assert lines[-1] == "192.0.2.9 mine"
            await clean_up(it)

    anyio.run(run)


def test_a_new_agent_serves_names_and_relays_again(machine, layer):
    async def run():
        async with world(machine, layer) as it:
            front = await it.network("front")
            web = await it.start("net-web-1", front, ports=(PortMapping(80, 8080),))
        assert await it.fetch("127.0.0.1", 8080) == web.id[:12]
        async with world(machine, layer) as it:
            await it.refresh()
            assert await it.fetch("::1", 8080) == web.id[:12]
            assert (await it.sh(web, "wget -qO- http://net-web-1/hostname"))[0] == 0
            await clean_up(it)

    anyio.run(run)


def test_ports_of_what_ended_unobserved_are_unpublished(machine, layer):
    async def run():
        async with world(machine, layer) as it:
            front = await it.network("front")
            web = await it.start("net-web-1", front, ports=(PortMapping(80, 8080),))
        os.kill(web.pid, signal.SIGKILL)
        assert "8080" in machine.run("nft", "list", "ruleset")
        await anyio.sleep(0.3)
        async with world(machine, layer) as it:
            assert "8080" not in machine.run("nft", "list", "ruleset")
            await clean_up(it)

    anyio.run(run)
