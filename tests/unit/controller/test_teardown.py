"""Plans of down, stop, start, restart, kill, rm, pause and unpause."""

from __future__ import annotations

from dataclasses import replace

import pytest

from composer.controller import labels
from composer.controller.down import plan_down
from composer.controller.options import DownOptions, SelectOptions, UpOptions
from composer.controller.teardown import (
    graph_of,
    plan_kill,
    plan_pause,
    plan_remove,
    plan_restart,
    plan_start,
    plan_start_known,
    plan_stop,
)
from composer.errors import NotFoundError
from composer.graph import Graph
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


def chain(**web):
    return make_project(
        {"web": {"depends_on": needs("api", **web)}, "api": {"depends_on": needs("db")}, "db": {}}
    )


def up(project=None):
    return Machine(project or chain()).up()


class TestOrder:
    def test_labels_know_what_depends_on_what(self):
        graph = graph_of(up().observed())
        assert graph.order == ("db", "api", "web")

    def test_a_circle_that_labels_of_different_ages_make_is_cut(self):
        machine = up(make_project({"a": {"depends_on": needs("b")}, "b": {}}))
        machine.label("p-b-1", **{labels.DEPENDS_ON: "a:service_started:false"})
        assert sorted(graph_of(machine.observed()).order) == ["a", "b"]


class TestStop:
    def test_dependants_first(self):
        plan = plan_stop(up().observed(), SelectOptions())
        assert comes_before(plan, "stop p-web-1", "stop p-api-1")
        assert comes_before(plan, "stop p-api-1", "stop p-db-1")

    def test_order_holds_across_a_service_that_is_not_there(self):
        machine = up()
        machine.containers = [item for item in machine.containers if item.name != "p-api-1"]
        plan = plan_stop(machine.observed(), SelectOptions(), machine.project)
        assert comes_before(plan, "stop p-web-1", "stop p-db-1")

    def test_only_what_is_named(self):
        assert keys(plan_stop(up().observed(), SelectOptions(services=("web",)))) == ["stop p-web-1"]

    def test_what_does_not_run_is_left(self):
        machine = up()
        machine.change("p-web-1", status="exited")
        assert "stop p-web-1" not in keys(plan_stop(machine.observed(), SelectOptions()))

    def test_hooks_run(self):
        assert operation_of(plan_stop(up().observed(), SelectOptions()), "stop p-db-1").hooks

    def test_an_unknown_service(self):
        with pytest.raises(NotFoundError, match="no such service: nix"):
            plan_stop(up().observed(), SelectOptions(services=("nix",)))


