"""Values for tests of the controller: projects from short dictionaries, containers as if they existed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from composer.controller import labels
from composer.controller.containers import (
    Identity,
    container_config,
    network_config,
    volume_config,
)
from composer.controller.divergence import ServiceFacts
from composer.controller.mounts import written_files
from composer.controller.observe import Observed
from composer.controller.options import UpOptions
from composer.controller.reconcile import reconcile
from composer.controller.surroundings import Surroundings
from composer.engine import ContainerState, Endpoint, NetworkState, VolumeState
from composer.graph import Graph
from composer.images.config import ImageConfig
from composer.images.store import Image
from composer.spec.model import Project

IMAGE = Image("sha256:" + "1" * 64, ImageConfig(cmd=("run",)), (), 0, 0.0)


def make_project(
    services, *, name="p", networks=("default",), volumes=(), locations=None, disabled=None, **top
):
    """A project; each service gets an image and the default network unless it says otherwise."""
    full = {}
    for key, value in services.items():
        entry = {"image": "img", **(value or {})}
        if "network_mode" not in entry:
            entry.setdefault("networks", {"default": None})
        full[key] = entry
    document = {
        "name": name,
        "services": full,
        "networks": {key: {"name": f"{name}_{key}"} for key in networks},
        "volumes": {key: {"name": f"{name}_{key}"} for key in volumes},
        **top,
    }
    return Project.from_canonical(document, locations=locations, disabled=disabled, working_dir="/w")


def needs(*names, **fields):
    return {name: {"condition": "service_started", **fields} for name in names}


def volume(source, target="/data"):
    return {"type": "volume", "source": source, "target": target, "volume": {}}


class Machine:
    """What exists, as if `up` had made it."""

    def __init__(self, project, *, images=None):
        self.project = project
        self.images = images or {}
        self.containers = []
        self.networks = []
        self.volumes = []
        self.previous = {}
        self._count = 0

    def id(self):
        self._count += 1
        return f"{self._count:064x}"

    def surroundings(self):
        replicas = {}
        for item in self.containers:
            replicas.setdefault(labels.service_of(item), []).append(item)
        return Surroundings(
            self.project,
            images={key: self.images.get(key, IMAGE) for key in self.project.services},
            networks={
                key: next((n.config.id for n in self.networks if n.config.name == net.name), "none")
                for key, net in self.project.networks.items()
            },
            replicas={key: tuple(items) for key, items in replicas.items()},
        )

    def up(self, *services, status="running", replicas=None):
        """Networks, volumes and containers of *services* (all by default), up to date."""
        for key, network in self.project.networks.items():
            if not any(item.config.name == network.name for item in self.networks):
                config = network_config(self.project, key, self.id())
                self.networks.append(NetworkState(config, (), "br-x"))
        for key, item in self.project.volumes.items():
            if not any(known.config.name == item.name for known in self.volumes):
                self.volumes.append(VolumeState(volume_config(self.project, key), "/v"))
        for name in Graph.of(self.project).sorted(set(services or self.project.services)):
            service = self.project.services[name]
            for number in range(1, 1 + (service.replicas if replicas is None else replicas)):
                self.add(name, number, status=status)
        return self

    def add(self, service, number=1, *, status="running", name="", **changes):
        identity = Identity(self.id(), name or f"{self.project.name}-{service}-{number}", number)
        config, anonymous = container_config(
            self.surroundings(), self.project.services[service], identity, new_volume=self.id
        )
        for item in anonymous:
            self.volumes.append(VolumeState(item, "/v"))
        endpoints = tuple(
            Endpoint(item.network, "n", "eth0", "m") for item in config.attachments if status == "running"
        )
        state = ContainerState(config.id, config.name, status, config, endpoints=endpoints, **changes)
        self.containers.append(state)
        return state

    def change(self, name, **changes):
        self.containers = [
            replace(item, **changes) if item.name == name else item for item in self.containers
        ]

    def label(self, name, **values):
        for item in list(self.containers):
            if item.name == name:
                config = replace(item.config, labels={**item.config.labels, **values})
                self.change(name, config=config)

    def observed(self):
        return Observed(
            self.project.name,
            tuple(self.containers),
            tuple(self.networks),
            tuple(self.volumes),
            self.previous,
        )

    def plan(self, project=None, **options):
        """The plan of `up` for *project* (default: what the machine was made from)."""
        project = project or self.project
        facts = {
            name: ServiceFacts(self.images.get(name, IMAGE).id, files_hash=_files(project, name))
            for name in project.services
        }
        return reconcile(project, Graph.of(project), self.observed(), facts, UpOptions(**options))


def _files(project, name):
    from composer.controller.divergence import files_hash

    return files_hash(written_files(project, project.services[name]))


def keys(plan):
    return [operation.key for operation in plan]


def after(plan, key):
    return set(operation_of(plan, key).after)


def operation_of(plan, key):
    return next(operation for operation in plan if operation.key == key)


def comes_before(plan, first, second):
    """Whether *second* waits for *first*, directly or not."""
    by_key = {operation.key: operation for operation in plan}
    assert first in by_key, f"{first} is not in {list(by_key)}"
    waiting, seen = [second], set()
    while waiting:
        key = waiting.pop()
        if key == first and key != second:
            return True
        if key not in seen and key in by_key:
            seen.add(key)
            waiting.extend(by_key[key].after)
    return False


@pytest.fixture
def machine():
    return Machine
