"""What `up` plans: pure, so each of these takes less than a millisecond."""

from __future__ import annotations

import pytest

from composer.controller import labels
from composer.controller.plan import CreateContainer, RemoveContainer, StartContainer, StopContainer
from composer.errors import NotFoundError, SpecError
from composer.images.config import ImageConfig
from composer.images.store import Image
from tests.unit.controller.conftest import (
    Machine,
    after,
    comes_before,
    keys,
    make_project,
    needs,
    operation_of,
    volume,
)


def shop(**changes):
    services = {
        "web": {"depends_on": needs("api")},
        "api": {"depends_on": needs("db", condition="service_healthy")},
        "db": {"healthcheck": {"test": ["CMD", "true"]}},
    }
    for name, change in changes.items():
        services[name] = {**services.get(name, {}), **change}
    return make_project(services)


class TestFromNothing:
    def test_everything_is_created_and_started(self):
        plan = Machine(make_project({"web": {}})).plan()
        assert keys(plan) == ["create network p_default", "create p-web-1", "start p-web-1"]

    def test_an_empty_project_needs_nothing(self):
        plan = Machine(make_project({}, networks=())).plan()
        assert not plan.operations
        assert plan.exit_code == 0

    def test_a_network_that_no_service_uses_is_not_created(self):
        plan = Machine(make_project({"web": {}}, networks=("default", "unused"))).plan()
        assert "create network p_unused" not in keys(plan)

    def test_a_container_waits_for_its_networks_and_volumes(self):
        project = make_project(
            {"web": {"networks": {"a": None, "b": None}, "volumes": [volume("data")]}},
            networks=("a", "b"),
            volumes=("data",),
        )
        plan = Machine(project).plan()
        assert after(plan, "create p-web-1") == {
            "create network p_a",
            "create network p_b",
            "create volume p_data",
        }

    def test_creating_does_not_wait_for_dependencies(self):
        plan = Machine(shop()).plan()
        assert after(plan, "create p-web-1") == {"create network p_default"}

    def test_service_started_waits_for_the_start(self):
        assert "start p-api-1" in after(Machine(shop()).plan(), "start p-web-1")

    def test_service_healthy_waits_for_the_health(self):
        plan = Machine(shop()).plan()
        assert "wait db healthy" in after(plan, "start p-api-1")
        assert after(plan, "wait db healthy") == {"start p-db-1"}

    def test_one_wait_serves_all_who_wait_for_the_same(self):
        project = make_project(
            {
                "a": {"depends_on": needs("db", condition="service_healthy")},
                "b": {"depends_on": needs("db", condition="service_healthy")},
                "db": {},
            }
        )
        assert keys(Machine(project).plan()).count("wait db healthy") == 1

    def test_completed_waits_for_all_containers_of_the_dependency(self):
        project = make_project(
            {
                "a": {"depends_on": needs("job", condition="service_completed_successfully")},
                "job": {"scale": 2},
            }
        )
        wait = operation_of(Machine(project).plan(), "wait job completed")
        assert wait.containers == ("create p-job-1", "create p-job-2")

    def test_an_optional_dependency_has_a_wait_of_its_own(self):
        project = make_project(
            {"a": {"depends_on": needs("db", condition="service_healthy", required=False)}, "db": {}}
        )
        wait = operation_of(Machine(project).plan(), "wait db healthy optional")
        assert not wait.required

    def test_a_dependency_with_no_containers_is_not_waited_for(self):
        project = make_project(
            {"a": {"depends_on": needs("db", condition="service_healthy")}, "db": {"scale": 0}}
        )
        assert keys(Machine(project).plan()) == [
            "create network p_default",
            "create p-a-1",
            "start p-a-1",
        ]

    def test_replicas_are_numbered_from_one(self):
        plan = Machine(make_project({"web": {"scale": 3}})).plan()
        assert [op.number for op in plan if isinstance(op, CreateContainer)] == [1, 2, 3]

    def test_deploy_replicas_count_too(self):
        plan = Machine(make_project({"web": {"deploy": {"replicas": 2}}})).plan()
        assert len([op for op in plan if isinstance(op, CreateContainer)]) == 2

    def test_the_scale_option_overrides_the_file(self):
        plan = Machine(make_project({"web": {"scale": 3}})).plan(scale={"web": 1})
        assert len([op for op in plan if isinstance(op, CreateContainer)]) == 1

    def test_a_container_name_is_taken_as_it_is(self):
        assert "create boss" in keys(Machine(make_project({"web": {"container_name": "boss"}})).plan())

    def test_a_container_name_does_not_scale(self):
        project = make_project(
            {"web": {"container_name": "boss"}}, locations={"services.web": ("f.yaml", 2, 3)}
        )
        with pytest.raises(SpecError, match=r"^f.yaml:2:3: services.web.container_name: service"):
            Machine(project).plan(scale={"web": 2})

    def test_the_separator_of_old_names(self):
        assert "create p_web_1" in keys(Machine(make_project({"web": {}})).plan(separator="_"))

    def test_create_does_not_start(self):
        plan = Machine(shop()).plan(start=False)
        assert not [op for op in plan if isinstance(op, StartContainer)]
        assert "wait db healthy" not in keys(plan)

    def test_wait_ends_with_every_service(self):
        plan = Machine(shop()).plan(wait=True)
        assert {"final wait web", "final wait api", "final wait db"} <= set(keys(plan))
        assert operation_of(plan, "final wait db").condition == "running_or_healthy"

    def test_wait_expects_one_shot_services_to_complete(self):
        project = make_project(
            {"a": {"depends_on": needs("job", condition="service_completed_successfully")}, "job": {}}
        )
        plan = Machine(project).plan(wait=True)
        assert operation_of(plan, "final wait job").condition == "service_completed_successfully"

    def test_gates_for_a_service_that_is_not_started_here(self):
        plan = Machine(shop()).plan(services=("db",), gate_for="api")
        assert "wait db healthy" in keys(plan)
        assert "create p-api-1" not in keys(plan)

    def test_a_plan_is_in_an_order_that_can_be_carried_out(self):
        seen = set()
        for operation in Machine(shop()).plan(wait=True):
            assert set(operation.after) <= seen
            seen.add(operation.key)


