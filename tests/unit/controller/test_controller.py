"""The controller on an engine in memory: order, gating, failures, what is left behind."""

from __future__ import annotations

from dataclasses import replace

import anyio
import pytest

from composer.controller import labels
from composer.controller.controller import Controller
from composer.controller.options import DownOptions, RunOptions, SelectOptions, UpOptions
from composer.errors import (
    BuildError,
    ComposerError,
    ConflictError,
    DependencyFailedError,
    EngineError,
    ImageError,
    NotFoundError,
    OperationTimeoutError,
    RegistryError,
)
from composer.images.config import ImageConfig
from composer.state.paths import Paths
from tests.unit.controller.conftest import IMAGE, make_project, needs, volume
from tests.unit.controller.memory_engine import MemoryEngine, MemoryImages


class World:
    def __init__(self, path):
        self.engine = MemoryEngine()
        self.images = MemoryImages(img=IMAGE)
        self.controller = Controller(self.engine, self.images, Paths(path / "lib", path / "run"), "p")
        self.events = []

    def do(self, action):
        async def main():
            async with self.engine.running():
                with anyio.fail_after(5):
                    return await action(self.controller)

        self.engine.calls.clear()
        self.events.clear()
        try:
            return anyio.run(main)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    def up(self, project, **options):
        return self.do(lambda controller: controller.up(project, UpOptions(**options), self.events.append))

    def words(self):
        return [f"{event.name} {event.action}" for event in self.events if event.kind == "container"]

    def names(self):
        return sorted(state.name for state in self.engine.states.values())

    def index(self, call):
        return self.engine.calls.index(call)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def probe(**more):
    return {"healthcheck": {"test": ["CMD", "x"]}, **more}


async def becomes_healthy(engine, container):
    await anyio.sleep(0.01)
    engine.set(container, "health_status", health="healthy")


async def completes(engine, container):
    await anyio.sleep(0.01)
    engine.die(engine.states[container].name, 0)


