from __future__ import annotations

import io
import json

import pytest

from composer.cli.render import make_renderer
from composer.cli.render.json_lines import JsonRenderer
from composer.cli.render.logs import LogPrinter
from composer.cli.render.plain import PlainRenderer
from composer.cli.render.quiet import QuietRenderer
from composer.cli.render.tty import TtyRenderer
from composer.errors import UsageError
from composer.events import Event

EVENTS = [
    Event("network", "shop_default", "Creating", "working"),
    Event("network", "shop_default", "Created", "done"),
    Event("layer", "abc", "Downloading", "working", parent="nginx:1", current=10, total=100),
    Event("layer", "abc", "Downloading", "working", parent="nginx:1", current=60, total=100),
    Event("image", "nginx:1", "Pulled", "done"),
    Event("container", "shop-web-1", "Starting", "working", reason="it does not run"),
    Event("container", "shop-web-1", "Starting", "working"),
    Event("container", "shop-web-1", "Error", "error", text="no such command"),
    Event("warning", "", text="Found orphan containers (shop-old-1)"),
]


def test_plain_is_one_line_per_change() -> None:
    out = io.StringIO()
    renderer = PlainRenderer(out)
    for event in EVENTS:
        renderer.handle(event)
    assert out.getvalue().splitlines() == [
        " Network shop_default Creating",
        " Network shop_default Created",
        " Image nginx:1 Pulled",
        " Container shop-web-1 Starting",
        " Container shop-web-1 Error no such command",
        "warning: Found orphan containers (shop-old-1)",
    ]


def test_plain_verbose_adds_reasons() -> None:
    out = io.StringIO()
    PlainRenderer(out, verbose=True).handle(EVENTS[5])
    assert out.getvalue() == " Container shop-web-1 Starting (it does not run)\n"


def test_json_has_the_keys_of_docker_compose() -> None:
    out = io.StringIO()
    renderer = JsonRenderer(out)
    for event in EVENTS[:4]:
        renderer.handle(event)
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    assert records[0] == {"id": "Network shop_default", "status": "Working", "text": "Creating"}
    assert records[1]["status"] == "Done"
    assert records[2] == {
        "id": "abc",
        "parent_id": "Image nginx:1",
        "status": "Working",
        "text": "Downloading",
        "current": 10,
        "total": 100,
        "percent": 10,
    }


def test_json_error_has_details() -> None:
    out = io.StringIO()
    JsonRenderer(out).handle(EVENTS[7])
    assert json.loads(out.getvalue()) == {
        "id": "Container shop-web-1",
        "status": "Error",
        "text": "Error",
        "details": "no such command",
    }


def test_tty_lines_fit_the_width_and_count() -> None:
    renderer = TtyRenderer(io.StringIO(), title="up", colour=False, size=(60, 20))
    for event in EVENTS[:6]:
        renderer._take(event)
    lines = renderer.lines(60, next(iter(renderer._rows.values())).started)
    assert lines[0] == "[+] up 2/3"
    assert [line.split()[0] for line in lines[1:]][:2] == ["✔", "✔"]
    assert lines[1].split()[1:4] == ["Network", "shop_default", "Created"]
    assert all(len(line) <= 60 for line in lines)


def test_tty_shows_the_sum_of_an_images_layers() -> None:
    renderer = TtyRenderer(io.StringIO(), colour=False, size=(80, 20))
    for name in "ab":
        renderer._take(
            Event("layer", name, "Downloading", "working", parent="x:1", current=500_000, total=2_000_000)
        )
    assert "1MB / 4MB" in renderer.lines(80, 0)[1]


def test_tty_cuts_names_before_actions_and_never_breaks_a_line() -> None:
    renderer = TtyRenderer(io.StringIO(), colour=False, size=(60, 20))
    renderer._take(Event("step", "RUN " + "x" * 100, "ERROR", "error", text="line 1\nline 2", parent="b"))
    (line,) = renderer.lines(60, 0)[1:]
    assert "… " in line
    assert "ERROR line 1" in line
    assert "\n" not in line