class TestSelection:
    def test_naming_a_service_brings_what_it_needs(self):
        plan = Machine(shop()).plan(services=("api",))
        assert {"create p-api-1", "create p-db-1"} <= set(keys(plan))
        assert "create p-web-1" not in keys(plan)

    def test_without_dependencies_they_are_neither_created_nor_waited_for(self):
        plan = Machine(shop()).plan(services=("api",), no_deps=True)
        assert keys(plan) == ["create network p_default", "create p-api-1", "start p-api-1"]

    def test_an_unknown_service(self):
        with pytest.raises(NotFoundError, match="no such service: nix"):
            Machine(shop()).plan(services=("nix",))

    def test_a_service_of_an_inactive_profile_gets_a_hint(self):
        project = make_project({"a": {}}, disabled={"b": {"image": "i", "profiles": ["debug"]}})
        with pytest.raises(NotFoundError, match="debug"):
            Machine(project).plan(services=("b",))


class TestNothingToDo:
    def test_up_to_date_and_running(self):
        plan = Machine(shop()).up().plan()
        assert not plan.operations
        assert sorted(plan.unchanged) == [("api", "p-api-1"), ("db", "p-db-1"), ("web", "p-web-1")]

    def test_what_restarts_by_itself_is_left_alone(self):
        assert not Machine(make_project({"web": {}})).up(status="restarting").plan().operations

    @pytest.mark.parametrize("status", ["created", "exited"])
    def test_what_does_not_run_is_started(self, status):
        plan = Machine(make_project({"web": {}})).up(status=status).plan()
        assert keys(plan) == ["start p-web-1"]

    def test_the_reason_names_the_exit_code(self):
        machine = Machine(make_project({"web": {}})).up(status="exited")
        machine.change("p-web-1", exit_code=3)
        assert operation_of(machine.plan(), "start p-web-1").reason == "it exited (3)"

    def test_what_is_paused_is_thawed(self):
        assert keys(Machine(make_project({"web": {}})).up(status="paused").plan()) == ["unpause p-web-1"]

    def test_a_started_container_is_gated_too(self):
        machine = Machine(shop()).up()
        machine.change("p-api-1", status="exited")
        plan = machine.plan()
        assert keys(plan) == ["wait db healthy", "start p-api-1"]

    @pytest.mark.parametrize(
        "change",
        [
            {"depends_on": needs("other")},
            {"scale": 1},
            {"deploy": {"replicas": 1}},
            {"pull_policy": "always"},
            {"profiles": ["x"]},
            {"build": {"context": "/w"}},
        ],
    )
    def test_changes_that_change_no_container(self, change):
        before = make_project({"web": {"deploy": {}} if "deploy" in change else {}, "other": {}})
        machine = Machine(before).up()
        plan = machine.plan(make_project({"web": change, "other": {}}))
        assert not [op for op in plan if isinstance(op, CreateContainer)]