class TestUp:
    def test_creates_and_starts(self, world):
        world.up(make_project({"web": {"scale": 2}}))
        assert world.names() == ["p-web-1", "p-web-2"]
        assert all(state.status == "running" for state in world.engine.states.values())

    def test_twice_does_nothing(self, world):
        project = make_project({"web": {"volumes": [volume("d")]}, "db": {}}, volumes=("d",))
        world.up(project)
        plan = world.up(project)
        assert not plan.operations
        assert world.engine.calls == []
        assert world.words() == ["p-web-1 Running", "p-db-1 Running"]

    def test_a_dependant_starts_when_its_dependency_is_healthy(self, world):
        world.engine.on_start["p-db-1"] = becomes_healthy
        world.up(
            make_project({"web": {"depends_on": needs("db", condition="service_healthy")}, "db": probe()})
        )
        words = world.words()
        assert words.index("p-db-1 Healthy") < words.index("p-web-1 Starting")

    def test_or_completed(self, world):
        world.engine.on_start["p-job-1"] = completes
        world.up(
            make_project(
                {
                    "web": {"depends_on": needs("job", condition="service_completed_successfully")},
                    "job": {},
                }
            )
        )
        words = world.words()
        assert words.index("p-job-1 Exited") < words.index("p-web-1 Starting")

    def test_what_does_not_depend_on_each_other_runs_at_once(self, world):
        world.engine.slow = 0.01
        world.up(make_project({f"s{number}": {} for number in range(20)}))
        assert world.engine.most_at_once == 20

    def test_parallel_limits_that(self, world):
        world.engine.slow = 0.001
        world.up(make_project({f"s{number}": {} for number in range(10)}), parallel=3)
        assert world.engine.most_at_once == 3

    def test_waiting_does_not_count_against_the_limit(self, world):
        world.engine.on_start["p-db-1"] = becomes_healthy
        services = {
            f"w{number}": {"depends_on": needs("db", condition="service_healthy")} for number in range(5)
        }
        world.up(make_project({**services, "db": probe()}), parallel=1)
        assert len(world.engine.states) == 6

    def test_recreation_keeps_the_name_and_anonymous_volumes(self, world):
        world.up(make_project({"web": {"volumes": [volume("")]}}))
        before = world.engine.named("p-web-1")
        world.up(make_project({"web": {"volumes": [volume("")], "user": "1"}}))
        after = world.engine.named("p-web-1")
        assert after.id != before.id
        assert after.config.mounts[0].source == before.config.mounts[0].source
        assert world.words() == [
            "p-web-1 Recreate",
            "p-web-1 Recreated",
            "p-web-1 Starting",
            "p-web-1 Started",
        ]

    def test_or_takes_fresh_ones(self, world):
        project = make_project({"web": {"volumes": [volume("")]}})
        world.up(project)
        before = world.engine.named("p-web-1").config.mounts[0].source
        world.up(project, renew_volumes=True)
        assert world.engine.named("p-web-1").config.mounts[0].source != before
        assert before not in world.engine.vols

    def test_after_a_recreation_there_is_nothing_to_do(self, world):
        world.up(make_project({"web": {}}))
        project = make_project({"web": {"user": "1"}})
        world.up(project)
        assert not world.up(project).operations

    def test_a_shared_namespace_follows_its_owner(self, world):
        world.up(make_project({"side": {"network_mode": "service:main"}, "main": {}}))
        project = make_project({"side": {"network_mode": "service:main"}, "main": {"user": "1"}})
        world.up(project)
        main = world.engine.named("p-main-1")
        assert world.engine.named("p-side-1").config.network_mode == f"container:{main.id}"
        assert not world.up(project).operations

    def test_a_changed_network_is_made_anew_and_containers_stay(self, world):
        project = make_project({"web": {}})
        world.up(project)
        before = world.engine.named("p-web-1").id
        document = {**project.document, "networks": {"default": {"name": "p_default", "internal": True}}}
        changed = type(project).from_canonical(document, working_dir="/w")
        world.up(changed)
        assert world.engine.named("p-web-1").id == before
        assert world.engine.named("p-web-1").status == "running"
        assert next(iter(world.engine.nets.values())).config.internal
        assert not world.up(changed).operations

    def test_the_reason_of_the_next_plan_names_the_attribute(self, world):
        world.up(make_project({"web": {}}))
        project = make_project({"web": {"user": "1"}})
        plan = world.do(lambda controller: controller.plan_up(project, UpOptions()))
        assert plan.operations[0].reason == "user changed"
        assert world.engine.calls == []

    def test_hooks(self, world):
        world.up(make_project({"web": {"post_start": [{"command": ["a"]}, {"command": ["b"]}]}}))
        assert world.index("exec p-web-1 a") < world.index("exec p-web-1 b")

    def test_a_failing_hook(self, world):
        world.engine.exec_results[("a",)] = (3, b"one\ntwo\n")
        with pytest.raises(ComposerError, match="post_start hook of p-web-1 exited with code 3: one\ntwo"):
            world.up(make_project({"web": {"post_start": [{"command": ["a"]}]}}))

    def test_pre_start_runs_in_a_container_of_its_own(self, world):
        world.engine.on_start["p-web-pre-start-1"] = completes
        world.up(make_project({"web": {"pre_start": [{"command": ["migrate"]}]}}))
        assert world.names() == ["p-web-1"]
        assert world.index("start p-web-pre-start-1") < world.index("start p-web-1")

    def test_a_failing_pre_start_keeps_its_container(self, world):
        async def fails(engine, container):
            engine.die("p-web-pre-start-1", 4)

        world.engine.on_start["p-web-pre-start-1"] = fails
        with pytest.raises(DependencyFailedError, match="exited with code 4"):
            world.up(make_project({"web": {"pre_start": [{"command": ["migrate"]}]}}))
        assert "p-web-pre-start-1" in world.names()
        assert "start p-web-1" not in world.engine.calls


