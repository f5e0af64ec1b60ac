"""The schema, our reading of it, the loader's table and the attribute table know the same words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from composer.errors import SpecError
from composer.spec import attributes
from composer.spec.fields import PROJECT, ListOf, MapOf, Struct
from composer.spec.loading import load
from composer.spec.model import Project
from composer.spec.validate import schema, schema_text, validate
from tests.unit.spec.test_fuzz import KEYS, VALUES

ROOT = Path(__file__).parents[3]
VALIDATOR = jsonschema.Draft202012Validator(schema())
# Read before the model is complete, or accepted and dropped as the reference does.
ONLY_IN_SCHEMA = {"service.extends", "service.pull_refresh_after"}
# Kept by the loader, though a file that says so has been refused.
ONLY_IN_LOADER = {"config.driver", "config.driver_opts"}


def both(model):
    try:
        validate(model)
        ours = True
    except SpecError:
        ours = False
    return ours, VALIDATOR.is_valid(json.loads(json.dumps(model)))


def test_it_is_a_schema_that_explains_every_key():
    jsonschema.Draft202012Validator.check_schema(schema())
    missing = []

    def walk(node, path):
        if not isinstance(node, dict):
            return
        for name, below in node.get("properties", {}).items():
            if "description" not in below:
                missing.append(f"{path}.{name}")
            walk(below, f"{path}.{name}")
        for key in ("items", "additionalProperties"):
            walk(node.get(key), f"{path}[]")
        for below in [*node.get("oneOf", []), *node.get("patternProperties", {}).values()]:
            walk(below, path)

    walk(schema(), "")
    for name, node in schema()["$defs"].items():
        walk(node, name)
    assert missing == []


def test_examples_are_valid():
    def walk(node, path):
        if not isinstance(node, dict):
            return
        for example in node.get("examples", ()):
            checker = jsonschema.Draft202012Validator({**node, "$defs": schema()["$defs"]})
            assert checker.is_valid(example), (path, example)
        for name, below in {**node.get("properties", {}), **node.get("$defs", {})}.items():
            walk(below, f"{path}.{name}")
        for below in node.get("oneOf", []):
            walk(below, path)

    walk(schema(), "")


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(key=KEYS, value=VALUES)
def test_ours_and_the_general_validator_agree(key, value):
    ours, theirs = both({"services": {"a": {"image": "x", key: value}}})
    assert ours == theirs


@pytest.mark.parametrize("path", sorted((Path(__file__).parent / "cases").glob("*/*/in/*.yaml")), ids=str)
def test_ours_and_the_general_validator_agree_on_files(path):
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda *_: None)
    for document in yaml.load_all(path.read_text(), Loader):
        ours, theirs = both(document)
        assert ours == theirs


def schema_words():
    words = set()

    def walk(node, path):
        if not isinstance(node, dict):
            return
        if reference := node.get("$ref"):
            walk(schema()["$defs"][reference.rpartition("/")[2]], path)
        for name, below in node.get("properties", {}).items():
            words.add(f"{path}.{name}")
            walk(below, f"{path}.{name}")
        walk(node.get("items"), path)
        for key, below in node.get("patternProperties", {}).items():
            if key != "^x-":
                walk(below, path)
        for below in node.get("oneOf", []):
            walk(below, path)

    for kind in ("service", "network", "volume", "secret", "config", "model"):
        walk(schema()["$defs"][kind], kind)
    return {word for word in words if ".external.name" not in word and ".extends." not in word}


def loader_words():
    words = set()

    def walk(kind, path):
        if isinstance(kind, (ListOf, MapOf)):
            walk(kind.item, path)
        elif isinstance(kind, Struct):
            for name, field in kind.fields.items():
                words.add(f"{path}.{name}")
                walk(field.convert, f"{path}.{name}")

    for kind, struct in PROJECT.items():
        walk(struct, kind[:-1])
    return words


def test_schema_and_loader_know_the_same_words():
    ours, theirs = loader_words(), schema_words() - ONLY_IN_SCHEMA
    ulimits = {word for word in theirs if word.endswith((".soft", ".hard"))}
    # One structure serves limits and reservations, configs and secrets, and every kind of hook.
    shared = {
        word for word in ours - theirs if word.startswith(("service.deploy.resources", "secret.content"))
    }
    shared |= {word for word in ours - theirs if "_st" in word or "watch.exec" in word} | ONLY_IN_LOADER
    assert theirs - ulimits - ours == set()
    assert ours - theirs - shared == set()


def test_the_attribute_table_is_what_docs_say():
    page = (ROOT / "docs/reference/attributes.md").read_text()
    assert page == attributes.markdown(), (
        "run `python -m composer.spec.attributes > docs/reference/attributes.md`"
    )


def test_every_state_of_the_table_names_an_attribute():
    paths = {row.path for row in attributes.attributes()}
    for named in (attributes._IGNORED, attributes._REFUSED, attributes._PARTLY):
        assert set(named) <= paths


@pytest.mark.parametrize(
    ("extra", "path"),
    [
        ("gpus: all", "services.a.gpus"),
        ("runtime: kata", "services.a.runtime"),
        ("isolation: hyperv", "services.a.isolation"),
        ("use_api_socket: true", "services.a.use_api_socket"),
        ("credential_spec: {file: x}", "services.a.credential_spec"),
        ("storage_opt: {size: 1g}", "services.a.storage_opt"),
        ("volumes: [{type: npipe, source: a, target: b}]", "services.a.volumes[0]"),
        ("deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}", "services.a.deploy"),
        ("provider: {type: p}", "services.a.provider"),
        ("ports: [0]", "services.a.ports[0]"),
        ("network_mode: elsewhere", "services.a.network_mode"),
        ("ipc: all", "services.a.ipc"),
        ("pid: private", "services.a.pid"),
        ("uts: container:b", "services.a.uts"),
        ("volumes: [./a:srv]", "services.a.volumes[0]"),
        ("volumes: ['a:/x']", "services.a.volumes[0]"),
        ("tmpfs: [/a, run]", "services.a.tmpfs[1]"),
    ],
)
def test_what_is_refused_is_named_with_its_line(tmp_path, extra, path):
    (tmp_path / "compose.yaml").write_text(f"services:\n  a:\n    image: x\n    {extra}\n")
    (error,) = attributes.unsupported(load(working_dir=str(tmp_path), environ={}).project())
    assert error.path.startswith(path)
    assert error.where.line == 4
    assert error.message


def test_what_is_ignored_is_named(tmp_path):
    (tmp_path / "compose.yaml").write_text(
        "services: {a: {image: x, cpu_count: 2, deploy: {mode: global, replicas: 2}}, b: {image: y}}\n"
    )
    project = load(working_dir=str(tmp_path), environ={}).project()
    assert [path for _, path, _ in attributes.ignored(project)] == [
        "services.a.cpu_count",
        "services.a.deploy.mode",
    ]


def test_resources_that_are_refused(tmp_path):
    (tmp_path / "compose.yaml").write_text(
        "services: {a: {image: x, secrets: [s], configs: [c], networks: [n], volumes: ['vol:/v']}}\n"
        "secrets: {s: {external: true}}\nconfigs: {c: {external: true}}\n"
        "networks: {n: {driver: overlay}}\nvolumes: {vol: {driver: nfs}}\n"
    )
    project = load(working_dir=str(tmp_path), environ={}).project()
    assert [error.path for error in attributes.unsupported(project)] == [
        "configs.c.external",
        "secrets.s.external",
        "volumes.vol.driver",
        "networks.n.driver",
    ]


def test_a_plain_project_has_nothing_refused(tmp_path):
    (tmp_path / "compose.yaml").write_text(
        "services: {a: {image: x, ports: ['80:80'], runtime: composer, ipc: shareable, pid: 'container:b',"
        " network_mode: none, uts: host, tmpfs: /run, volumes: [/anonymous]}}\n"
    )
    assert list(attributes.unsupported(load(working_dir=str(tmp_path), environ={}).project())) == []


def test_the_schema_is_printed_as_it_is():
    assert json.loads(schema_text()) == schema()


def test_a_load_imports_little(tmp_path):
    (tmp_path / "compose.yaml").write_text("services: {a: {image: x, ports: ['80:80']}}\n")
    code = (
        "import sys; from composer.spec import load; load(); "
        "print([name for name in ('dataclasses', 'jsonschema', 'jsonschema_rs', 'networkx', 'asyncio', 'anyio',"
        " 'structlog', 'logging', 'pathlib', 'inspect', 'composer.spec.model', 'difflib') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_the_document_becomes_a_project(tmp_path):
    for path in sorted((Path(__file__).parent / "cases").glob("*/*/in/compose.yaml")):
        try:
            loaded = load([str(path)], working_dir=str(path.parent), environ={"HOME": "/root"})
        except SpecError:
            continue
        project = loaded.project()
        assert isinstance(project, Project)
        assert set(project.services) == set(loaded.service_names)