RECREATING = [
    {"environment": {"A": "1"}},
    {"labels": {"a": "b"}},
    {"command": ["other"]},
    {"entrypoint": ["other"]},
    {"ports": [{"target": 80, "published": "8080", "protocol": "tcp", "mode": "ingress"}]},
    {"restart": "always"},
    {"user": "1"},
    {"hostname": "h"},
    {"mem_limit": "1048576"},
    {"cap_add": ["NET_ADMIN"]},
    {"read_only": True},
    {"tmpfs": ["/t"]},
    {"volumes": [{"type": "bind", "source": "/", "target": "/h"}]},
    {"healthcheck": {"test": ["CMD", "x"]}},
    {"stop_signal": "SIGINT"},
    {"image": "other"},
    {"networks": {"default": {"aliases": ["x"]}}},
    {"extra_hosts": ["a=1.2.3.4"]},
    {"init": True},
    {"logging": {"driver": "none"}},
]


class TestRecreation:
    @pytest.mark.parametrize("change", RECREATING, ids=lambda change: next(iter(change)))
    def test_what_changes_the_container_recreates_it(self, change):
        plan = Machine(make_project({"web": {}})).up().plan(make_project({"web": change}))
        assert [type(op).__name__ for op in plan] == [
            "CreateContainer",
            "StopContainer",
            "RemoveContainer",
            "RenameContainer",
            "StartContainer",
        ]

    def test_the_new_one_takes_the_place_of_the_old_one(self):
        machine = Machine(make_project({"web": {}})).up()
        old = machine.containers[0]
        create = operation_of(machine.plan(recreate="force"), "create p-web-1")
        assert create.replaces == old.id
        assert create.temporary_name == f"{old.id[:12]}_p-web-1"
        assert create.number == 1
        assert create.inherit_volumes

    def test_the_order_of_the_dance(self):
        machine = Machine(make_project({"web": {}})).up()
        short = machine.containers[0].id[:12]
        plan = machine.plan(recreate="force")
        assert after(plan, f"stop {short}_p-web-1") == {"create p-web-1"}
        assert after(plan, f"remove {short}_p-web-1") == {f"stop {short}_p-web-1"}
        assert after(plan, "rename p-web-1") == {f"remove {short}_p-web-1"}
        assert after(plan, "start p-web-1") == {"rename p-web-1"}

    def test_the_old_one_runs_until_what_the_new_one_waits_for_is_there(self):
        machine = Machine(shop()).up()
        short = next(item.id for item in machine.containers if item.name == "p-api-1")[:12]
        plan = machine.plan(shop(api={"user": "1"}))
        assert "wait db healthy" in after(plan, f"stop {short}_p-api-1")

    def test_what_does_not_run_needs_no_stop(self):
        machine = Machine(make_project({"web": {}})).up(status="exited")
        assert not [op for op in machine.plan(recreate="force") if isinstance(op, StopContainer)]

    def test_fixed_addresses_cannot_be_held_twice(self):
        services = {"web": {"networks": {"default": {"ipv4_address": "10.0.0.5"}}}}
        machine = Machine(make_project(services)).up()
        short = machine.containers[0].id[:12]
        plan = machine.plan(recreate="force")
        create = operation_of(plan, "create p-web-1")
        assert not create.temporary_name
        assert f"remove {short}_p-web-1" in create.after
        assert "rename p-web-1" not in keys(plan)

    def test_the_reason_names_what_changed(self):
        before = make_project({"web": {"environment": {"A": "1", "B": "2"}}})
        machine = Machine(before).up()
        machine.previous = before.document["services"]
        plan = machine.plan(make_project({"web": {"environment": {"A": "1", "B": "3"}, "user": "x"}}))
        assert operation_of(plan, "create p-web-1").reason == "environment.B, user changed"

    def test_without_memory_the_reason_is_general(self):
        plan = Machine(make_project({"web": {}})).up().plan(make_project({"web": {"user": "x"}}))
        assert operation_of(plan, "create p-web-1").reason == "its configuration changed"

    def test_another_image(self):
        machine = Machine(make_project({"web": {}})).up()
        machine.images["web"] = Image("sha256:" + "2" * 64, ImageConfig(cmd=("x",)), (), 0, 0.0)
        assert operation_of(machine.plan(), "create p-web-1").reason == "the image is another one now"

    def test_an_image_that_is_not_known_yet_recreates_nothing(self):
        machine = Machine(make_project({"web": {}})).up()
        machine.images["web"] = Image("", ImageConfig(), (), 0, 0.0)
        assert not machine.plan().operations

    def test_the_content_of_a_config(self):
        def project(text):
            return make_project(
                {"web": {"configs": [{"source": "c"}]}}, configs={"c": {"name": "p_c", "content": text}}
            )

        plan = Machine(project("a")).up().plan(project("b"))
        assert operation_of(plan, "create p-web-1").reason == "the content of a config or secret changed"

    def test_a_network_that_somebody_removed(self):
        machine = Machine(make_project({"web": {}})).up()
        machine.networks.clear()
        plan = machine.plan()
        assert operation_of(plan, "create p-web-1").reason == "it is not on network p_default"
        assert comes_before(plan, "create network p_default", "create p-web-1")

    def test_a_volume_that_somebody_removed(self):
        project = make_project({"web": {"volumes": [volume("data")]}}, volumes=("data",))
        machine = Machine(project).up()
        machine.volumes.clear()
        assert operation_of(machine.plan(), "create p-web-1").reason == "volume p_data is not mounted"

    def test_what_could_not_be_removed_is_replaced_even_when_nothing_may_be(self):
        machine = Machine(make_project({"web": {}})).up(status="dead")
        assert operation_of(machine.plan(recreate="never"), "create p-web-1").replaces

    def test_never(self):
        machine = Machine(make_project({"web": {}})).up()
        plan = machine.plan(make_project({"web": {"user": "1"}}), recreate="never")
        assert not plan.operations

    def test_force_is_for_the_named_services_only(self):
        plan = Machine(shop()).up().plan(services=("api",), recreate="force")
        assert [op.name for op in plan if isinstance(op, CreateContainer)] == ["p-api-1"]

    def test_dependencies_are_forced_separately(self):
        plan = Machine(shop()).up().plan(services=("api",), recreate_dependencies="force")
        assert [op.name for op in plan if isinstance(op, CreateContainer)] == ["p-db-1"]

    def test_fresh_volumes_force_recreation_and_take_the_old_ones_along(self):
        machine = Machine(make_project({"web": {}})).up()
        plan = machine.plan(renew_volumes=True)
        assert not operation_of(plan, "create p-web-1").inherit_volumes
        assert next(op for op in plan if isinstance(op, RemoveContainer)).volumes

    def test_the_timeout_is_handed_on(self):
        plan = Machine(make_project({"web": {}})).up().plan(recreate="force", timeout=3.0)
        assert next(op for op in plan if isinstance(op, StopContainer)).timeout == 3.0

    def test_hooks_do_not_run_when_a_container_is_replaced(self):
        plan = Machine(make_project({"web": {}})).up().plan(recreate="force")
        assert not next(op for op in plan if isinstance(op, StopContainer)).hooks

    def test_dependants_that_said_so_are_stopped_first_and_started_again(self):
        services = {"web": {"depends_on": needs("db", restart=True)}, "db": {}}
        machine = Machine(make_project(services)).up()
        short = next(item.id for item in machine.containers if item.name == "p-db-1")[:12]
        plan = machine.plan(make_project({**services, "db": {"user": "1"}}))
        assert comes_before(plan, "stop p-web-1", f"stop {short}_p-db-1")
        assert comes_before(plan, "start p-db-1", "start p-web-1")
        assert ("web", "p-web-1") not in plan.unchanged

    def test_other_dependants_run_on(self):
        services = {"web": {"depends_on": needs("db")}, "db": {}}
        plan = Machine(make_project(services)).up().plan(make_project({**services, "db": {"user": "1"}}))
        assert plan.unchanged == (("web", "p-web-1"),)

    @pytest.mark.parametrize("attribute", ["network_mode", "ipc", "pid"])
    def test_who_shares_a_namespace_is_recreated_with_its_owner(self, attribute):
        services = {"side": {attribute: "service:main"}, "main": {}}
        machine = Machine(make_project(services)).up()
        plan = machine.plan(make_project({**services, "main": {"user": "1"}}))
        create = operation_of(plan, "create p-side-1")
        assert create.reason == "it shares a namespace or volumes with main, which is made anew"
        assert "create p-main-1" in create.after

    def test_volumes_from_follows_too(self):
        services = {"side": {"volumes_from": ["main:ro"]}, "main": {}}
        machine = Machine(make_project(services)).up()
        plan = machine.plan(make_project({**services, "main": {"user": "1"}}))
        assert operation_of(plan, "create p-side-1").replaces

    def test_sharing_with_an_owner_that_stays_changes_nothing(self):
        services = {"side": {"network_mode": "service:main"}, "main": {}}
        assert not Machine(make_project(services)).up().plan().operations

    def test_an_owner_that_was_removed_by_hand(self):
        services = {"side": {"network_mode": "service:main"}, "main": {}}
        machine = Machine(make_project(services)).up()
        machine.containers = [item for item in machine.containers if item.name != "p-main-1"]
        assert operation_of(machine.plan(), "create p-side-1").replaces


