"""Many rounds of everything leave nothing behind: no process, mount, link, cgroup, table or descriptor."""

from __future__ import annotations

import os
import secrets

import anyio
import pytest

from composer.engine import Attachment, Healthcheck, NetworkConfig, PortMapping
from composer.namespaces.engine import open_engine

pytestmark = pytest.mark.root

ROUNDS = 25


def test_rounds_of_networked_containers_leave_nothing(laboratory):
    """`composer_home` looks at the kernel afterwards; here the engine's own descriptors are counted."""

    async def body():
        counts = []
        async with open_engine(laboratory.paths) as engine:
            for number in range(ROUNDS):
                network = NetworkConfig(
                    secrets.token_hex(32), f"{laboratory.project}_net", laboratory.project
                )
                await engine.create_network(network)
                configs = [
                    laboratory.config(
                        "sleep", "100", network_mode="bridge", attachments=(Attachment(network.id, ("web",)),),
                        ports=(PortMapping(80),), healthcheck=Healthcheck(("CMD", "true")),
                    )
                    for _ in range(2)
                ]  # fmt: skip
                async with engine.events(laboratory.project) as events:
                    async with anyio.create_task_group() as tasks:
                        for config in configs:
                            await engine.create(config)
                            tasks.start_soon(engine.start, config.id)
                    healthy = set()
                    with anyio.fail_after(20):
                        async for event in events:
                            if event.state.health == "healthy":
                                healthy.add(event.container)
                            if len(healthy) == len(configs):
                                break
                for config in configs:
                    await engine.remove(config.id, force=True)
                await engine.remove_network(network.id)
                if number >= 2:
                    zygote = len(os.listdir(f"/proc/{engine.zygote.pid}/fd"))
                    counts.append((len(os.listdir("/proc/self/fd")), zygote))
        return counts

    counts = anyio.run(body)
    # Other tests of this worker may still close theirs while the first rounds run.
    assert counts[-1][0] <= counts[0][0]
    assert counts[-1][1] <= counts[0][1]


def test_hundreds_of_published_ports_are_held_and_given_back(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            network = NetworkConfig(secrets.token_hex(32), f"{laboratory.project}_net", laboratory.project)
            await engine.create_network(network)
            config = laboratory.config(
                "sleep", "100", network_mode="bridge", attachments=(Attachment(network.id),),
                ports=tuple(PortMapping(1000 + number) for number in range(300)),
            )  # fmt: skip
            await engine.create(config)
            state = await engine.start(config.id)
            held, fds = await engine.port_sockets(config.id)
            for fd in fds:
                os.close(fd)
            await engine.remove(config.id, force=True)
            await engine.remove_network(network.id)
            return len(state.ports), len(held), len(fds)

    ports, held, fds = anyio.run(body)
    assert ports == held == fds >= 300
