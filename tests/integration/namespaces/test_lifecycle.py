"""Containers from create to remove: exit codes, failures, stop, restart, health, limits, leftovers."""

from __future__ import annotations

import os
import time
from contextlib import asynccontextmanager

import anyio
import pytest

from composer.engine import Healthcheck, LogConfig, Mount, Process, Resources, RestartPolicy, Rlimit
from composer.errors import (
    CannotInvokeError,
    CommandNotFoundError,
    ConflictError,
    EngineError,
    NotFoundError,
    UnsupportedError,
)
from composer.namespaces.engine import open_engine

pytestmark = pytest.mark.root


def run(function, *args):
    return anyio.run(function, *args)


@asynccontextmanager
async def started(laboratory, config):
    """The engine and its events from before the container of *config* was made; it is removed at the end."""
    async with (
        open_engine(laboratory.paths) as engine,
        engine.events(laboratory.project) as events,
    ):
        await engine.create(config)
        await engine.start(config.id)
        with anyio.fail_after(30):
            yield engine, events
        await engine.remove(config.id, force=True)


def test_exit_code_and_output_are_kept(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config("sh", "-c", "echo out; echo err >&2; exit 3")
            return await laboratory.finish(engine, config)

    state, output = run(body)
    assert (state.status, state.exit_code, sorted(output.split())) == ("exited", 3, ["err", "out"])


def test_a_signal_that_ends_it_is_128_and_its_number(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config("sleep", "100", stop_signal="SIGUSR1")
            await engine.create(config)
            await engine.start(config.id)
            await engine.kill(config.id, "SIGKILL")
            state = await engine.wait(config.id)
            await engine.remove(config.id)
            return state

    assert run(body).exit_code == 137


@pytest.mark.parametrize(
    ("args", "changes", "error", "words"),
    [
        (("nope",), {}, CommandNotFoundError, "not found"),
        (("/bin/nope",), {}, CommandNotFoundError, "no such file"),
        (("/etc/passwd",), {}, CannotInvokeError, "permission denied"),
        (("/etc",), {}, CannotInvokeError, "permission denied"),
        (("true",), {"user": "nobody-at-all"}, CannotInvokeError, "unable to find user"),
        (("true",), {"user": "4294967296"}, EngineError, "out of range"),
        (("true",), {"mounts": (Mount("bind", "/x", "/no/such/source"),)}, EngineError, "does not exist"),
        (("true",), {"mounts": (Mount("tmpfs", "/proc/self"),)}, EngineError, "invalid mount target"),
        (("true",), {"cwd": "/proc/self/fd/3"}, EngineError, "/proc/self/fd/3"),
        (("true",), {"layers": ("/no/such/layer",)}, EngineError, "missing"),
    ],
)
def test_what_fails_before_the_command_runs_is_one_error_and_leaves_nothing(
    laboratory, args, changes, error, words
):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config(*args, **changes)
            try:
                await engine.create(config)
                await engine.start(config.id)
            finally:
                try:
                    await engine.remove(config.id)
                except NotFoundError:
                    assert "layers" in changes

    with pytest.raises(error, match=words) as caught:
        run(body)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    "changes",
    [
        {"security_opt": ("apparmor=mine",)},
        {"userns_mode": "auto"},
        {"log": LogConfig("syslog")},
    ],
)
def test_what_is_not_there_is_refused_by_name_when_it_is_created(laboratory, changes):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            await engine.create(laboratory.config("true", **changes))

    with pytest.raises(UnsupportedError):
        run(body)


def test_a_name_is_given_once(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            import dataclasses

            first = laboratory.config("true")
            second = dataclasses.replace(laboratory.config("true"), name=first.name)
            await engine.create(first)
            try:
                with pytest.raises(ConflictError, match=first.name):
                    await engine.create(second)
                await engine.rename(first.id, first.name + "-old")
                await engine.create(second)
                await engine.remove(second.id)
            finally:
                await engine.remove(first.id)

    run(body)


def test_stop_sends_the_stop_signal_and_kills_after_the_grace_period(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            polite = laboratory.config(
                "sh", "-c", "trap 'exit 7' USR1; while :; do sleep 0.05; done", stop_signal="USR1"
            )
            deaf = laboratory.config(
                "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done", restart=RestartPolicy("always")
            )
            states = []
            for config, timeout in ((polite, None), (deaf, 0.3)):
                await engine.create(config)
                await engine.start(config.id)
                await anyio.sleep(0.2)
                states.append(await engine.stop(config.id, timeout=timeout))
                await engine.remove(config.id)
            return states

    first, second = run(body)
    assert (first.exit_code, second.exit_code) == (7, 137)
    assert second.status == "exited"
    assert second.stopped_by_user


def test_on_failure_restarts_as_often_as_allowed(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config("sh", "-c", "echo run; exit 2", restart=RestartPolicy("on-failure", 2))
            return await laboratory.finish(engine, config)

    state, output = run(body)
    assert (state.restart_count, state.exit_code, output) == (2, 2, "run\n" * 3)


def test_health_is_found_at_once_and_lost_again(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config(
                "sh", "-c", "sleep 0.1; touch /tmp/ok; sleep 0.4; rm /tmp/ok; sleep 100",
                healthcheck=Healthcheck(("CMD-SHELL", "test -e /tmp/ok || { echo gone; false; }"), interval=0.2, retries=2),
            )  # fmt: skip
            await engine.create(config)
            verdicts = []
            try:
                async with engine.events(laboratory.project) as events:
                    await engine.start(config.id)
                    with anyio.fail_after(20):
                        async for event in events:
                            if event.action == "health_status":
                                verdicts.append((event.state.health, event.state.health_log))
                            if len(verdicts) == 2:
                                break
            finally:
                await engine.remove(config.id, force=True)
            return verdicts

    assert run(body) == [("healthy", ""), ("unhealthy", "gone\n")]


def test_a_probe_that_hangs_is_killed(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config(
                "sleep",
                "100",
                healthcheck=Healthcheck(("CMD", "sleep", "50"), interval=0.1, timeout=0.1, retries=1),
            )
            await engine.create(config)
            try:
                async with engine.events(laboratory.project) as events:
                    await engine.start(config.id)
                    with anyio.fail_after(20):
                        async for event in events:
                            if event.state.health == "unhealthy":
                                return event.state.health_log, await engine.execute(
                                    config.id, Process(("sh", "-c", "ps -o args | grep -cx 'sleep 50'"))
                                )
            finally:
                await engine.remove(config.id, force=True)

    log, (_, count) = run(body)
    assert "exceeded timeout" in log
    assert int(count) <= 1  # the next probe, never the one before


def test_the_out_of_memory_killer_is_reported(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config(
                "sh",
                "-c",
                "x=a; while :; do x=$x$x; done",
                resources=Resources(memory=32 << 20, memory_swap=32 << 20),
            )
            return await laboratory.finish(engine, config)

    state, _ = run(body)
    assert (state.oom_killed, state.exit_code) == (True, 137)


def test_a_fork_bomb_stays_in_its_limit_and_ends_at_once(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config(
                "sh",
                "-c",
                "bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done",
                resources=Resources(pids=64),
            )
            await engine.create(config)
            await engine.start(config.id)
            await anyio.sleep(0.5)
            stats = await engine.stats(config.id)
            before = time.monotonic()
            await engine.stop(config.id, timeout=0)
            await engine.remove(config.id)
            return stats.pids, time.monotonic() - before

    pids, seconds = run(body)
    assert pids <= 64
    assert seconds < 5


def test_pause_freezes_and_unpause_thaws(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config("sh", "-c", "while :; do echo tick; sleep 0.02; done")
            await engine.create(config)
            await engine.start(config.id)
            try:
                await anyio.sleep(0.1)
                await engine.pause(config.id)
                [paused] = [s for s in await engine.containers() if s.id == config.id]
                assert paused.status == "paused"
                with pytest.raises(ConflictError, match="paused"):
                    await engine.execute(config.id, Process(("true",)))
                await anyio.sleep(0.1)
                before = len(laboratory.log(config.id))
                await anyio.sleep(0.2)
                assert len(laboratory.log(config.id)) == before
                await engine.unpause(config.id)
                await anyio.sleep(0.2)
                assert len(laboratory.log(config.id)) > before
            finally:
                await engine.remove(config.id, force=True)

    run(body)


def test_logs_are_rotated_and_bounded(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config(
                "sh", "-c", "yes 0123456789 | head -c 3000000",
                log=LogConfig("json-file", {"max-size": "100k", "max-file": "2"}),
            )  # fmt: skip
            await engine.create(config)
            await engine.start(config.id)
            await engine.wait(config.id)
            directory = laboratory.paths.container(config.id)
            sizes = {
                entry.name: entry.stat().st_size for entry in os.scandir(directory) if "log" in entry.name
            }
            await engine.remove(config.id)
            return sizes

    sizes = run(body)
    assert set(sizes) == {"container.log", "container.log.1"}
    # One read's worth is written whole.
    assert all(size < 1_000_000 for size in sizes.values())


@pytest.mark.parametrize("restart", [RestartPolicy(), RestartPolicy("on-failure", 2)])
def test_an_oom_kill_is_told_when_it_happens(laboratory, restart):
    """A worker that is killed ends nothing: the container runs on, and its state says what happened."""
    hungry = "head -c 100m /dev/zero | tail -c 100m >/dev/null"

    async def body():
        config = laboratory.config(
            "sh", "-c", f"({hungry}) & sleep 1000", restart=restart,
            resources=Resources(memory=16 << 20, memory_swap=16 << 20),
        )  # fmt: skip
        async with started(laboratory, config) as (engine, events):
            async for event in events:
                if event.action == "oom":
                    break
            return event.state, engine.store.state(config.id)

    told, seen = run(body)
    assert (told.status, told.oom_killed) == ("running", True)
    assert (seen.status, seen.oom_killed) == ("running", True)


def test_each_run_that_the_oom_killer_ends_is_told(laboratory):
    async def body():
        config = laboratory.config(
            "sh", "-c", "exec tail -c 100m /dev/zero",
            restart=RestartPolicy("on-failure", 2),
            resources=Resources(memory=16 << 20, memory_swap=16 << 20),
        )  # fmt: skip
        actions = []
        async with started(laboratory, config) as (_, events):
            async for event in events:
                actions.append(event.action)
                if event.action == "die":
                    assert event.state.oom_killed
                    if event.state.status == "exited":
                        break
        return [action for action in actions if action in ("oom", "die")]

    assert run(body) == ["oom", "die"] * 3


def test_init_reaps_and_passes_signals_and_exit_codes_on(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            script = "trap 'exit 9' TERM; (sleep 0.01 &) ; echo started; while :; do sleep 0.05; done"
            config = laboratory.config("sh", "-c", script, init=True)
            await engine.create(config)
            await engine.start(config.id)
            await anyio.sleep(0.3)
            _, processes = await engine.execute(config.id, Process(("ps", "-o", "pid,stat,args")))
            state = await engine.stop(config.id)
            await engine.remove(config.id)
            return processes.decode(), state

    processes, state = run(body)
    assert state.exit_code == 9
    assert " Z" not in processes
    assert processes.splitlines()[1].split()[2:6] == ["composer-init", "--", "sh", "-c"]


@pytest.mark.parametrize("more", [(), ("x" * 90,) * 60])
def test_what_we_run_in_a_container_shows_nothing_of_the_host(laboratory, more):
    arguments = ("sh", "-c", "sleep 100; exit", *more)

    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config(*arguments, init=True, privileged=True)
            await engine.create(config)
            await engine.start(config.id)
            command = "cat /proc/1/comm; tr '\\0' ' ' </proc/1/cmdline; echo; cat /proc/1/environ"
            _, shown = await engine.execute(config.id, Process(("sh", "-c", command), privileged=True))
            await engine.remove(config.id, force=True)
            return shown.decode()

    name, words, *environment = run(body).splitlines()
    assert name == "composer-init"
    assert words.startswith("composer-init -- sh -c sleep 100; exit")
    assert " ".join(("composer-init", "--", *arguments)).startswith(words.rstrip())
    assert "=" not in "".join(environment)


def test_limits_user_groups_and_environment_arrive(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config(
                "sh", "-c", "id -u; grep -E '^(Gid|Groups)' /proc/self/status; ulimit -n; ulimit -Hn; pwd; hostname; echo $HOME $HOSTNAME $A; umask; cat /proc/self/oom_score_adj",
                user="tester", groups=("4000",), env=("A=b",), cwd="/made/by/us", hostname="box",
                rlimits=(Rlimit("nofile", 99, 100),), oom_score_adj=321,
            )  # fmt: skip
            return await laboratory.finish(engine, config)

    _, output = run(body)
    assert output.splitlines() == [
        "1000", "Gid:\t1000\t1000\t1000\t1000", "Groups:\t1000 2000 4000 ", "99", "100", "/made/by/us", "box",
        "/home/tester box b", "0022", "321",
    ]  # fmt: skip


def test_descriptors_of_the_engine_do_not_pile_up(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            counts = []
            for _ in range(8):
                await laboratory.finish(engine, laboratory.config("true"))
                zygote = len(os.listdir(f"/proc/{engine.zygote.pid}/fd"))
                counts.append((len(os.listdir("/proc/self/fd")), zygote))
            return counts

    counts = run(body)
    assert counts[-1][0] <= counts[1][0]
    assert counts[-1][1] == counts[1][1]
