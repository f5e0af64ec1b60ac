"""The controller used as a library, in the caller's own process."""

from __future__ import annotations

import os
import time

import anyio
import anyio.to_thread
import pytest

from composer.app import open_local
from composer.controller.options import DownOptions, UpOptions
from composer.engine import Process
from composer.errors import ConflictError
from composer.spec.model import Project

pytestmark = pytest.mark.root

LOOP = ["sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"]


def test_a_program_looks_after_a_project(composer_home, busybox_image):
    name = f"lib{os.getpid()}x{time.monotonic_ns() % 100000}"
    service = {"image": busybox_image, "command": LOOP, "networks": {"default": None}}
    project = Project.from_canonical(
        {
            "name": name,
            "services": {"web": service, "db": service},
            "networks": {"default": {"name": f"{name}_default"}},
        }
    )

    async def main():
        async with open_local(composer_home.paths) as local, local.project(name) as controller:
            plan = await controller.plan_up(project, UpOptions())
            assert len(plan.changes) == 5
            events = []
            await controller.up(project, UpOptions(wait=True), events.append)
            assert f"{name}-web-1" in {event.name for event in events}
            assert (await controller.plan_up(project, UpOptions())).exit_code == 0
            web = next(
                state for state in await local.engine.containers(name) if state.config.service == "web"
            )
            with anyio.fail_after(10):
                code, output = await local.engine.execute(web.id, Process(("nslookup", "-type=a", "db")))
            assert code == 0, output
            async with open_local(composer_home.paths) as second:
                with pytest.raises(ConflictError, match="somebody else looks after project"):
                    async with second.project(name):
                        pass
            await controller.down(DownOptions(timeout=1))
            assert list(await local.engine.containers(name)) == []

    anyio.run(main)


def test_an_image_that_up_has_found_cannot_lose_its_layers(composer_home, busybox_image):
    """Somebody removes the image after `up` has found it, and before a container refers to it."""
    name = f"lib{os.getpid()}x{time.monotonic_ns() % 100000}"
    composer_home.run("image", "tag", busybox_image, f"{name}:1")
    (image,) = composer_home.run("image", "inspect", f"{name}:1").json()
    service = {"image": f"{name}:1", "command": LOOP, "network_mode": "none"}
    project = Project.from_canonical({"name": name, "services": {"web": service}})

    async def main():
        async with open_local(composer_home.paths) as local, local.project(name) as controller:
            create = local.engine.create

            async def removed_meanwhile(config):
                await anyio.to_thread.run_sync(
                    lambda: composer_home.run("image", "rm", "--force", image["Id"])
                )
                return await create(config)

            local.engine.create = removed_meanwhile
            await controller.up(project, UpOptions(wait=True))
            (web,) = await local.engine.containers(name)
            code, output = await local.engine.execute(web.id, Process(("echo", "alive")))
            assert (code, output) == (0, b"alive\n"), output
            await controller.down(DownOptions(timeout=1))

    anyio.run(main)
