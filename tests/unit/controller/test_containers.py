"""A service and its image, turned into what an engine is asked for."""

from __future__ import annotations

import base64

import pytest

from composer.controller import capabilities, labels
from composer.engine import (
    CAPABILITIES,
    DEFAULT_CAPABILITIES,
    Attachment,
    Healthcheck,
    PortMapping,
    RestartPolicy,
)
from composer.errors import NotFoundError, SpecError, UnsupportedError
from composer.images.config import ImageConfig, ImageHealthcheck
from composer.images.store import Image
from tests.unit.controller.conftest import Machine, make_project, needs


def config(service=None, *, image=None, services=None, **top):
    project = make_project({"a": service or {}, **(services or {})}, **top)
    machine = Machine(
        project, images={"a": Image("sha256:x", image or ImageConfig(cmd=("run",)), (), 0, 0.0)}
    )
    machine.up(*(services or ()), replicas=None if services else 0)
    return machine.add("a", 7).config


def args(service, **image):
    return config(service, image=ImageConfig(**image)).process.args


class TestProcess:
    def test_the_image_says_what_to_run(self):
        assert args({}, entrypoint=("e",), cmd=("c",)) == ("e", "c")

    def test_command_replaces_cmd(self):
        assert args({"command": ["x"]}, entrypoint=("e",), cmd=("c",)) == ("e", "x")

    def test_entrypoint_also_drops_cmd(self):
        assert args({"entrypoint": ["x"]}, entrypoint=("e",), cmd=("c",)) == ("x",)

    def test_both(self):
        assert args({"entrypoint": ["x"], "command": ["y"]}, entrypoint=("e",), cmd=("c",)) == ("x", "y")

    def test_cleared_command(self):
        assert args({"command": []}, entrypoint=("e",), cmd=("c",)) == ("e",)

    def test_cleared_entrypoint(self):
        assert args({"entrypoint": [""], "command": ["y"]}, entrypoint=("e",)) == ("y",)

    def test_nothing_to_run(self):
        with pytest.raises(SpecError, match="has no command"):
            args({"entrypoint": []}, entrypoint=("e",), cmd=("c",))

    def test_environment_is_laid_over_the_images(self):
        made = config(
            {"environment": {"A": "2", "C": "3", "GONE": None}},
            image=ImageConfig(cmd=("x",), env=("A=1", "B=b=b", "GONE=1")),
        )
        assert made.process.env == ("A=2", "B=b=b", "C=3")

    def test_user_directory_and_stop_signal_fall_back_to_the_image(self):
        image = ImageConfig(cmd=("x",), user="app", working_dir="/srv", stop_signal="SIGQUIT")
        made = config(image=image)
        assert (made.process.user, made.process.cwd, made.stop_signal) == ("app", "/srv", "SIGQUIT")
        made = config({"user": "1:2", "working_dir": "/x", "stop_signal": "9"}, image=image)
        assert (made.process.user, made.process.cwd, made.stop_signal) == ("1:2", "/x", "9")

    def test_ulimits(self):
        made = config({"ulimits": {"nofile": {"soft": 1, "hard": 2}, "nproc": 3}})
        assert [(item.name, item.soft, item.hard) for item in made.process.rlimits] == [
            ("nofile", 1, 2),
            ("nproc", 3, 3),
        ]

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ([], False),
            (["no-new-privileges"], True),
            (["no-new-privileges:true"], True),
            (["no-new-privileges=false"], False),
        ],
    )
    def test_no_new_privileges(self, options, expected):
        made = config({"security_opt": options})
        assert made.process.no_new_privileges is expected
        assert made.security_opt == ()

    def test_a_seccomp_profile_is_relative_to_the_project(self):
        assert config({"security_opt": ["seccomp:p.json", "apparmor=x:y"]}).security_opt == (
            "seccomp=/w/p.json",
            "apparmor=x:y",
        )
        assert config({"security_opt": ["seccomp=unconfined"]}).security_opt == ("seccomp=unconfined",)


