"""Networks and volumes in the plan of `up`."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from composer.controller import labels
from composer.controller.plan import CreateContainer
from composer.errors import NotFoundError, SpecError
from composer.spec.model import Project
from tests.unit.controller.conftest import (
    Machine,
    after,
    comes_before,
    keys,
    make_project,
    operation_of,
    volume,
)


def with_network(**network):
    return Project.from_canonical(
        {
            "name": "p",
            "services": {"web": {"image": "img", "networks": {"net": None}}},
            "networks": {"net": {"name": "p_net", **network}},
        }
    )


def with_volume(**entry):
    return Project.from_canonical(
        {
            "name": "p",
            "services": {"web": {"image": "img", "network_mode": "none", "volumes": [volume("data")]}},
            "volumes": {"data": {"name": "p_data", **entry}},
        },
        locations={"volumes.data": ("f.yaml", 7, 3)},
    )


class TestNetworks:
    def test_an_external_one_must_exist(self):
        with pytest.raises(NotFoundError, match="network p_net declared as external, but could not be found"):
            Machine(with_network(external=True)).plan()

    def test_an_external_one_is_used_as_it_is(self):
        machine = Machine(with_network()).up()
        machine.containers.clear()
        plan = machine.plan(with_network(external=True))
        assert keys(plan) == ["create p-web-1", "start p-web-1"]
        assert not plan.warnings

    def test_one_of_somebody_else_is_used_with_a_warning(self):
        machine = Machine(with_network()).up()
        state = machine.networks[0]
        machine.networks[0] = replace(state, config=replace(state.config, labels={}))
        plan = machine.plan()
        assert "was not created for project" in plan.warnings[0]
        assert not plan.operations

    def test_a_changed_one_is_made_anew_under_its_id_and_containers_are_not(self):
        machine = Machine(with_network()).up()
        plan = machine.plan(with_network(internal=True))
        assert not [op for op in plan if isinstance(op, CreateContainer)]
        assert operation_of(plan, "create network p_net").id == machine.networks[0].config.id
        order = [
            "stop p-web-1 for network p_net",
            "disconnect p-web-1 p_net",
            "remove network p_net",
            "create network p_net",
            "connect p-web-1 p_net",
            "start p-web-1",
        ]
        for first, second in itertools.pairwise(order):
            assert comes_before(plan, first, second), (first, second)

    def test_containers_of_services_that_are_not_asked_for_are_started_again(self):
        def project(**network):
            services = {name: {"image": "img", "networks": {"net": None}} for name in ("web", "other")}
            networks = {"net": {"name": "p_net", **network}}
            return Project.from_canonical({"name": "p", "services": services, "networks": networks})

        plan = Machine(project()).up().plan(project(internal=True), services=("web",))
        assert comes_before(plan, "connect p-other-1 p_net", "start p-other-1")

    def test_the_default_bridge_is_made_once_for_the_machine(self):
        plan = Machine(make_project({"a": {"network_mode": "bridge"}}, networks=())).plan()
        assert after(plan, "create p-a-1") == {"create network bridge"}

    @pytest.mark.parametrize("mode", ["none", "host"])
    def test_other_modes_need_no_network(self, mode):
        plan = Machine(make_project({"a": {"network_mode": mode}})).plan()
        assert keys(plan) == ["create p-a-1", "start p-a-1"]


class TestVolumes:
    def test_an_external_one_must_exist(self):
        with pytest.raises(
            NotFoundError, match=r'^f.yaml:7:3: volumes.data: external volume "p_data" not found'
        ):
            Machine(with_volume(external=True)).plan()

    def test_a_changed_one_is_kept_with_a_warning(self):
        plan = Machine(with_volume()).up().plan(with_volume(driver_opts={"type": "tmpfs"}))
        assert not [key for key in keys(plan) if "volume" in key]
        assert "-y" in plan.warnings[0]

    def test_or_made_anew_with_the_containers_that_use_it(self):
        machine = Machine(with_volume()).up()
        short = machine.containers[0].id[:12]
        plan = machine.plan(with_volume(driver_opts={"type": "tmpfs"}), recreate_resources=True)
        order = [
            f"stop {short}_p-web-1",
            f"remove {short}_p-web-1",
            "remove volume p_data",
            "create volume p_data",
            "create p-web-1",
            "start p-web-1",
        ]
        for first, second in itertools.pairwise(order):
            assert comes_before(plan, first, second), (first, second)

    def test_one_of_somebody_else_is_used_with_a_warning(self):
        machine = Machine(with_volume()).up()
        state = machine.volumes[0]
        own = {**state.config.labels, labels.PROJECT: "q"}
        machine.volumes[0] = replace(state, config=replace(state.config, labels=own))
        assert "was not created for project" in machine.plan().warnings[0]

    def test_an_undefined_one(self):
        with pytest.raises(SpecError, match='service "web" refers to undefined volume nix'):
            Machine(make_project({"web": {"volumes": [volume("nix")]}})).plan()
