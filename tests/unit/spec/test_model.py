"""`Project` from a canonical document."""

from __future__ import annotations

import pytest

from composer.errors import Location
from composer.spec.hashes import service_config_hash
from composer.spec.model import Project, Ulimit

DOCUMENT = {
    "name": "shop",
    "x-note": {"a": 1},
    "services": {
        "web": {
            "command": None,
            "entrypoint": [],
            "image": "nginx",
            "mem_limit": "268435456",
            "stop_grace_period": "1m30s",
            "networks": {"default": None, "back": {"aliases": ["w"], "priority": 5}},
            "depends_on": {"db": {"condition": "service_healthy", "required": True}},
            "deploy": {
                "replicas": 2,
                "placement": {},
                "resources": {"limits": {"cpus": 0.5, "memory": "100"}},
            },
            "healthcheck": {"test": ["CMD", "true"], "interval": "1s", "retries": 2},
            "ports": [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}],
            "secrets": [{"source": "key", "target": "/run/secrets/key", "mode": "0440"}],
            "ulimits": {"nofile": {"soft": 1, "hard": 2}, "nproc": 7},
            "volumes": [{"type": "bind", "source": "/s", "target": "/t", "bind": {"create_host_path": True}}],
            "environment": {"A": "1", "B": None},
            "x-team": "ops",
        }
    },
    "networks": {"default": {"name": "shop_default", "ipam": {}}, "back": {"name": "b", "ipam": {}}},
    "secrets": {"key": {"name": "shop_key", "environment": "KEY", "content": "hush"}},
}


def test_every_kind_of_value_is_decoded():
    project = Project.from_canonical(DOCUMENT)
    web = project.services["web"]
    assert web.command is None
    assert web.entrypoint == ()
    assert web.mem_limit == 268435456
    assert web.stop_grace_period == 90.0
    assert web.networks["default"].aliases == ()
    assert web.networks["back"].priority == 5
    assert web.depends_on["db"].condition == "service_healthy"
    assert web.replicas == 2
    assert web.deploy.resources.limits.memory == 100
    assert web.healthcheck.interval == 1.0
    assert web.ports[0].published == "8080"
    assert web.secrets[0].mode == 0o440
    assert web.ulimits == {"nofile": Ulimit(1, 2), "nproc": Ulimit(7, 7)}
    assert web.volumes[0].bind.create_host_path
    assert web.environment == {"A": "1", "B": None}
    assert web.extensions == {"x-team": "ops"}
    assert project.secrets["key"].content == "hush"
    assert project.extensions == {"x-note": {"a": 1}}


def test_an_unknown_attribute_is_an_error():
    with pytest.raises(TypeError, match="imagee"):
        Project.from_canonical({"name": "a", "services": {"b": {"imagee": "c"}}})


def test_locate_finds_the_nearest_place():
    project = Project.from_canonical(DOCUMENT, locations={"services.web": ("/p/compose.yaml", 3, 5)})
    assert project.locate("services.web.ports[0].target") == Location("/p/compose.yaml", 3, 5)
    assert project.locate("networks.default") is None


def test_the_hash_ignores_what_recreates_nothing():
    web = DOCUMENT["services"]["web"]
    same = {**web, "depends_on": {}, "scale": 7, "deploy": {**web["deploy"], "replicas": 9}, "build": {}}
    assert service_config_hash(web) == service_config_hash(same)
    assert service_config_hash(web) != service_config_hash({**web, "labels": {"a": "b"}})
