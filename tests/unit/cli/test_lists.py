from __future__ import annotations

import json

import pytest

from composer.cli.render.table import format_table, print_rows
from composer.cli.render.template import parse
from composer.cli.render.units import ago, human_bytes, human_bytes_binary, human_duration
from composer.errors import UsageError

ROW = {
    "Name": "shop-web-1",
    "State": "running",
    "Publishers": [{"URL": "::"}],
    "Labels": {"b": "2", "a": "1"},
}


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "Less than a second"),
        (1, "1 second"),
        (59, "59 seconds"),
        (60, "About a minute"),
        (120, "2 minutes"),
        (3599, "59 minutes"),
        (3600, "About an hour"),
        (47 * 3600, "47 hours"),
        (48 * 3600, "2 days"),
        (14 * 24 * 3600, "2 weeks"),
        (70 * 24 * 3600, "2 months"),
        (3 * 365 * 24 * 3600, "3 years"),
    ],
)
def test_durations_in_dockers_words(seconds: float, words: str) -> None:
    assert human_duration(seconds) == words


def test_a_moment_in_the_future_is_now() -> None:
    assert ago(10, 5) == "Less than a second ago"


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0B"), (999, "999B"), (1000, "1kB"), (1_234_567, "1.23MB"), (66_000_000, "66MB")]
)
def test_sizes(size: int, text: str) -> None:
    assert human_bytes(size) == text


def test_binary_sizes() -> None:
    assert human_bytes_binary(1536 * 1024) == "1.5MiB"


def test_columns_are_three_blanks_apart_and_end_without_blanks() -> None:
    assert format_table(["NAME", "X"], [["a-long-name", ""], ["b", "1"]]) == [
        "NAME          X",
        "a-long-name",
        "b             1",
    ]


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Name}}", "shop-web-1"),
        ("{{ .Name }}:{{.State}}", "shop-web-1:running"),
        ("{{upper .State}}", "RUNNING"),
        ("{{.State | upper | json}}", '"RUNNING"'),
        ("{{json .Publishers}}", '[{"URL":"::"}]'),
        ("{{range .Publishers}}<{{.URL}}>{{end}}", "<::>"),
        ("{{if .State}}yes{{else}}no{{end}}", "yes"),
        ('{{if eq .State "exited"}}yes{{else}}no{{end}}', "no"),
        ("{{.Labels}}", "map[a:1 b:2]"),
        ('{{index .Labels "b"}}', "2"),
        ("a {{- .State -}} b", "arunningb"),
        ('{{"x"}}{{`y`}}', "xy"),
        ("{{len .Publishers}}", "1"),
        ("{{/* a comment */}}.", "."),
    ],
)
def test_templates(template: str, text: str) -> None:
    assert parse(template).render(ROW) == text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{.Nmae}}", "no field 'Nmae'"),
        ("{{.Name", "not closed"),
        ("{{if .Name}}x", "not closed"),
        ("{{end}}", "without if"),
        ("{{frobnicate .Name}}", "'frobnicate' is not defined"),
        ("{{len 3}}", "len:"),
    ],
)
def test_wrong_templates_are_usage_errors(template: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(template).render(ROW)


def test_formats(make_context) -> None:
    columns = {"NAME": "Name", "STATE": "State"}
    outputs = {}
    for style in ("table", "json", "{{.Name}}", "table {{.State}}\\t{{.Name}}"):
        context = make_context()
        print_rows(context, [ROW], columns=columns, style=style)
        outputs[style] = context.stdout.getvalue()
    assert outputs["table"] == "NAME         STATE\nshop-web-1   running\n"
    assert json.loads(outputs["json"]) == ROW
    assert outputs["{{.Name}}"] == "shop-web-1\n"
    assert outputs["table {{.State}}\\t{{.Name}}"] == "STATE     NAME\nrunning   shop-web-1\n"


def test_json_as_one_array(make_context) -> None:
    context = make_context()
    print_rows(context, [], columns={"NAME": "Name"}, style="json", lines=False)
    assert context.stdout.getvalue() == "[]\n"