class TestFailures:
    def test_an_unhealthy_dependency_is_named_with_its_last_output(self, world):
        async def fails(engine, container):
            engine.set(container, health="unhealthy", health_log="no\nconnection refused\n")

        world.engine.on_start["p-db-1"] = fails
        project = make_project(
            {"web": {"depends_on": needs("db", condition="service_healthy")}, "db": probe()}
        )
        with pytest.raises(DependencyFailedError) as caught:
            world.up(project)
        assert caught.value.message == "dependency failed to start: container p-db-1 is unhealthy"
        assert caught.value.hint == "its probe said: connection refused"
        assert world.engine.named("p-web-1").status == "created"

    def test_a_dependency_that_fails_to_complete(self, world):
        async def fails(engine, container):
            engine.die("p-job-1", 2)

        world.engine.on_start["p-job-1"] = fails
        condition = needs("job", condition="service_completed_successfully")
        with pytest.raises(DependencyFailedError, match="didn't complete successfully: exit 2"):
            world.up(make_project({"web": {"depends_on": condition}, "job": {}}))

    def test_an_optional_dependency_is_a_warning(self, world):
        async def fails(engine, container):
            engine.die("p-db-1", 1)

        world.engine.on_start["p-db-1"] = fails
        condition = needs("db", condition="service_healthy", required=False)
        world.up(make_project({"web": {"depends_on": condition}, "db": probe()}))
        assert world.engine.named("p-web-1").status == "running"
        assert any(event.kind == "warning" and "optional" in event.text for event in world.events)

    def test_the_first_failure_cancels_the_rest(self, world):
        world.engine.failures[("start", "p-b-1")] = EngineError("no")
        project = make_project({"a": {"depends_on": needs("b")}, "b": {}})
        with pytest.raises(EngineError, match="no"):
            world.up(project)
        assert "start p-a-1" not in world.engine.calls

    def test_errors_point_at_the_file(self, world):
        world.engine.failures[("start", "p-b-1")] = EngineError("no such thing")
        project = make_project({"b": {}}, locations={"services.b": ("f.yaml", 4, 3)})
        with pytest.raises(EngineError) as caught:
            world.up(project)
        assert str(caught.value) == "f.yaml:4:3: services.b: no such thing"

    def test_a_failed_recreation_leaves_the_old_container(self, world):
        world.up(make_project({"web": {}, "db": probe()}))
        before = world.engine.named("p-web-1").id
        changed = make_project(
            {"web": {"user": "1", "depends_on": needs("db", condition="service_healthy")}, "db": probe()}
        )
        world.engine.health("p-db-1", "unhealthy")
        with pytest.raises(DependencyFailedError):
            world.up(changed)
        assert world.names() == ["p-db-1", "p-web-1"]
        assert world.engine.named("p-web-1").id == before
        assert world.engine.named("p-web-1").status == "running"

    def test_a_recreation_that_fails_after_the_old_one_went_keeps_the_new_one(self, world):
        world.up(make_project({"web": {}}))
        world.engine.failures[("rename", "p-web-1")] = EngineError("disk full")
        with pytest.raises(EngineError, match="disk full"):
            world.up(make_project({"web": {"user": "1"}}))
        world.engine.failures.clear()
        world.up(make_project({"web": {"user": "1"}}))
        assert world.names() == ["p-web-1"]
        assert world.engine.named("p-web-1").status == "running"

    def test_cancelled_in_the_middle_the_next_up_finishes(self, world):
        project = make_project(
            {"web": {"depends_on": needs("db", condition="service_healthy")}, "db": probe()}
        )

        async def interrupted(controller):
            with anyio.move_on_after(0.05):
                await controller.up(project, UpOptions())

        world.do(interrupted)
        assert world.engine.named("p-web-1").status == "created"
        world.engine.health("p-db-1", "healthy")
        world.up(project)
        assert world.engine.named("p-web-1").status == "running"

    def test_a_port_that_is_taken_stops_everything_before_it_starts(self, world):
        world.engine.taken_ports.add(8080)
        services = {"web": {"ports": [{"target": 80, "published": "8080"}]}, "db": {}}
        project = make_project(services, locations={"services.web.ports[0]": ("f.yaml", 5, 9)})
        with pytest.raises(ConflictError, match=r"^f.yaml:5:9: .*port 8080 is taken by sshd"):
            world.up(project)
        assert world.engine.calls == []

    def test_two_services_want_one_port(self, world):
        services = {name: {"ports": [{"target": 80, "published": "8080"}]} for name in "ab"}
        with pytest.raises(ConflictError, match="both want host port 8080"):
            world.up(make_project(services))

    def test_wait_has_a_timeout(self, world):
        with pytest.raises(OperationTimeoutError, match=r"application not healthy after 0.05s"):
            world.up(make_project({"db": probe()}), wait=True, wait_timeout=0.05)

    def test_a_missing_bind_source(self, world):
        service = {
            "volumes": [
                {"type": "bind", "source": "/not/there", "target": "/x", "bind": {"create_host_path": False}}
            ]
        }
        with pytest.raises(NotFoundError, match="bind source path does not exist: /not/there"):
            world.up(make_project({"web": service}))
        assert world.engine.calls == []

    def test_a_defect_is_not_hidden(self, world):
        world.engine.failures[("start", "p-web-1")] = ZeroDivisionError()
        with pytest.raises(ZeroDivisionError):
            world.up(make_project({"web": {}}))


