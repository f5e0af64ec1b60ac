"""Who may die: engine, zygote and shim are killed, and containers, logs and policies go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import anyio
import pytest

from composer.engine import Process, RestartPolicy
from composer.errors import ConflictError
from composer.namespaces.engine import open_engine
from composer.namespaces.shim.state import start_time
from composer.state.files import write_json
from composer.values import to_json

# ruff: noqa: ASYNC220, ASYNC221, ASYNC230, ASYNC240 - the test may block, it is alone
pytestmark = pytest.mark.root


def shim_pid(laboratory, container_id):
    state = json.loads((laboratory.paths.container_run(container_id) / "state.json").read_text())
    return state["shim"]["pid"]


def test_a_container_outlives_its_engine_and_is_found_again(laboratory):
    config = laboratory.config("sh", "-c", "while :; do echo tick; sleep 0.05; done")
    script = (
        "import anyio, os, sys, json\n"
        "from pathlib import Path\n"
        "from composer.engine import ContainerConfig\n"
        "from composer.namespaces.engine import open_engine\n"
        "from composer.state.paths import Paths\n"
        "from composer.values import from_json\n"
        "async def main():\n"
        "    paths = Paths(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "    config = from_json(ContainerConfig, json.loads(sys.argv[3]))\n"
        "    async with open_engine(paths) as engine:\n"
        "        await engine.create(config)\n"
        "        await engine.start(config.id)\n"
        "        os.kill(os.getpid(), 9)\n"
        "anyio.run(main)\n"
    )
    paths = laboratory.paths
    done = subprocess.run(
        [sys.executable, "-c", script, paths.root, paths.run, json.dumps(to_json(config))], check=False
    )
    assert done.returncode == -signal.SIGKILL

    async def body():
        async with open_engine(paths) as engine:
            [state] = await engine.containers(laboratory.project)
            assert state.status == "running"
            before = len(laboratory.log(config.id))
            async with engine.events(laboratory.project) as events:
                await anyio.sleep(0.3)
                assert len(laboratory.log(config.id)) > before
                assert await engine.execute(config.id, Process(("echo", "hi"))) == (0, b"hi\n")
                await engine.kill(config.id)
                with anyio.fail_after(5):
                    async for event in events:
                        if event.action == "die":
                            break
            await engine.remove(config.id)

    anyio.run(body)


def test_a_killed_shim_takes_its_container_along_and_the_policy_is_applied(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            always = laboratory.config("sleep", "100", restart=RestartPolicy("always"))
            never = laboratory.config("sleep", "100")
            async with engine.events(laboratory.project) as events:
                pids = {}
                for config in (always, never):
                    await engine.create(config)
                    pids[config.id] = (await engine.start(config.id)).pid
                for config in (always, never):
                    os.kill(shim_pid(laboratory, config.id), signal.SIGKILL)
                seen = set()
                with anyio.fail_after(10):
                    async for event in events:
                        seen.add((event.container, event.action))
                        if {(always.id, "restart"), (never.id, "die")} <= seen:
                            break
                for pid in pids.values():
                    assert (
                        not os.path.exists(f"/proc/{pid}") or b"Z" in open(f"/proc/{pid}/stat", "rb").read()
                    )
                states = {state.id: state for state in await engine.containers(laboratory.project)}
                assert (states[always.id].status, states[always.id].restart_count) == ("running", 1)
                assert (states[never.id].status, states[never.id].exit_code) == ("exited", 137)
                for config in (always, never):
                    await engine.remove(config.id, force=True)

    anyio.run(body)


def test_a_killed_zygote_is_started_again(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            await laboratory.finish(engine, laboratory.config("true"))
            os.kill(engine.zygote.pid, signal.SIGKILL)
            await anyio.sleep(0.1)
            state, _ = await laboratory.finish(engine, laboratory.config("sh", "-c", "exit 4"))
            assert state.exit_code == 4

    anyio.run(body)


def test_after_a_reboot_a_running_container_is_known_as_exited_and_starts_again(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config("sleep", "100")
            await engine.create(config)
            await engine.start(config.id)
        os.kill(shim_pid(laboratory, config.id), signal.SIGKILL)
        subprocess.run(["rm", "-rf", laboratory.paths.container_run(config.id)], check=True)
        async with open_engine(laboratory.paths) as engine:
            [state] = await engine.containers(laboratory.project)
            assert (state.status, state.exit_code) == ("exited", 255)
            assert (await engine.start(config.id)).status == "running"
            await engine.remove(config.id, force=True)

    anyio.run(body)


def test_a_recycled_pid_is_never_taken_for_a_shim(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config("sleep", "100")
            await engine.create(config)
            await engine.start(config.id)
            await engine.stop(config.id, timeout=0)
            path = laboratory.paths.container_run(config.id) / "state.json"
            await anyio.sleep(0.2)
            values = json.loads(path.read_text())
            stranger = subprocess.Popen(["sleep", "100"])
            try:
                values["status"] = "running"
                values["pid"] = stranger.pid
                values["shim"]["pid"] = stranger.pid
                assert values["shim"]["start"] != start_time(stranger.pid)
                write_json(path, values)
                with pytest.raises(ConflictError):
                    await engine.kill(config.id)
                await engine.remove(config.id, force=True)
                assert stranger.poll() is None
            finally:
                stranger.kill()
                stranger.wait()

    anyio.run(body)


def test_thirty_starts_and_removals_at_once_leave_nothing(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            configs = [laboratory.config("sleep", "100") for _ in range(30)]
            before = time.monotonic()
            async with anyio.create_task_group() as tasks:
                for config in configs:
                    await engine.create(config)
                    tasks.start_soon(engine.start, config.id)
            started = time.monotonic() - before
            assert {state.status for state in await engine.containers(laboratory.project)} == {"running"}
            async with anyio.create_task_group() as tasks:
                for config in configs:
                    tasks.start_soon(lambda identity=config.id: engine.remove(identity, force=True))
            assert await engine.containers(laboratory.project) == []
            return started

    print(f"30 starts: {anyio.run(body):.3f} s")


def test_a_shim_that_lost_its_agent_calls_another_one_in_the_hosts_network(laboratory, tmp_path):
    called = tmp_path / "called"
    agent = tmp_path / "agent"
    agent.write_text(
        f"#!/bin/sh\nreadlink /proc/self/ns/net > {called}.new; echo $1 >> {called}.new; mv {called}.new {called}\n"
    )
    agent.chmod(0o755)
    config = laboratory.config("sleep", "100")
    script = (
        "import anyio, os, sys, json\n"
        "from pathlib import Path\n"
        "from composer.engine import ContainerConfig\n"
        "from composer.namespaces.engine import open_engine\n"
        "from composer.state.paths import Paths\n"
        "from composer.values import from_json\n"
        "async def main():\n"
        "    paths = Paths(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "    config = from_json(ContainerConfig, json.loads(sys.argv[3]))\n"
        "    async with open_engine(paths, respawn=[sys.argv[4]]) as engine:\n"
        "        await engine.create(config)\n"
        "        await engine.start(config.id)\n"
        "        if sys.argv[5] == 'killed':\n"
        "            os.kill(os.getpid(), 9)\n"
        "anyio.run(main)\n"
    )
    arguments = [laboratory.paths.root, laboratory.paths.run, json.dumps(to_json(config)), agent]
    subprocess.run([sys.executable, "-c", script, *arguments, "killed"], check=False)
    deadline = time.monotonic() + 10
    while not called.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert called.read_text().split() == [os.readlink("/proc/self/ns/net"), laboratory.project]

    async def body():
        async with open_engine(laboratory.paths) as engine:
            await engine.remove(config.id, force=True)

    anyio.run(body)


def test_a_shim_that_was_left_on_purpose_calls_nobody(laboratory, tmp_path):
    called = tmp_path / "called"
    agent = tmp_path / "agent"
    agent.write_text(f"#!/bin/sh\ntouch {called}\n")
    agent.chmod(0o755)

    async def body():
        config = laboratory.config("sleep", "100")
        async with open_engine(laboratory.paths, respawn=[str(agent)]) as engine:
            await engine.create(config)
            await engine.start(config.id)
        await anyio.sleep(1.0)
        assert not called.exists()
        async with open_engine(laboratory.paths) as engine:
            await engine.remove(config.id, force=True)

    anyio.run(body)


def test_a_cancelled_start_leaves_no_running_container(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            configs = [laboratory.config("sleep", "100") for _ in range(6)]
            for index, config in enumerate(configs):
                await engine.create(config)
                with anyio.move_on_after(0.004 * index):
                    await engine.start(config.id)
                    continue
                [state] = [state for state in await engine.containers() if state.id == config.id]
                assert state.status in ("created", "exited")
            for config in configs:
                await engine.remove(config.id, force=True)

    anyio.run(body)
