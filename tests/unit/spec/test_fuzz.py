"""Whatever a file says, the answer is a project or one of our errors, never a traceback."""

from __future__ import annotations

import contextlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from composer.errors import SpecError
from composer.spec import dotenv, fields
from composer.spec.loading import load
from composer.spec.ports import parse_port
from composer.spec.reader import read_documents
from composer.spec.template import TemplateError, substitute, variables
from composer.spec.units import format_duration, parse_duration, parse_size
from composer.spec.volumes import parse_volume
from composer.spec.words import split_words

QUICK = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SYNTAX = st.text(alphabet="ab01 \t\n:-+.,$${}[]()<>!?&*#|'\"\\/=~@%^;µéж\u2028\ufeff", max_size=40)
KEYS = st.sampled_from(sorted(fields.SERVICE.fields)) | st.sampled_from(["extends", "x-a", "bogus", "<<"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats()
    | SYNTAX
    | st.sampled_from(["80:80", "a:/b", "10s", "1g", "service:a", "${A:-1}", "a", "K=V", "all", "./x", ""])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "source",
                    "target",
                    "type",
                    "published",
                    "path",
                    "file",
                    "service",
                    "limits",
                    "resources",
                    "test",
                    "a",
                    "b",
                    "context",
                    "args",
                    "watch",
                    "action",
                    "condition",
                    "driver",
                    "options",
                    "external",
                    "name",
                    "config",
                    "subnet",
                    "soft",
                    "hard",
                    "bind",
                    "volume",
                    "command",
                    "x-z",
                    "default",
                    "count",
                    "capabilities",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@QUICK
@given(SYNTAX)
def test_small_languages(text):
    for parse in (parse_duration, parse_size, parse_port, parse_volume, split_words):
        with contextlib.suppress(ValueError):
            parse(text)
    with contextlib.suppress(TemplateError):
        substitute(text, {"a": "b"}.get)
    variables(text)
    with contextlib.suppress(SpecError):
        dotenv.parse(text, {"a": "b"}.get)
    with contextlib.suppress(SpecError):
        dotenv.parse_raw(text, {"a": "b"}.get)
    with contextlib.suppress(SpecError):
        read_documents(text, "f")


@QUICK
@given(st.integers(-(2**62), 2**62))
def test_durations_survive_a_round_trip(nanoseconds):
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@QUICK
@given(st.text(max_size=60))
def test_text_without_dollars_is_itself(text):
    assert substitute(text.replace("$", ""), {}.get) == text.replace("$", "")
    assert substitute(text.replace("$", "$$"), {}.get) == text


def try_load(tmp_path, *models, **options):
    import json

    for number, model in enumerate(models):
        (tmp_path / f"f{number}.yaml").write_text(json.dumps(model))
    names = [f"f{number}.yaml" for number in range(len(models))]
    try:
        loaded = load(names, working_dir=str(tmp_path), environ={"HOME": "/root", "A": "1"}, **options)
    except SpecError:
        return
    if options.get("interpolate", True):
        loaded.project()
    assert loaded.locations is not None


@QUICK
@given(
    service=st.dictionaries(KEYS, VALUES, max_size=4),
    other=st.dictionaries(KEYS, VALUES, max_size=3),
    interpolate=st.booleans(),
    normalize=st.booleans(),
)
def test_services(tmp_path, service, other, interpolate, normalize):
    first = {"services": {"a": {"image": "x", **service}, "b": {"image": "y"}}}
    try_load(tmp_path, first, {"services": {"a": other}}, interpolate=interpolate, normalize=normalize)


@QUICK
@given(
    kind=st.sampled_from(
        ["networks", "volumes", "configs", "secrets", "models", "include", "services", "name", "x-a"]
    ),
    one=VALUES,
    two=VALUES,
)
def test_top_level(tmp_path, kind, one, two):
    try_load(tmp_path, {"services": {"a": {"image": "x"}}, kind: one}, {kind: two})
    try_load(tmp_path, {"services": {"a": {"image": "x"}}, kind: {"a": one, "b": two}})


@QUICK
@given(base=st.dictionaries(KEYS, VALUES, max_size=3), child=st.dictionaries(KEYS, VALUES, max_size=3))
def test_extends(tmp_path, base, child):
    try_load(
        tmp_path,
        {"services": {"a": {**child, "extends": {"file": "f1.yaml", "service": "c"}}}},
        {"services": {"c": base}},
    )