class TestInterrupted:
    def half_made(self, machine, *, keep_old):
        old = machine.containers[0]
        new = machine.add("web", 1, status="created", name=f"{old.id[:12]}_p-web-1")
        machine.label(new.name, **{labels.REPLACE: "p-web-1"})
        if not keep_old:
            machine.containers.remove(old)
        return new

    def test_a_replacement_beside_its_original_is_removed(self):
        machine = Machine(make_project({"web": {}})).up()
        new = self.half_made(machine, keep_old=True)
        plan = machine.plan()
        assert keys(plan) == [f"remove half-made {new.name}"]
        assert plan.unchanged == (("web", "p-web-1"),)

    def test_and_its_name_is_free_before_it_is_needed_again(self):
        machine = Machine(make_project({"web": {}})).up()
        new = self.half_made(machine, keep_old=True)
        plan = machine.plan(recreate="force")
        create = operation_of(plan, "create p-web-1")
        assert create.temporary_name == new.name
        assert f"remove half-made {new.name}" in create.after
        removals = [op.container for op in plan if isinstance(op, RemoveContainer)]
        assert removals == [new.id, machine.containers[0].id]

    def test_a_replacement_whose_original_is_gone_gets_its_name(self):
        machine = Machine(make_project({"web": {}})).up()
        self.half_made(machine, keep_old=False)
        plan = machine.plan()
        assert keys(plan) == ["rename p-web-1", "start p-web-1"]
        assert after(plan, "start p-web-1") == {"rename p-web-1"}