class TestCapabilities:
    def test_default(self):
        assert set(capabilities.effective([], [])) == set(DEFAULT_CAPABILITIES)

    def test_names_with_and_without_prefix_in_any_case(self):
        assert "NET_ADMIN" in capabilities.effective(["cap_net_admin"], [])
        assert "CHOWN" not in capabilities.effective([], ["Chown"])

    def test_drop_all_then_add(self):
        assert capabilities.effective(["NET_ADMIN"], ["ALL"]) == ("NET_ADMIN",)

    def test_add_all_but(self):
        assert set(CAPABILITIES) - set(capabilities.effective(["ALL"], ["CHOWN"])) == {"CHOWN"}

    def test_privileged(self):
        assert capabilities.effective([], [], privileged=True) == CAPABILITIES

    def test_unknown(self):
        with pytest.raises(SpecError, match=r"unknown capability 'NET_ADMN' .*did you mean NET_ADMIN"):
            capabilities.effective(["NET_ADMN"], [])


class TestRestartAndHealth:
    @pytest.mark.parametrize(
        ("service", "expected"),
        [
            ({}, RestartPolicy()),
            ({"restart": "no"}, RestartPolicy()),
            ({"restart": "always"}, RestartPolicy("always")),
            ({"restart": "unless-stopped"}, RestartPolicy("unless-stopped")),
            ({"restart": "on-failure"}, RestartPolicy("on-failure")),
            ({"restart": "on-failure:3"}, RestartPolicy("on-failure", 3)),
            ({"restart": "no", "deploy": {"restart_policy": {}}}, RestartPolicy("always")),
            (
                {"deploy": {"restart_policy": {"condition": "on-failure", "max_attempts": 2}}},
                RestartPolicy("on-failure", 2),
            ),
            ({"restart": "always", "deploy": {"restart_policy": {"condition": "none"}}}, RestartPolicy()),
        ],
    )
    def test_restart(self, service, expected):
        assert config(service).restart == expected

    @pytest.mark.parametrize("word", ["sometimes", "always:3", "on-failure:x"])
    def test_restart_words_are_checked(self, word):
        with pytest.raises(SpecError, match="is not a restart policy"):
            config({"restart": word})

    def test_defaults_of_a_probe(self):
        assert config({"healthcheck": {"test": ["CMD", "x"]}}).healthcheck == Healthcheck(("CMD", "x"))

    def test_a_probe_of_the_image(self):
        image = ImageConfig(
            cmd=("x",), healthcheck=ImageHealthcheck(("CMD", "i"), interval=2_000_000_000, retries=5)
        )
        assert config(image=image).healthcheck == Healthcheck(("CMD", "i"), interval=2.0, retries=5)
        made = config({"healthcheck": {"interval": "7s"}}, image=image)
        assert made.healthcheck == Healthcheck(("CMD", "i"), interval=7.0, retries=5)

    @pytest.mark.parametrize("own", [{"disable": True}, {"test": ["NONE"]}])
    def test_a_probe_switched_off(self, own):
        image = ImageConfig(cmd=("x",), healthcheck=ImageHealthcheck(("CMD", "i")))
        assert config({"healthcheck": own}, image=image).healthcheck is None

    @pytest.mark.parametrize(("name", "value"), [("retries", -1), ("interval", "100us"), ("timeout", "-1s")])
    def test_what_makes_no_sense(self, name, value):
        with pytest.raises(SpecError) as caught:
            config({"healthcheck": {"test": ["CMD", "x"], name: value}})
        assert caught.value.path == f"services.a.healthcheck.{name}"

    def test_start_interval_needs_start_period(self):
        with pytest.raises(SpecError, match=r"requires healthcheck\.start_period"):
            config({"healthcheck": {"test": ["CMD", "x"], "start_interval": "1s"}})