class TestDown:
    def test_everything_goes_networks_last(self):
        plan = plan_down(up().observed(), DownOptions())
        assert set(keys(plan)) == {
            *(f"{verb} p-{name}-1" for verb in ("stop", "remove") for name in ("web", "api", "db")),
            "remove network p_default",
        }
        assert comes_before(plan, "remove p-db-1", "remove network p_default")

    def test_nothing_there_is_a_warning(self):
        plan = plan_down(Machine(chain()).observed(), DownOptions())
        assert plan.warnings == ('No resource found to remove for project "p".',)

    def test_a_service_takes_its_dependants_along_but_no_network_in_use(self):
        plan = plan_down(up().observed(), DownOptions(services=("api",)))
        assert set(keys(plan)) == {"stop p-web-1", "remove p-web-1", "stop p-api-1", "remove p-api-1"} | {
            key for key in keys(plan) if key.startswith("remove network")
        }

    def test_volumes_stay(self):
        machine = up(make_project({"db": {"volumes": [volume("data")]}}, volumes=("data",)))
        assert not [key for key in keys(plan_down(machine.observed(), DownOptions())) if "volume" in key]

    @pytest.mark.parametrize("with_file", [True, False])
    def test_or_go_on_request(self, with_file):
        machine = up(make_project({"db": {"volumes": [volume("data")]}}, volumes=("data",)))
        project = machine.project if with_file else None
        plan = plan_down(machine.observed(), DownOptions(volumes=True), project)
        assert comes_before(plan, "remove p-db-1", "remove volume p_data")
        assert operation_of(plan, "remove p-db-1").volumes

    def test_anonymous_volumes_that_nobody_uses_go_too(self):
        machine = up(make_project({"db": {"volumes": [volume("")]}}))
        left = machine.volumes[0].config.name
        machine.containers.clear()
        assert f"remove volume {left}" in keys(plan_down(machine.observed(), DownOptions(volumes=True)))

    def test_external_volumes_never_go(self):
        project = make_project({"db": {"volumes": [volume("data")]}}, volumes=())
        document = {**project.document, "volumes": {"data": {"name": "x", "external": True}}}
        project = type(project).from_canonical(document)
        machine = up(project)
        plan = plan_down(machine.observed(), DownOptions(volumes=True), project)
        assert not [key for key in keys(plan) if "volume" in key]

    def test_orphans_stay_unless_asked_for(self):
        machine = up(make_project({"web": {}, "old": {}}))
        now = make_project({"web": {}})
        assert "remove p-old-1" not in keys(plan_down(machine.observed(), DownOptions(), now))
        plan = plan_down(machine.observed(), DownOptions(remove_orphans=True), now)
        assert "remove p-old-1" in keys(plan)

    def test_one_off_containers_stay_unless_asked_for(self):
        machine = up()
        machine.add("web", 2, name="p-web-run-1")
        machine.label("p-web-run-1", **{labels.ONE_OFF: "True"})
        assert "remove p-web-run-1" not in keys(plan_down(machine.observed(), DownOptions()))
        plan = plan_down(machine.observed(), DownOptions(remove_orphans=True))
        assert "remove p-web-run-1" in keys(plan)

    def test_one_off_containers_that_stay_are_named(self):
        machine = up()
        machine.add("web", 2, name="p-web-run-1")
        machine.label("p-web-run-1", **{labels.ONE_OFF: "True"})
        [warning] = plan_down(machine.observed(), DownOptions()).warnings
        assert "p-web-run-1" in warning
        assert "--remove-orphans" in warning
        assert not plan_down(machine.observed(), DownOptions(remove_orphans=True)).warnings
        assert not plan_down(machine.observed(), DownOptions(services=("web",))).warnings

    @pytest.mark.parametrize("status", ["exited", "created", "running"])
    def test_what_has_ended_and_stays_does_not_keep_a_network(self, status):
        machine = up()
        left = machine.add("web", 2, name="p-web-run-1", status=status)
        machine.label("p-web-run-1", **{labels.ONE_OFF: "True"})
        machine.networks = [replace(item, containers=(left.id,)) for item in machine.networks]
        plan = plan_down(machine.observed(), DownOptions())
        leave = "disconnect p-web-run-1 from p_default"
        assert (leave in keys(plan)) == (status != "running")
        assert "remove network p_default" in keys(plan)
        if status != "running":
            assert comes_before(plan, leave, "remove network p_default")

    def test_a_stranger_on_a_network_is_left_there(self):
        machine = up()
        machine.networks = [replace(item, containers=("e" * 64,)) for item in machine.networks]
        plan = plan_down(machine.observed(), DownOptions())
        assert not [key for key in keys(plan) if key.startswith("disconnect")]
        assert "remove network p_default" in keys(plan)

    def test_local_images_are_those_without_a_name_of_their_own(self):
        project = make_project({"a": {"build": {"context": "/w"}, "image": ""}, "b": {"image": "i"}})
        machine = up(project)
        plan = plan_down(machine.observed(), DownOptions(images="local"), project)
        assert [key for key in keys(plan) if "image" in key] == ["remove image p-a"]
        plan = plan_down(machine.observed(), DownOptions(images="all"), project)
        assert {key for key in keys(plan) if "image" in key} == {"remove image p-a", "remove image i"}


def start(machine, **options):
    project = machine.project
    select = SelectOptions(**options)
    return plan_start(
        project,
        Graph.of(project),
        machine.observed(),
        select,
        UpOptions(services=select.services, wait=select.wait),
    )


class TestStart:
    def test_in_order(self):
        plan = start(Machine(chain()).up(status="exited"))
        assert keys(plan) == ["start p-db-1", "start p-api-1", "start p-web-1"]

    def test_nothing_is_created_or_recreated(self):
        machine = Machine(chain()).up(status="exited")
        machine.label("p-db-1", **{labels.CONFIG_HASH: "old"})
        assert keys(start(machine)) == ["start p-db-1", "start p-api-1", "start p-web-1"]

    def test_no_container(self):
        with pytest.raises(NotFoundError, match='service "db" has no container to start'):
            start(Machine(chain()))

    def test_a_missing_dependency(self):
        machine = Machine(chain()).up(status="exited")
        machine.containers = [item for item in machine.containers if item.name != "p-db-1"]
        with pytest.raises(NotFoundError, match="api is missing dependency db"):
            start(machine, services=("web",))

    def test_wait(self):
        assert "final wait db" in keys(start(Machine(chain()).up(status="exited"), wait=True))


