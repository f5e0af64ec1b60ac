"""A configuration as the launch document has it: numbers, masks and paths, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest

from composer.engine import DEFAULT_CAPABILITIES, ContainerConfig, Mount, Process, Resources, Rlimit
from composer.errors import EngineError, UnsupportedError
from composer.namespaces.capabilities import mask
from composer.namespaces.kernel import constants as c
from composer.namespaces.launch import cgroup_path, compile_launch
from composer.state.paths import Paths

BASE = ContainerConfig(
    id="ab" * 32, name="n", project="shop", layers=("/l1", "/l2"), process=Process(("true",))
)


@pytest.fixture
def compiled(tmp_path):
    paths = Paths(tmp_path / "lib", tmp_path / "run")

    def call(**changes):
        process = {
            key: changes.pop(key)
            for key in list(changes)
            if key in Process.__dataclass_fields__ and key != "privileged"
        }
        config = dataclasses.replace(BASE, process=dataclasses.replace(BASE.process, **process), **changes)
        pids = {"cd" * 32: 77}
        volumes = {
            mount.source: str(paths.volumes / mount.source / "_data")
            for mount in config.mounts
            if mount.type == "volume"
        }
        return compile_launch(config, paths, volumes=volumes, pids=pids)

    return call


def mounts(launch):
    return {mount["target"]: mount for mount in launch["mounts"]}


def test_dockers_default_capabilities_are_its_mask():
    assert mask(DEFAULT_CAPABILITIES) == 0xA80425FB


@pytest.mark.parametrize("name", ["CAP_NET_RAW", "net_raw", "NET_RAW"])
def test_capabilities_are_known_in_every_spelling(name):
    assert mask([name]) == 1 << 13


def test_an_unknown_capability_is_named():
    with pytest.raises(EngineError, match="FLY"):
        mask(["FLY"])


def test_privileged_has_everything_and_hides_nothing(compiled):
    launch = compiled(privileged=True)
    assert launch["masked"] == launch["readonly"] == []
    assert launch["process"]["program"] == b""
    assert launch["process"]["capabilities"] & 1 << 21
    assert launch["cgroup"]["resources"]["devices"] == ["a *:* rwm"]
    assert not mounts(launch)["/sys"]["attributes"] & c.MOUNT_ATTR_RDONLY


def test_the_default_is_confined(compiled):
    launch = compiled()
    assert "/proc/kcore" in launch["masked"]
    assert "/proc/sys" in launch["readonly"]
    assert launch["process"]["program"]
    assert mounts(launch)["/sys"]["attributes"] & c.MOUNT_ATTR_RDONLY
    assert launch["clone"] == c.CLONE_NEWNS | c.CLONE_NEWUTS | c.CLONE_NEWIPC | c.CLONE_NEWPID
    assert launch["unshare"] == c.CLONE_NEWCGROUP


@pytest.mark.parametrize(
    ("changes", "absent"),
    [
        ({"pid_mode": "host"}, c.CLONE_NEWPID),
        ({"uts_mode": "host"}, c.CLONE_NEWUTS),
        ({"ipc_mode": "host"}, c.CLONE_NEWIPC),
        ({"ipc_mode": "container:" + "cd" * 32}, c.CLONE_NEWIPC),
        ({"pid_mode": "container:" + "cd" * 32}, c.CLONE_NEWPID),
    ],
)
def test_shared_namespaces_are_not_made(compiled, changes, absent):
    assert not compiled(**changes)["clone"] & absent


def test_unconfined_options_are_understood(compiled):
    launch = compiled(
        security_opt=(
            "seccomp=unconfined",
            "systempaths=unconfined",
            "no-new-privileges:true",
            "apparmor=unconfined",
            "label=disable",
        )
    )
    assert launch["process"]["program"] == b""
    assert launch["masked"] == []
    assert launch["process"]["no_new_privileges"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"security_opt": ("magic=1",)}, "magic"),
        ({"rlimits": (Rlimit("teeth", 1, 1),)}, "teeth"),
        ({"rlimits": (Rlimit("nofile", 5, 4),)}, "above"),
        ({"env": ("=x",)}, "environment"),
        ({"env": ("A=\0",)}, "environment"),
        ({"cwd": "relative"}, "absolute"),
        ({"args": ()}, "no command"),
        ({"stop_signal": "SIGNOPE"}, "SIGNOPE"),
        ({"hostname": "h" * 65}, "longer than 64"),
        ({"cgroup_parent": "/a/../.."}, "cgroup_parent"),
        ({"sysctls": {"kernel.panic": "1"}}, "kernel.panic"),
        ({"sysctls": {"net.ipv4.ip_forward": "1"}, "network_mode": "host"}, "ip_forward"),
        ({"mounts": (Mount("tmpfs", "/x", options=("colour=red",)),)}, "colour"),
        ({"mounts": (Mount("bind", "/x", "/y", propagation="sideways"),)}, "sideways"),
        ({"mounts": (Mount("bind", "x", "/y"),)}, "absolute"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(compiled, changes, words):
    with pytest.raises(EngineError, match=words) as caught:
        compiled(**changes)
    assert "\n" not in str(caught.value)


def test_user_namespaces_are_refused_by_name(compiled):
    with pytest.raises(UnsupportedError, match="auto"):
        compiled(userns_mode="auto")


def test_own_mounts_replace_the_default_ones(compiled):
    launch = compiled(
        mounts=(Mount("tmpfs", "/dev/shm", options=("size=1g",)), Mount("bind", "/etc/hosts", "/h"))
    )
    found = [mount["target"] for mount in launch["mounts"]]
    assert found.count("/dev/shm") == found.count("/etc/hosts") == 1
    assert mounts(launch)["/dev/shm"]["options"] == [["size", "1g"]]
    assert compiled(mounts=(Mount("bind", "/dev", "/dev"),))["own_dev"] is False


def test_tmpfs_words_are_attributes_and_options(compiled):
    mount = mounts(compiled(mounts=(Mount("tmpfs", "/x", options=("exec,size=5m", "mode=700")),)))["/x"]
    assert mount["options"] == [["size", "5m"], ["mode", "700"]]
    assert not mount["attributes"] & c.MOUNT_ATTR_NOEXEC
    assert mount["attributes"] & c.MOUNT_ATTR_NOSUID


def test_a_volume_is_filled_unless_told_otherwise(compiled):
    wanted = compiled(mounts=(Mount("volume", "/a", "v"), Mount("volume", "/b", "w", no_copy=True)))
    assert mounts(wanted)["/a"]["fill"]
    assert not mounts(wanted)["/b"]["fill"]


def test_limits_of_the_user_replace_ours(compiled):
    limits = {
        number: (soft, hard, name)
        for number, soft, hard, name in compiled(rlimits=(Rlimit("nofile", 5, 6),))["process"]["rlimits"]
    }
    assert limits[7] == (5, 6, "nofile")
    assert limits[6] == (-1, -1, "")


@pytest.mark.parametrize(
    ("root", "parent", "path"),
    [
        ("", "", "/composer/shop/" + "ab" * 32),
        ("/composer.slice/x.scope", "", "/composer.slice/x.scope/" + "ab" * 32),
        ("", "/mine", "/mine/" + "ab" * 32),
    ],
)
def test_the_cgroup_is_below_its_root(root, parent, path):
    from pathlib import Path

    config = dataclasses.replace(BASE, cgroup_parent=parent)
    assert cgroup_path(config, Paths(Path("/var/lib/composer"), Path("/run/composer")), root) == path


@pytest.mark.parametrize(
    ("changes", "about"),
    [
        ({"resources": Resources(cpuset_cpus="0,65000")}, "cpuset"),
        ({"resources": Resources(cpuset_cpus="first")}, "cpuset"),
        ({"stop_signal": "SIGFOO"}, "stop_signal"),
        ({"security_opt": ("nonsense=1",)}, "security_opt"),
        ({"security_opt": ("seccomp=/nowhere.json",)}, "security_opt"),
        ({"sysctls": {"vm.swappiness": "1"}}, "sysctls"),
        ({"hostname": "a" * 65}, "hostname"),
        ({"userns_mode": "remap"}, "userns_mode"),
    ],
)
def test_a_refusal_says_what_it_is_about(compiled, changes, about):
    with pytest.raises(EngineError) as caught:
        compiled(**changes)
    assert caught.value.about == about


def test_device_rules_of_the_service_are_allowed(compiled):
    launch = compiled(resources=Resources(device_rules=("c 10:200 rwm",)))
    assert launch["cgroup"]["resources"]["devices"] == ["c 10:200 rwm"]