class TestImages:
    def test_missing_ones_are_pulled(self, world):
        world.images.pullable["other"] = IMAGE
        world.up(make_project({"web": {"image": "other"}}))
        assert [event.action for event in world.events if event.kind == "image"] == ["Pulling", "Pulled"]

    def test_never(self, world):
        with pytest.raises(ComposerError, match="no such image: other"):
            world.up(make_project({"web": {"image": "other", "pull_policy": "never"}}))

    def test_one_that_is_nowhere(self, world):
        with pytest.raises(RegistryError, match="other is nowhere"):
            world.up(make_project({"web": {"image": "other"}}))
        assert world.engine.calls == []

    def test_built_when_missing(self, world):
        project = make_project({"web": {"image": "", "build": {"context": "/w"}}})
        world.up(project)
        world.up(project)
        assert world.images.built == ["web"]

    def test_pulled_before_built(self, world):
        world.images.pullable["own"] = IMAGE
        world.up(make_project({"web": {"image": "own", "build": {"context": "/w"}}}))
        assert world.images.built == []

    def test_built_when_it_cannot_be_pulled(self, world):
        world.up(make_project({"web": {"image": "own", "build": {"context": "/w"}}}))
        assert world.images.built == ["web"]

    def test_built_always(self, world):
        project = make_project({"web": {"image": "", "build": {"context": "/w"}}})
        world.up(project)
        world.up(project, build="always")
        assert world.images.built == ["web", "web"]

    def test_a_build_that_reads_another_services_image_comes_after_it(self, world):
        context = {"context": "/w", "additional_contexts": {"base": "service:base"}}
        services = {"web": {"image": "", "build": context}, "base": {"image": "", "build": {"context": "/w"}}}
        world.up(make_project(services), services=("web",))
        assert world.images.built == ["base", "web"]
        assert world.names() == ["p-web-1"]

    def test_a_build_that_fails(self, world):
        world.images.build_error = BuildError("step 3 failed")
        with pytest.raises(BuildError, match="step 3 failed"):
            world.up(make_project({"web": {"image": "", "build": {"context": "/w"}}}))

    def test_no_build(self, world):
        with pytest.raises(ComposerError, match="no such image: p-web"):
            world.up(make_project({"web": {"image": "", "build": {"context": "/w"}}}), build="never")

    def test_images_are_held_until_the_last_container_refers_to_its_own(self, world):
        held = []

        def watch(name):
            method = getattr(world.engine, name)

            async def watched(*args, **more):
                held.append((name, world.images.held))
                return await method(*args, **more)

            setattr(world.engine, name, watched)

        watch("create")
        watch("start")
        world.up(make_project({"web": {"depends_on": needs("db")}, "db": {}}))
        assert [count for name, count in held if name == "create"] == [1, 1]
        assert held[-1] == ("start", 0), "nobody waits for removal because containers wait for each other"
        assert world.images.held == 0
        held.clear()
        world.up(make_project({"web": {"depends_on": needs("db")}, "db": {}}))
        assert (held, world.images.held) == ([], 0)

    def test_images_are_not_held_after_a_failure(self, world):
        world.engine.failures[("create", "p-web-1")] = ConflictError("no")
        with pytest.raises(ConflictError):
            world.up(make_project({"web": {}}))
        assert world.images.held == 0


class TestTheOthers:
    def test_down_leaves_nothing(self, world):
        project = make_project({"web": {"volumes": [volume(""), volume("d", "/d")]}}, volumes=("d",))
        world.up(project)
        world.do(lambda controller: controller.down(DownOptions(volumes=True), world.events.append))
        assert [world.engine.states, world.engine.nets, world.engine.vols] == [{}, {}, {}]

    def test_down_keeps_a_network_that_is_in_use_with_a_warning(self, world):
        world.up(make_project({"web": {}}))
        world.engine.failures[("remove_network", "p_default")] = ConflictError("in use")
        world.do(lambda controller: controller.down(DownOptions(), world.events.append))
        assert "Resource is still in use" in [event.action for event in world.events]

    def test_stop_and_start(self, world):
        project = make_project({"web": {"depends_on": needs("db")}, "db": {}})
        world.up(project)
        world.do(lambda controller: controller.select("stop", SelectOptions(), world.events.append))
        assert world.engine.calls == ["stop p-web-1", "stop p-db-1"]
        world.do(lambda controller: controller.start(project, SelectOptions()))
        assert world.engine.calls == ["start p-db-1", "start p-web-1"]

    def test_pre_stop_runs_in_the_container_before(self, world):
        project = make_project({"web": {"pre_stop": [{"command": ["bye"]}]}})
        world.up(project)
        world.do(lambda controller: controller.select("stop", SelectOptions(), project=project))
        assert world.engine.calls == ["exec p-web-1 bye", "stop p-web-1"]

    def test_restart(self, world):
        world.up(make_project({"web": {}}))
        world.do(lambda controller: controller.select("restart", SelectOptions()))
        assert world.engine.calls == ["stop p-web-1", "start p-web-1"]

    def test_a_container_that_vanished_meanwhile_is_no_error(self, world):
        world.up(make_project({"web": {}}))

        async def race(controller):
            world.engine.failures[("remove", "p-web-1")] = NotFoundError("gone")
            await controller.down(DownOptions())

        world.do(race)


