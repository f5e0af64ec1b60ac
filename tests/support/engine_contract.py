"""What any `Engine` must do: each case is run on the engine in memory and on the real one.

An engine in a test is only worth something while it behaves like the real one; this is what holds it to that.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from composer.engine import (
    Attachment,
    ContainerConfig,
    Mount,
    NetworkConfig,
    Process,
    RestartPolicy,
    VolumeConfig,
)
from composer.errors import ConflictError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

LOOP = ("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done")


def identity(*names):
    """64 hex digits that nobody else on this machine has: bridges are named by the first twelve."""
    return hashlib.sha256("/".join(names).encode()).hexdigest()


class Contract:
    """Mixed into a test class that has `run`, which calls `case(engine, layers, project)` with an engine."""

    run: Callable[[Any], Any]

    @staticmethod
    def config(layers, project, name="a", **more):
        more.setdefault("process", Process(args=LOOP, env=("PATH=/bin:/usr/bin",)))
        more.setdefault("network_mode", "none")
        return ContainerConfig(
            identity(project, name),
            f"{project}-{name}",
            project=project,
            layers=layers,
            **more,
        )

    def test_life_of_a_container(self):
        async def case(engine, layers, project):
            config = self.config(layers, project)
            assert (await engine.create(config)).status == "created"
            started = await engine.start(config.id)
            assert started.status == "running"
            assert started.started_at > 0
            stopped = await engine.stop(config.id)
            assert stopped.status == "exited"
            assert stopped.stopped_by_user
            assert stopped.finished_at >= stopped.started_at
            again = await engine.start(config.id)
            assert again.started_at > started.started_at
            await engine.remove(config.id, force=True)
            assert list(await engine.containers(project)) == []

        self.run(case)

    def test_a_name_is_taken_once(self):
        async def case(engine, layers, project):
            config = self.config(layers, project)
            await engine.create(config)
            with pytest.raises(ConflictError):
                await engine.create(replace(config, id="f" * 64))
            await engine.remove(config.id)

        self.run(case)

    def test_what_is_not_there(self):
        async def case(engine, layers, project):
            for action in (engine.start, engine.stop, engine.remove, engine.wait):
                with pytest.raises(NotFoundError):
                    await action("e" * 64)
            with pytest.raises(NotFoundError):
                await engine.remove_volume(f"{project}-nothing")

        self.run(case)

    def test_starting_what_runs_and_stopping_what_does_not_changes_nothing(self):
        async def case(engine, layers, project):
            config = self.config(layers, project)
            await engine.create(config)
            first = await engine.start(config.id)
            assert (await engine.start(config.id)).started_at == first.started_at
            await engine.stop(config.id)
            assert (await engine.stop(config.id)).status == "exited"
            await engine.remove(config.id)

        self.run(case)

    def test_what_runs_is_not_removed_without_force(self):
        async def case(engine, layers, project):
            config = self.config(layers, project)
            await engine.create(config)
            await engine.start(config.id)
            with pytest.raises(ConflictError):
                await engine.remove(config.id)
            await engine.remove(config.id, force=True)

        self.run(case)

    def test_kill_needs_something_that_runs(self):
        async def case(engine, layers, project):
            config = self.config(layers, project)
            await engine.create(config)
            with pytest.raises(ConflictError):
                await engine.kill(config.id)
            await engine.start(config.id)
            await engine.kill(config.id)
            assert (await engine.wait(config.id)).exit_code == 137
            await engine.remove(config.id)

        self.run(case)

    def test_a_rename_is_seen_at_once_and_does_not_take_a_name(self):
        async def case(engine, layers, project):
            one, two = self.config(layers, project, "one"), self.config(layers, project, "two")
            await engine.create(one)
            await engine.create(two)
            with pytest.raises(ConflictError):
                await engine.rename(one.id, two.name)
            await engine.rename(one.id, f"{project}-three")
            names = {state.name for state in await engine.containers(project)}
            assert names == {two.name, f"{project}-three"}
            for config in (one, two):
                await engine.remove(config.id)

        self.run(case)

    def test_pause_and_unpause(self):
        async def case(engine, layers, project):
            config = self.config(layers, project)
            await engine.create(config)
            await engine.start(config.id)
            await engine.pause(config.id)
            assert (await engine.containers(project))[0].status == "paused"
            await engine.unpause(config.id)
            assert (await engine.containers(project))[0].status == "running"
            await engine.remove(config.id, force=True)

        self.run(case)

    def test_execute_needs_something_that_runs(self):
        async def case(engine, layers, project):
            config = self.config(layers, project)
            await engine.create(config)
            with pytest.raises(ConflictError):
                await engine.execute(config.id, Process(args=("true",)))
            await engine.start(config.id)
            assert (await engine.execute(config.id, Process(args=("true",))))[0] == 0
            await engine.remove(config.id, force=True)

        self.run(case)

    def test_events_say_what_happened(self):
        async def case(engine, layers, project):
            config = self.config(layers, project)
            seen = []
            async with engine.events(project) as events:
                await engine.create(config)
                await engine.start(config.id)
                await engine.stop(config.id)
                await engine.remove(config.id)
                with anyio.fail_after(10):
                    async for event in events:
                        seen.append((event.action, event.state.status))
                        if event.action == "destroy":
                            break
            actions = [action for action, _ in seen]
            for action in ("create", "start", "stop", "destroy"):
                assert action in actions, seen
            assert ("start", "running") in seen

        self.run(case)

    def test_other_projects_are_not_shown(self):
        async def case(engine, layers, project):
            config = self.config(layers, project)
            await engine.create(config)
            assert list(await engine.containers(f"{project}-other")) == []
            assert [state.id for state in await engine.containers(project)] == [config.id]
            await engine.remove(config.id)

        self.run(case)

    def test_life_of_a_network(self):
        async def case(engine, layers, project):
            network = NetworkConfig(identity(project), f"{project}_net", project=project)
            made = await engine.create_network(network)
            assert made.config.name == network.name
            with pytest.raises(ConflictError):
                await engine.create_network(replace(network, id="d" * 64))
            config = self.config(
                layers, project, network_mode="bridge", attachments=(Attachment(network.id, ("web",)),)
            )
            await engine.create(config)
            with pytest.raises(ConflictError):
                await engine.remove_network(network.id)
            started = await engine.start(config.id)
            assert [item.network for item in started.endpoints] == [network.id]
            await engine.remove(config.id, force=True)
            await engine.remove_network(network.id)
            assert list(await engine.networks(project)) == []

        self.run(case)

    def test_a_stopped_container_changes_networks(self):
        """What making a network anew rests on."""

        async def case(engine, layers, project):
            network = NetworkConfig(identity(project), f"{project}_net", project=project)
            await engine.create_network(network)
            joined = Attachment(network.id, ("web",))
            config = self.config(layers, project, network_mode="bridge", attachments=(joined,))
            await engine.create(config)
            await engine.start(config.id)
            await engine.stop(config.id)
            await engine.disconnect(config.id, network.id)
            await engine.remove_network(network.id)
            await engine.create_network(replace(network, internal=True))
            await engine.connect(config.id, joined)
            started = await engine.start(config.id)
            assert [item.network for item in started.endpoints] == [network.id]
            await engine.remove(config.id, force=True)
            await engine.remove_network(network.id)

        self.run(case)

    def test_life_of_a_volume(self):
        async def case(engine, layers, project):
            volume = VolumeConfig(f"{project}_data", project=project, labels={"a": "b"})
            made = await engine.create_volume(volume)
            assert (await engine.create_volume(volume)).mountpoint == made.mountpoint
            config = self.config(layers, project, mounts=(Mount("volume", "/data", volume.name),))
            await engine.create(config)
            with pytest.raises(ConflictError):
                await engine.remove_volume(volume.name)
            await engine.remove(config.id, volumes=True)
            assert [item.config.name for item in await engine.volumes(project)] == [volume.name]
            await engine.remove_volume(volume.name)
            assert list(await engine.volumes(project)) == []

        self.run(case)

    def test_anonymous_volumes_go_with_their_container_on_request(self):
        async def case(engine, layers, project):
            volume = VolumeConfig(f"{project}-anonymous", project=project, anonymous=True)
            for volumes, left in ((False, 1), (True, 0)):
                await engine.create_volume(volume)
                config = self.config(layers, project, mounts=(Mount("volume", "/data", volume.name),))
                await engine.create(config)
                await engine.remove(config.id, volumes=volumes)
                assert len(await engine.volumes(project)) == left

        self.run(case)

    def test_a_container_that_ends_is_waited_for(self):
        async def case(engine, layers, project):
            config = self.config(layers, project, restart=RestartPolicy())
            await engine.create(config)
            await engine.start(config.id)

            async def end():
                await anyio.sleep(0.05)
                await engine.kill(config.id)

            async with anyio.create_task_group() as group:
                group.start_soon(end)
                assert (await engine.wait(config.id)).status == "exited"
            await engine.remove(config.id)

        self.run(case)