class TestStartWithoutAFile:
    def test_in_order_as_the_labels_say(self):
        machine = Machine(chain()).up(status="exited")
        assert keys(plan_start_known(machine.observed(), SelectOptions())) == [
            *("start p-db-1", "start p-api-1", "start p-web-1")
        ]

    def test_with_what_it_needs_or_without(self):
        observed = Machine(chain()).up(status="exited").observed()
        plan = plan_start_known(observed, SelectOptions(services=("api",)))
        assert keys(plan) == ["start p-db-1", "start p-api-1"]
        plan = plan_start_known(observed, SelectOptions(services=("api",), no_deps=True))
        assert keys(plan) == ["start p-api-1"]

    def test_conditions_are_waited_for(self):
        healthy = {"db": {"condition": "service_healthy"}}
        project = make_project({"web": {"depends_on": healthy}, "db": {}})
        plan = plan_start_known(Machine(project).up(status="exited").observed(), SelectOptions(wait=True))
        assert comes_before(plan, "start p-db-1", "wait db service_healthy")
        assert after(plan, "start p-web-1") == {"wait db service_healthy"}
        assert "wait web running_or_healthy" in keys(plan)

    def test_what_runs_is_left(self):
        machine = up()
        machine.change("p-api-1", status="exited")
        plan = plan_start_known(machine.observed(), SelectOptions())
        assert keys(plan) == ["start p-api-1"]
        assert ("db", "p-db-1") in plan.unchanged

    def test_an_unknown_service(self):
        with pytest.raises(NotFoundError, match="no such service: nix"):
            plan_start_known(up().observed(), SelectOptions(services=("nix",)))


class TestRestart:
    def test_stops_in_reverse_order_then_starts_in_order(self):
        plan = plan_restart(up().observed(), SelectOptions())
        assert comes_before(plan, "stop p-web-1", "stop p-db-1")
        assert comes_before(plan, "stop p-db-1", "start p-db-1")
        assert comes_before(plan, "start p-db-1", "start p-web-1")

    def test_dependants_come_along_only_if_they_said_so(self):
        machine = up(chain(restart=True))
        assert set(keys(plan_restart(machine.observed(), SelectOptions(services=("api",))))) == {
            *("stop p-web-1", "start p-web-1", "stop p-api-1", "start p-api-1")
        }
        assert "stop p-api-1" not in keys(plan_restart(machine.observed(), SelectOptions(services=("db",))))

    def test_or_not_at_all(self):
        plan = plan_restart(
            up(chain(restart=True)).observed(), SelectOptions(services=("api",), no_deps=True)
        )
        assert keys(plan) == ["stop p-api-1", "start p-api-1"]

    def test_what_was_stopped_is_started(self):
        machine = Machine(chain()).up(status="exited")
        plan = plan_restart(machine.observed(), SelectOptions(services=("db",)))
        assert keys(plan) == ["start p-db-1"]


class TestTheOthers:
    def test_kill(self):
        plan = plan_kill(up().observed(), SelectOptions(services=("db",), signal="SIGHUP"))
        assert operation_of(plan, "kill p-db-1").signal == "SIGHUP"

    def test_rm_takes_what_has_ended(self):
        machine = up()
        machine.change("p-web-1", status="exited")
        assert keys(plan_remove(machine.observed(), SelectOptions())) == ["remove p-web-1"]

    def test_rm_may_stop_first(self):
        plan = plan_remove(up().observed(), SelectOptions(stop=True, services=("db",)))
        assert after(plan, "remove p-db-1") == {"stop p-db-1"}

    def test_rm_of_nothing_is_a_warning(self):
        assert plan_remove(up().observed(), SelectOptions()).warnings == ("No stopped containers",)

    def test_pause_what_runs_and_unpause_what_is_paused(self):
        machine = up()
        machine.change("p-web-1", status="paused")
        assert set(keys(plan_pause(machine.observed(), SelectOptions()))) == {"pause p-api-1", "pause p-db-1"}
        plan = plan_pause(machine.observed(), SelectOptions(), thaw=True)
        assert keys(plan) == ["unpause p-web-1"]

    def test_what_cannot_be_paused_is_named(self):
        machine = up()
        machine.change("p-web-1", status="paused")
        machine.change("p-db-1", status="exited")
        plan = plan_pause(machine.observed(), SelectOptions(services=("web", "db")))
        assert keys(plan) == []
        assert set(plan.warnings) == {
            "p-web-1 is paused already", "p-db-1 is exited, and cannot be paused"
        }  # fmt: skip

    def test_a_network_of_another_project_stays(self):
        machine = up()
        state = machine.networks[0]
        machine.networks[0] = replace(state, config=replace(state.config, labels={labels.PROJECT: "q"}))
        assert "remove network p_default" not in keys(plan_down(machine.observed(), DownOptions()))