class TestRun:
    def run(self, world, project, **options):
        return world.do(
            lambda controller: controller.run(project, RunOptions("job", **options), world.events.append)
        )

    def test_one_container_for_one_command(self, world):
        project = make_project({"job": {"restart": "always", "ports": [{"target": 80, "published": "80"}]}})
        state = self.run(world, project, command=("echo", "hi"))
        assert state.name.startswith("p-job-run-")
        assert state.config.process.args == ("echo", "hi")
        assert state.config.restart.name == "no"
        assert state.config.ports == ()
        assert state.config.labels[labels.ONE_OFF] == "True"
        assert labels.NUMBER not in state.config.labels
        assert state.config.attachments[0].aliases == ()

    def test_what_it_needs_is_started_and_waited_for(self, world):
        world.engine.on_start["p-db-1"] = becomes_healthy
        project = make_project(
            {"job": {"depends_on": needs("db", condition="service_healthy")}, "db": probe()}
        )
        state = self.run(world, project)
        assert world.engine.named("p-db-1").health == "healthy"
        assert world.index("start p-db-1") < world.index(f"create {state.name}")

    def test_or_not(self, world):
        project = make_project({"job": {"depends_on": needs("db")}, "db": {}})
        self.run(world, project, no_deps=True)
        assert not [name for name in world.names() if name.startswith("p-db")]

    def test_options(self, world):
        state = self.run(
            world,
            make_project({"job": {"environment": {"A": "1", "B": "2"}, "command": ["x"]}}),
            entrypoint=("e",),
            environment=("A=3", "B"),
            user="9",
            working_dir="/x",
            name="mine",
            volumes=({"type": "bind", "source": "/etc", "target": "/e"},),
            ports=({"target": 80, "published": "8080"},),
            use_aliases=True,
            remove=True,
            start=False,
        )
        config = state.config
        assert state.status == "created"
        assert (config.name, config.process.args, config.process.env) == ("mine", ("e",), ("A=3",))
        assert (config.process.user, config.process.cwd) == ("9", "/x")
        assert config.mounts[0].source == "/etc"
        assert config.ports[0].host_port == 8080
        assert config.attachments[0].aliases == ("job",)
        assert config.auto_remove

    def test_it_is_no_orphan_and_no_replica(self, world):
        project = make_project({"job": {}})
        self.run(world, project)
        plan = world.up(project)
        assert not plan.warnings
        assert "p-job-1" in world.names()

    def test_an_unknown_service(self, world):
        with pytest.raises(NotFoundError, match="no such service: job"):
            self.run(world, make_project({"web": {}}))


class TestRefusedImages:
    def test_an_image_for_another_platform_is_refused(self, world):
        world.images.present["img"] = replace(IMAGE, config=ImageConfig(os="linux", architecture="arm64"))
        project = make_project({"a": {"platform": "linux/amd64"}})
        with pytest.raises(ImageError, match="for linux/arm64, not for linux/amd64") as caught:
            world.up(project)
        assert caught.value.path == "services.a.platform"
        assert world.names() == []

    def test_an_image_for_the_platform_is_taken(self, world):
        world.images.present["img"] = replace(
            IMAGE, config=ImageConfig(cmd=("run",), os="linux", architecture="arm", variant="v6")
        )
        world.up(make_project({"a": {"platform": "linux/arm/v7"}}))
        assert world.names() == ["p-a-1"]

    def test_what_cannot_be_pulled_is_named_at_its_line(self, world):
        world.images.pull_error = RegistryError("cannot connect")
        with pytest.raises(RegistryError, match="cannot pull elsewhere:1: cannot connect") as caught:
            world.up(make_project({"a": {"image": "elsewhere:1"}}))
        assert caught.value.path.startswith("services.a")
        assert "image load" in caught.value.hint


def test_a_misspelt_service_is_corrected(world):
    project = make_project({"worker": {}})
    world.up(project)
    for action in (
        lambda: world.up(project, services=("workr",)),
        lambda: world.up(project, scale={"workr": 2}),
        lambda: world.do(lambda controller: controller.down(DownOptions(services=("workr",)), project)),
    ):
        with pytest.raises(NotFoundError) as caught:
            action()
        assert str(caught.value) == 'no such service: workr (did you mean "worker"?)'