def test_tty_gives_the_cursor_back_and_ends_whole() -> None:
    out = io.StringIO()
    with TtyRenderer(out, title="up", colour=False, size=(60, 4)) as renderer:
        for number in range(9):
            renderer.handle(Event("container", f"c-{number}", "Started", "done"))
    text = out.getvalue()
    assert text.startswith("\x1b[?25l")
    assert text.endswith("\x1b[?25h")
    assert all(f"c-{number}" in text for number in range(9))


@pytest.mark.parametrize(
    ("tty", "options", "environ", "kind"),
    [
        (False, {}, {}, PlainRenderer),
        (True, {}, {}, TtyRenderer),
        (True, {"ansi": "never"}, {}, PlainRenderer),
        (True, {}, {"TERM": "dumb"}, PlainRenderer),
        (True, {}, {"COMPOSE_PROGRESS": "json"}, JsonRenderer),
        (True, {"progress": "quiet"}, {"COMPOSE_PROGRESS": "json"}, QuietRenderer),
        (False, {"progress": "tty"}, {}, TtyRenderer),
    ],
)
def test_which_renderer(make_context, tty, options, environ, kind) -> None:
    assert type(make_renderer(make_context(tty=tty, environ=environ, **options))) is kind


def test_between_logs_progress_is_plain(make_context) -> None:
    assert type(make_renderer(make_context(tty=True), live=False)) is PlainRenderer


def test_a_wrong_variable_is_named(make_context) -> None:
    with pytest.raises(UsageError, match="COMPOSE_PROGRESS is 'loud'"):
        make_renderer(make_context(environ={"COMPOSE_PROGRESS": "loud"}))


def printer(**options) -> tuple[LogPrinter, io.StringIO, io.StringIO]:
    out, err = io.StringIO(), io.StringIO()
    return LogPrinter(out, err, **{"colour": False, **options}), out, err


def test_log_prefix_is_as_wide_as_the_longest_name() -> None:
    logs, out, _ = printer()
    logs.register(["web-1", "database-1"])
    logs.line("web-1", "hello")
    logs.line("database-1", "ready")
    assert out.getvalue() == "web-1       | hello\ndatabase-1  | ready\n"


def test_one_container_has_two_blanks() -> None:
    logs, out, _ = printer()
    logs.line("web-1", "hello")
    assert out.getvalue() == "web-1  | hello\n"


def test_standard_error_stays_standard_error() -> None:
    logs, out, err = printer()
    logs.line("web-1", "oops", stream="stderr")
    assert (out.getvalue(), err.getvalue()) == ("", "web-1  | oops\n")


def test_colours_go_by_name_not_by_order_of_arrival() -> None:
    first, second = printer(colour=True)[0], printer(colour=True)[0]
    first.register(["b", "a"])
    second.register(["a", "b"])
    assert first.prefix("a") == second.prefix("a")
    assert first.prefix("a") != first.prefix("b").replace("b", "a")
    assert first.prefix("a").startswith("\x1b[36m")


def test_no_prefix_and_timestamps() -> None:
    logs, out, _ = printer(prefix=False, timestamps=True)
    logs.line("web-1", "hello", time="2026-01-01T00:00:00.0Z")
    assert out.getvalue() == "2026-01-01T00:00:00.0Z hello\n"


def test_status_line() -> None:
    logs, out, _ = printer()
    logs.status("web-1", "exited with code 3")
    assert out.getvalue() == "web-1 exited with code 3\n"


def test_tty_shows_what_surrounds_an_error_below_the_table():
    stream = io.StringIO()
    renderer = TtyRenderer(stream, colour=False, size=(80, 20))
    text = "Dockerfile:2\n   1 |     FROM a\n   2 | >>> RUN b"
    renderer.handle(Event("step", "[s 2/2] RUN b", "ERROR", "error", text=text))
    renderer.close()
    shown = stream.getvalue()
    assert shown.count("FROM a") == 1
    assert shown.index("ERROR Dockerfile:2") < shown.index("   2 | >>> RUN b\n")