class TestScale:
    def test_up_continues_after_the_highest_number(self):
        machine = Machine(make_project({"web": {}})).up()
        machine.containers.clear()
        machine.add("web", 1)
        machine.add("web", 5)
        plan = machine.plan(scale={"web": 3})
        assert [op.name for op in plan if isinstance(op, CreateContainer)] == ["p-web-6"]

    def test_down_removes_the_highest_number(self):
        machine = Machine(make_project({"web": {"scale": 3}})).up()
        plan = machine.plan(scale={"web": 2})
        assert keys(plan) == ["stop p-web-3", "remove p-web-3"]

    def test_down_removes_what_is_out_of_date_first(self):
        machine = Machine(make_project({"web": {"scale": 3}})).up()
        machine.label("p-web-1", **{labels.CONFIG_HASH: "old"})
        plan = machine.plan(scale={"web": 2})
        assert keys(plan) == ["stop p-web-1", "remove p-web-1"]

    def test_to_nothing(self):
        plan = Machine(make_project({"web": {"scale": 2}})).up().plan(scale={"web": 0})
        assert len([op for op in plan if isinstance(op, RemoveContainer)]) == 2

    def test_replicas_are_compared_one_by_one(self):
        machine = Machine(make_project({"web": {"scale": 2}})).up()
        machine.label("p-web-2", **{labels.CONFIG_HASH: "old"})
        plan = machine.plan()
        assert [op.name for op in plan if isinstance(op, CreateContainer)] == ["p-web-2"]
        assert plan.unchanged == (("web", "p-web-1"),)