class TestResources:
    def test_limits_of_deploy_win(self):
        made = config(
            {
                "mem_limit": "10000000",
                "cpus": 1.0,
                "pids_limit": 5,
                "deploy": {"resources": {"limits": {"memory": "20000000", "cpus": "0.5", "pids": 9}}},
            }
        ).resources
        assert (made.memory, made.cpus, made.pids) == (20_000_000, 0.5, 9)

    @pytest.mark.parametrize(
        ("attributes", "path"),
        [
            ({"mem_limit": "20000000", "memswap_limit": "10000000"}, "memswap_limit"),
            ({"mem_limit": "20000000", "mem_reservation": "30000000"}, "mem_reservation"),
            ({"cpus": -1}, "cpus"),
            ({"blkio_config": {"weight": 5000}}, "blkio_config.weight"),
            ({"device_cgroup_rules": ["c 1:3 r", "x 1:1 r"]}, "device_cgroup_rules[1]"),
        ],
    )
    def test_limits_that_make_no_sense(self, attributes, path):
        with pytest.raises(SpecError) as caught:
            config(attributes)
        assert caught.value.path == f"services.a.{path}"

    def test_too_little_memory(self):
        with pytest.raises(SpecError, match="too small") as caught:
            config({"mem_limit": "1024"})
        assert caught.value.path == "services.a.mem_limit"

    def test_attributes(self):
        made = config(
            {"mem_limit": "10000000", "memswap_limit": "-1", "cpus": 1.5, "cpuset": "0-1", "pids_limit": -1}
        ).resources
        assert (made.memory, made.memory_swap, made.cpus, made.cpuset_cpus, made.pids) == (
            10_000_000,
            -1,
            1.5,
            "0-1",
            -1,
        )

    def test_block_io(self):
        made = config(
            {"blkio_config": {"weight": 10, "device_read_bps": [{"path": "/dev/a", "rate": "1024"}]}}
        ).resources
        assert made.blkio_weight == 10
        assert made.read_bps[0].rate == 1024

    def test_devices(self):
        made = config(
            {"devices": [{"source": "/dev/a", "target": "/dev/b", "permissions": "r"}, {"source": "/dev/c"}]}
        )
        assert [(item.source, item.target, item.permissions) for item in made.devices] == [
            ("/dev/a", "/dev/b", "r"),
            ("/dev/c", "/dev/c", "rwm"),
        ]

    def test_cdi_names_are_refused(self):
        with pytest.raises(UnsupportedError, match="CDI"):
            config({"devices": [{"source": "vendor.com/gpu=0", "target": "vendor.com/gpu=0"}]})


class TestPorts:
    def ports(self, *entries):
        return config({"ports": list(entries)}).ports

    def test_forms(self):
        assert self.ports(
            {"target": 80},
            {"target": 80, "published": "8080", "host_ip": "127.0.0.1"},
            {"target": 53, "published": "5000-5010", "protocol": "udp"},
        ) == (
            PortMapping(80, path="services.a.ports[0]"),
            PortMapping(80, 8080, host_ip="127.0.0.1", path="services.a.ports[1]"),
            PortMapping(53, 5000, 5010, protocol="udp", path="services.a.ports[2]"),
        )

    def test_not_a_port(self):
        with pytest.raises(SpecError, match="'x' is not a port"):
            self.ports({"target": 80, "published": "x"})

    def test_a_service_without_a_network_of_its_own_publishes_nothing(self):
        port = {"target": 80, "published": "8080"}
        assert config({"network_mode": "host", "ports": [port]}).ports == ()
        with pytest.raises(SpecError, match="cannot be published"):
            config({"network_mode": "service:b", "ports": [port]}, services={"b": {}})


