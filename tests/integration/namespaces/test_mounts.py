"""Volumes, binds, tmpfs, contents, read-only roots, devices, shared namespaces, build steps."""

from __future__ import annotations

import base64
import os

import anyio
import pytest

from composer.engine import Device, Mount, Process, VolumeConfig
from composer.errors import ConflictError, EngineError
from composer.namespaces.engine import open_engine

# ruff: noqa: ASYNC240 - the test may block, it is alone
pytestmark = pytest.mark.root


def finish(laboratory, *args, **changes):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            return await laboratory.finish(engine, laboratory.config(*args, **changes))

    return anyio.run(body)


def test_a_named_volume_is_filled_once_and_lasts(laboratory):
    name = f"{laboratory.project}-data"

    async def body():
        async with open_engine(laboratory.paths) as engine:
            await engine.create_volume(VolumeConfig(name, laboratory.project))
            mounts = (Mount("volume", "/data", name),)
            first = laboratory.config(
                "sh",
                "-c",
                "cat /data/seed; stat -c %u /data/seed /data; echo new > /data/seed",
                mounts=mounts,
            )
            second = laboratory.config("cat", "/data/seed", mounts=mounts)
            outputs = [(await laboratory.finish(engine, config))[1] for config in (first, second)]
            await engine.create(first)
            with pytest.raises(ConflictError, match="in use"):
                await engine.remove_volume(name)
            await engine.remove(first.id)
            await engine.remove_volume(name)
            return outputs

    assert anyio.run(body) == ["seed\n1000\n1000\n", "new\n"]


def test_anonymous_volumes_go_with_their_container_when_asked(laboratory):
    name = "a" * 40 + laboratory.project

    async def body():
        async with open_engine(laboratory.paths) as engine:
            await engine.create_volume(VolumeConfig(name, laboratory.project, anonymous=True))
            config = laboratory.config("true", mounts=(Mount("volume", "/data", name),))
            await engine.create(config)
            await engine.remove(config.id, volumes=True)
            return [state.config.name for state in await engine.volumes()]

    assert name not in anyio.run(body)


def test_binds_are_read_only_or_not_and_missing_sources_are_made_when_asked(laboratory, tmp_path):
    made = tmp_path / "made"
    (tmp_path / "file").write_text("text\n")
    mounts = (
        Mount("bind", "/rw", str(made), create_source=True),
        Mount("bind", "/ro", str(tmp_path), read_only=True),
        Mount("bind", "/etc/file", str(tmp_path / "file")),
    )
    _, output = finish(
        laboratory, "sh", "-c", "echo a > /rw/a; echo b 2>&1 > /ro/b; cat /etc/file; mount -o remount,rw /ro 2>&1", mounts=mounts
    )  # fmt: skip
    assert (made / "a").read_text() == "a\n"
    assert not (tmp_path / "b").exists()
    assert "text\n" in output
    assert "denied" in output or "not permitted" in output


@pytest.mark.parametrize("subpath", ["", "data"])
def test_an_image_is_mounted_read_only_whole_or_in_part(laboratory, tmp_path, subpath):
    extra = tmp_path / "extra"
    (extra / "data").mkdir(parents=True)
    (extra / "data" / "more").write_text("more\n")
    mounts = (Mount("image", "/other", layers=(str(laboratory.layer), str(extra)), subpath=subpath),)
    directory = "/other" if subpath else "/other/data"
    _, output = finish(
        laboratory, "sh", "-c", f"cat {directory}/seed {directory}/more; echo no > {directory}/new", mounts=mounts
    )  # fmt: skip
    assert output.startswith("seed\nmore\n")
    assert "Read-only file system" in output


def test_a_part_of_an_image_that_is_not_there_is_named(laboratory):
    mounts = (Mount("image", "/other", layers=(str(laboratory.layer),), subpath="none"),)
    with pytest.raises(EngineError, match="none does not exist in the image"):
        finish(laboratory, "true", mounts=mounts)


def test_contents_have_owner_and_mode(laboratory):
    content = base64.b64encode(b"secret").decode()
    mounts = (Mount("content", "/run/secrets/key", content=content, uid=1000, gid=5, mode=0o440),)
    _, output = finish(
        laboratory, "sh", "-c", "stat -c '%u %g %a' /run/secrets/key; cat /run/secrets/key", mounts=mounts
    )
    assert output == "1000 5 440\nsecret"


def test_a_read_only_root_keeps_its_tmpfs_writable(laboratory):
    mounts = (Mount("tmpfs", "/scratch", options=("size=1m", "mode=700", "uid=3")),)
    _, output = finish(
        laboratory, "sh", "-c", "touch /x 2>/dev/null || echo ro; touch /scratch/x && stat -c '%u %a' /scratch; touch /dev/shm/x && df -k /scratch | tail -1",
        mounts=mounts, read_only=True,
    )  # fmt: skip
    assert "ro\n3 700\n" in output
    assert "1024" in output