class TestOrphans:
    def machine(self):
        machine = Machine(make_project({"web": {}, "old": {}})).up()
        machine.project = make_project({"web": {}})
        return machine

    def test_they_are_mentioned(self):
        plan = self.machine().plan()
        assert not plan.operations
        assert "Found orphan containers (p-old-1)" in plan.warnings[0]

    def test_they_are_removed_on_request(self):
        assert keys(self.machine().plan(remove_orphans=True)) == ["stop p-old-1", "remove p-old-1"]

    def test_or_not_mentioned(self):
        assert not self.machine().plan(ignore_orphans=True).warnings

    def test_services_of_inactive_profiles_are_none(self):
        machine = self.machine()
        machine.project = make_project({"web": {}}, disabled={"old": {"image": "i"}})
        assert not machine.plan().warnings

    def test_one_off_containers_that_ended_go_with_them(self):
        machine = Machine(make_project({"web": {}})).up()
        machine.add("web", 2, status="exited", name="p-web-run-1")
        machine.label("p-web-run-1", **{labels.ONE_OFF: "True"})
        assert not machine.plan().warnings
        assert keys(machine.plan(remove_orphans=True)) == ["remove p-web-run-1"]

    def test_one_off_containers_are_no_replicas(self):
        machine = Machine(make_project({"web": {}})).up()
        machine.add("web", 7, name="p-web-run-1")
        machine.label("p-web-run-1", **{labels.ONE_OFF: "True"})
        plan = machine.plan(scale={"web": 2})
        assert [op.name for op in plan if isinstance(op, CreateContainer)] == ["p-web-2"]


class TestPreStart:
    def project(self):
        return make_project({"web": {"pre_start": [{"command": ["a"]}, {"command": ["b"]}], "scale": 2}})

    def test_hooks_run_one_after_the_other_before_the_first_replica(self):
        plan = Machine(self.project()).plan()
        assert "pre_start web 0" in after(plan, "pre_start web 1")
        assert "pre_start web 1" in after(plan, "start p-web-1")
        assert "pre_start web 1" in after(plan, "start p-web-2")

    def test_not_while_a_replica_runs(self):
        machine = Machine(self.project()).up(replicas=1)
        assert not [key for key in keys(machine.plan()) if key.startswith("pre_start")]