class TestNetworks:
    def test_the_service_name_is_an_alias(self):
        made = config({"networks": {"default": {"aliases": ["x"]}}})
        assert made.attachments[0].aliases == ("a", "x")

    def test_the_highest_priority_comes_first_then_the_name(self):
        project = make_project(
            {"a": {"networks": {"n1": None, "n2": {"priority": 5}, "n0": None}}}, networks=("n0", "n1", "n2")
        )
        machine = Machine(project).up()
        names = {item.config.id: item.config.name for item in machine.networks}
        made = machine.containers[0].config
        assert [names[item.network] for item in made.attachments] == ["p_n2", "p_n0", "p_n1"]

    def test_a_mac_address_goes_to_the_main_network(self):
        made = config({"mac_address": "02:00:00:00:00:01"})
        assert made.attachments[0].mac_address == "02:00:00:00:00:01"

    def test_links(self):
        made = config({"links": ["b:db"]}, services={"b": {"scale": 2}})
        assert made.attachments[0].links == {
            "db": "p-b-1",
            "b-1": "p-b-1",
            "b-2": "p-b-2",
            "p-b-1": "p-b-1",
            "p-b-2": "p-b-2",
        }

    def test_a_shared_namespace_is_the_first_replicas(self):
        made = config(
            {"network_mode": "service:b", "pid": "service:b", "ipc": "service:b"},
            services={"b": {"scale": 2}},
        )
        assert made.network_mode.startswith("container:")
        assert made.network_mode == made.pid_mode == made.ipc_mode
        assert made.attachments == ()

    def test_a_container_of_somebody_else_must_exist(self):
        with pytest.raises(NotFoundError, match="no such container: nix"):
            config({"network_mode": "container:nix"})

    def test_host_and_none(self):
        assert config({"network_mode": "host"}).network_mode == "host"
        assert config({"network_mode": "none"}).attachments == ()

    def test_attachment_options(self):
        made = config(
            {
                "networks": {
                    "default": {"ipv4_address": "10.0.0.2", "gw_priority": 3, "interface_name": "lan0"}
                }
            }
        )
        assert made.attachments[0] == Attachment(
            made.attachments[0].network,
            aliases=("a",),
            ipv4_address="10.0.0.2",
            gw_priority=3,
            interface_name="lan0",
            path="services.a.networks.default",
        )


class TestMounts:
    def mounts(self, service, **more):
        return {item.target: item for item in config(service, **more).mounts}

    def test_parents_come_first(self):
        made = config(
            {"tmpfs": ["/a/b/c", "/a"], "volumes": [{"type": "bind", "source": "/etc", "target": "/a/b"}]}
        )
        assert [item.target for item in made.mounts] == ["/a", "/a/b", "/a/b/c"]

    def test_a_named_volume_goes_by_its_real_name(self):
        made = self.mounts({"volumes": [{"type": "volume", "source": "d", "target": "/d"}]}, volumes=("d",))
        assert made["/d"].source == "p_d"

    def test_a_subpath_is_not_filled(self):
        entry = {"type": "volume", "source": "d", "target": "/d", "volume": {"subpath": "x"}}
        made = self.mounts({"volumes": [entry]}, volumes=("d",))
        assert (made["/d"].subpath, made["/d"].no_copy) == ("x", True)

    def test_volumes_of_the_image_are_anonymous(self):
        made = self.mounts({}, image=ImageConfig(cmd=("x",), volumes=("/data",)))
        assert made["/data"].type == "volume"
        assert len(made["/data"].source) == 64

    def test_unless_something_is_mounted_there(self):
        image = ImageConfig(cmd=("x",), volumes=("/data",))
        assert self.mounts({"tmpfs": ["/data"]}, image=image)["/data"].type == "tmpfs"

    def test_tmpfs_options(self):
        made = self.mounts({"tmpfs": ["/t:size=1m,mode=700"]})
        assert made["/t"].options == ("size=1m", "mode=700")
        entry = {"type": "tmpfs", "target": "/u", "tmpfs": {"size": "1024", "mode": 1023}}
        assert self.mounts({"volumes": [entry]})["/u"].options == ("size=1024", "mode=1777")

    def test_bind_options(self):
        entry = {
            "type": "bind",
            "source": "/etc",
            "target": "/e",
            "read_only": True,
            "bind": {"propagation": "rslave", "create_host_path": True, "recursive": "disabled"},
        }
        made = self.mounts({"volumes": [entry]})["/e"]
        assert (made.read_only, made.propagation, made.create_source, made.recursive) == (
            True,
            "rslave",
            True,
            False,
        )
        assert made.path == "services.a.volumes[0]"

    def test_volumes_from(self):
        made = self.mounts(
            {"volumes_from": ["b:ro"]},
            services={"b": {"volumes": [{"type": "bind", "source": "/etc", "target": "/e"}]}},
        )
        assert made["/e"].source == "/etc"
        assert made["/e"].read_only

    def test_npipe_is_refused(self):
        with pytest.raises(UnsupportedError, match="npipe"):
            self.mounts({"volumes": [{"type": "npipe", "source": "x", "target": "/x"}]})