def test_devices_arrive_and_others_are_refused(laboratory):
    _, output = finish(
        laboratory,
        "sh",
        "-c",
        "ls -l /dev/mine; mknod /tmp/disk b 8 0 && cat /tmp/disk",
        devices=(Device("/dev/null", "/dev/mine"),),
    )
    assert "1,   3" in output
    assert "not permitted" in output


def test_a_missing_device_is_an_error(laboratory):
    with pytest.raises(EngineError, match="does not exist"):
        finish(laboratory, "true", devices=(Device("/dev/nope", "/dev/nope"),))


def test_sysctls_are_set_and_foreign_ones_refused(laboratory):
    _, output = finish(
        laboratory, "cat", "/proc/sys/net/core/somaxconn", sysctls={"net.core.somaxconn": "77"}
    )
    assert output == "77\n"
    with pytest.raises(EngineError, match=r"vm\.swappiness"):
        finish(laboratory, "true", sysctls={"vm.swappiness": "1"})


def test_namespaces_of_another_container_are_joined(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            first = laboratory.config("sleep", "100")
            await engine.create(first)
            await engine.start(first.id)
            await engine.execute(first.id, Process(("sh", "-c", "echo shm > /dev/shm/shared")))
            shared = f"container:{first.id}"
            script = (
                "ps | grep -c 'sleep 100'; for n in 1/ns/net self/ns/net 1/ns/ipc self/ns/ipc; do readlink /proc/$n; done;"
                " cat /dev/shm/shared"
            )
            second = laboratory.config(
                "sh", "-c", script, network_mode=shared, pid_mode=shared, ipc_mode=shared
            )
            try:
                state, output = await laboratory.finish(engine, second)
                orphan = laboratory.config("true", network_mode=shared)
                await engine.create(orphan)
                await engine.stop(first.id, timeout=0)
                with pytest.raises(ConflictError, match="not running"):
                    await engine.start(orphan.id)
                await engine.remove(orphan.id)
            finally:
                await engine.remove(first.id, force=True)
            return state.exit_code, output.splitlines()

    code, lines = anyio.run(body)
    assert code == 0
    assert lines[1] == lines[2]
    assert lines[3] == lines[4]
    assert lines[5] == "shm"


def test_the_hosts_namespaces_are_joined(laboratory):
    _, output = finish(
        laboratory, "sh", "-c", "for n in pid ipc uts net; do readlink /proc/self/ns/$n; done",
        network_mode="host", pid_mode="host", ipc_mode="host", uts_mode="host",
    )  # fmt: skip
    assert output.split() == [os.readlink(f"/proc/self/ns/{name}") for name in ("pid", "ipc", "uts", "net")]


def test_a_step_leaves_its_changes_and_nothing_else(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config("sh", "-c", "echo built; rm /data/seed; echo x > /new; exit 3")
            reader, writer = os.pipe()
            async with engine.step(config) as step:
                code = await step.run(writer)
                os.close(writer)
                upper = step.upper
                changes = (os.path.exists(f"{upper}/new"), os.stat(f"{upper}/data/seed").st_rdev)
            output = os.read(reader, 100)
            os.close(reader)
            return code, output, changes, os.path.exists(upper), await engine.containers()

    assert anyio.run(body) == (3, b"built\n", (True, 0), False, [])


def test_a_cancelled_step_is_killed(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config("sleep", "100")
            with anyio.fail_after(20):
                async with engine.step(config) as step:
                    with anyio.move_on_after(0.5) as scope:
                        await step.run(2)
            return scope.cancelled_caught

    assert anyio.run(body)


def test_a_step_that_cannot_start_says_why(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine, engine.step(laboratory.config("nope")) as step:
            await step.run(2)

    with pytest.raises(EngineError, match="not found"):
        anyio.run(body)


def test_privileged_sees_everything(laboratory):
    _, output = finish(
        laboratory, "sh", "-c", "grep -E 'CapEff|Seccomp:' /proc/self/status; ls /dev/kmsg; mkdir -p /mnt; mount -t tmpfs x /mnt && echo mounted; touch /proc/sys/kernel/hostname",
        privileged=True,
    )  # fmt: skip
    words = output.split()
    assert words[words.index("Seccomp:") + 1] == "0"
    assert "/dev/kmsg" in words
    assert "mounted" in words


def test_execute_collects_much_output(laboratory):
    async def body():
        async with open_engine(laboratory.paths) as engine:
            config = laboratory.config("sleep", "100")
            await engine.create(config)
            await engine.start(config.id)
            code, output = await engine.execute(
                config.id, Process(("sh", "-c", "yes | head -c 1000000; exit 2"))
            )
            await engine.remove(config.id, force=True)
            return code, len(output)

    assert anyio.run(body) == (2, 1_000_000)