class TestFiles:
    def mount(self, kind, reference, **source):
        item = {f"{kind}s": {"s": {"name": "p_s", **source}}}
        made = config({f"{kind}s": [{"source": "s", **reference}]}, **item)
        return next(mount for mount in made.mounts)

    @pytest.mark.parametrize(
        ("kind", "target", "expected"),
        [
            ("secret", "", "/run/secrets/s"),
            ("secret", "x", "/run/secrets/x"),
            ("secret", "/x", "/x"),
            ("config", "", "/s"),
            ("config", "x", "/x"),
        ],
    )
    def test_targets(self, kind, target, expected):
        assert self.mount(kind, {"target": target}, content="c").target == expected

    def test_content_is_written_with_its_mode(self):
        made = self.mount("config", {"mode": "0400", "uid": "5", "gid": "6"}, content="hällo")
        assert base64.b64decode(made.content).decode() == "hällo"
        assert (made.mode, made.uid, made.gid, made.type) == (0o400, 5, 6, "content")

    def test_a_file_is_bound_so_that_edits_are_seen(self, tmp_path):
        (tmp_path / "f").write_text("x")
        made = self.mount("secret", {}, file=str(tmp_path / "f"))
        assert (made.type, made.source, made.read_only) == ("bind", str(tmp_path / "f"), True)

    def test_unless_it_wants_an_owner(self, tmp_path):
        (tmp_path / "f").write_text("x")
        made = self.mount("secret", {"uid": "5"}, file=str(tmp_path / "f"))
        assert (made.type, base64.b64decode(made.content)) == ("content", b"x")

    def test_a_missing_file(self):
        with pytest.raises(SpecError, match=r"cannot read secret s from /nix: no such file"):
            self.mount("secret", {}, file="/nix")

    def test_a_variable_that_is_not_set(self):
        with pytest.raises(SpecError, match='environment variable "V" required by secret "s" is not set'):
            self.mount("secret", {}, environment="V")

    def test_external_ones_are_refused(self):
        with pytest.raises(UnsupportedError, match="needs a cluster"):
            self.mount("secret", {}, external=True)


class TestLabels:
    def test_those_of_docker_compose(self):
        made = config(
            {"labels": {"own": "1"}}, image=ImageConfig(cmd=("x",), labels={"img": "2", "own": "0"})
        )
        assert made.labels["own"] == "1"
        assert made.labels["img"] == "2"
        assert made.labels[labels.PROJECT] == "p"
        assert made.labels[labels.SERVICE] == "a"
        assert made.labels[labels.NUMBER] == "7"
        assert made.labels[labels.ONE_OFF] == "False"
        assert made.labels["com.docker.compose.project.working_dir"] == "/w"

    def test_depends_on(self):
        made = config(
            {"depends_on": needs("b", condition="service_healthy", restart=True)}, services={"b": {}}
        )
        assert made.labels[labels.DEPENDS_ON] == "b:service_healthy:true"
        assert labels.dependencies_from(made.labels) == {"b": ("service_healthy", True)}

    def test_other_log_drivers_become_json_file(self):
        made = config({"logging": {"driver": "syslog", "options": {"max-size": "1m", "tag": "x"}}})
        assert (made.log.driver, made.log.options) == ("json-file", {"max-size": "1m"})
        assert config({"logging": {"driver": "none"}}).log.driver == "none"


def test_a_name_server_is_an_address():
    with pytest.raises(SpecError, match="not an IP address") as caught:
        config({"dns": ["1.1.1.1", "dns.example"]})
    assert caught.value.path == "services.a.dns[1]"


def test_an_unknown_capability_is_pointed_at():
    with pytest.raises(SpecError, match="NET_ADMN") as caught:
        config({"cap_add": ["SYS_TIME", "NET_ADMN"]})
    assert caught.value.path == "services.a.cap_add[1]"
