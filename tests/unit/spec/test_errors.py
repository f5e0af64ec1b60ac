"""Each mistake is reported at the file and line where it was made, in the main file and in others."""

from __future__ import annotations

import textwrap

import pytest

from composer.errors import SpecError
from composer.spec import load

MISTAKES = {
    "typo in a key": ("    imagee: nginx", 'did you mean "image"?', "services.web.imagee"),
    "wrong type": ("    cap_add: NET_ADMIN", "must be a list", "services.web.cap_add"),
    "bad port": ('    ports: ["eighty:80"]', 'did you mean "80:80"?', "services.web.ports[0]"),
    "undefined volume": ('    volumes: ["data:/data"]', "undefined volume data", "services.web.volumes[0]"),
    "missing variable": ("    hostname: ${NAME:?give a name}", "give a name", "services.web.hostname"),
    "malformed variable": ("    hostname: ${NAME", "invalid interpolation", "services.web.hostname"),
    "bad size": ("    mem_limit: 12 parsecs", "is not a size", "services.web.mem_limit"),
    "bad duration": ('    stop_grace_period: "10"', "missing unit", "services.web.stop_grace_period"),
    "bad command": ("    command: echo 'open", "invalid command line", "services.web.command"),
    "undefined dependency": ("    depends_on: [dbb]", "undefined service", "services.web.depends_on.dbb"),
    "duplicate key": ("    image: nginx\n    image: other", "already defined at line 4", "services.web"),
    "item of a wrong type": ("    dns:\n      - 1.1.1.1\n      - {a: b}", "string", "services.web.dns[1]"),
}
LINES = {"duplicate key": 5, "item of a wrong type": 6}


def project(tmp_path, **files):
    for name, text in files.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(textwrap.dedent(text))
    with pytest.raises(SpecError) as caught:
        load(working_dir=str(tmp_path), environ={"HOME": "/root"})
    return caught.value


def wrong(line):
    return (
        f"# comment\nservices:\n  web:\n{line}\n    image: nginx\n"
        if "image:" not in line
        else (f"# comment\nservices:\n  web:\n{line}\n")
    )


@pytest.mark.parametrize("name", MISTAKES)
def test_in_the_main_file(tmp_path, name):
    line, message, path = MISTAKES[name]
    error = project(tmp_path, compose=wrong(line))
    assert message in str(error)
    assert (error.where.file, error.where.line) == ("compose.yaml", LINES.get(name, 4))
    assert error.path == path


@pytest.mark.parametrize("name", MISTAKES)
def test_in_an_included_file(tmp_path, name):
    line, message, path = MISTAKES[name]
    error = project(tmp_path, compose="include: [other.yaml]\nservices: {}\n", other=wrong(line))
    assert message in str(error)
    assert (error.where.file, error.where.line) == ("other.yaml", LINES.get(name, 4))
    assert error.path == path


@pytest.mark.parametrize("name", MISTAKES)
def test_in_an_extended_file(tmp_path, name):
    line, message, path = MISTAKES[name]
    main = "services:\n  web:\n    extends: {file: other.yaml, service: web}\n"
    error = project(tmp_path, compose=main, other=wrong(line))
    assert message in str(error)
    assert (error.where.file, error.where.line) == ("other.yaml", LINES.get(name, 4))
    assert error.path == path


def test_a_cycle_through_extends(tmp_path):
    error = project(
        tmp_path,
        compose="services:\n  a:\n    image: x\n    extends: {file: other.yaml, service: b}\n",
        other="services:\n  b:\n    extends: {file: compose.yaml, service: a}\n",
    )
    assert "Circular reference" in str(error)
    assert error.where is not None
    assert error.where.file in ("compose.yaml", "other.yaml")


def test_a_cycle_through_include(tmp_path):
    error = project(tmp_path, compose="include: [b.yaml]\n", b="include:\n  - compose.yaml\n")
    assert "include cycle detected" in str(error)
    assert (error.where.file, error.where.line) == ("b.yaml", 2)


def test_a_missing_included_file(tmp_path):
    error = project(tmp_path, compose="services: {}\ninclude:\n  - nowhere.yaml\n")
    assert "no such file" in str(error)
    assert (error.where.file, error.where.line) == ("compose.yaml", 3)


def test_a_missing_extended_file_and_service(tmp_path):
    main = "services:\n  web:\n    extends: {file: other.yaml, service: wbe}\n"
    error = project(tmp_path, compose=main)
    assert (error.where.file, error.where.line) == ("compose.yaml", 3)
    error = project(tmp_path, compose=main, other="services: {web: {image: x}}\n")
    assert 'did you mean "web"?' in str(error)
    assert (error.where.file, error.where.line) == ("compose.yaml", 3)


def test_a_dependency_cycle_names_its_members(tmp_path):
    error = project(
        tmp_path,
        compose="""
        services:
          a: {image: x, depends_on: [b]}
          b: {image: x, depends_on: [c]}
          c: {image: x, depends_on: [a]}
        """,
    )
    assert "a -> b -> c -> a" in str(error)
    assert error.where.line == 5


def test_an_env_file_has_its_own_line(tmp_path):
    (tmp_path / "web.env").write_text("A=1\nB C=2\n")
    error = project(tmp_path, compose="services:\n  web:\n    image: x\n    env_file: web.env\n")
    assert (error.where.file, error.where.line) == ("web.env", 2)


def test_a_merge_can_make_an_error(tmp_path):
    (tmp_path / "compose.override.yaml").write_text("services:\n  web:\n    group_add: [audio]\n")
    error = project(tmp_path, compose="services:\n  web:\n    image: x\n    group_add: [audio]\n")
    assert "are equal" in str(error)
    assert (error.where.file, error.where.line) == ("compose.override.yaml", 3)


def test_a_mapping_over_a_list(tmp_path):
    (tmp_path / "compose.override.yaml").write_text("services:\n  web:\n    ports: {a: b}\n")
    error = project(tmp_path, compose="services:\n  web:\n    image: x\n    ports: ['80']\n")
    assert "cannot override a list with a mapping" in str(error)
    assert error.where.file == "compose.override.yaml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty compose file"),
        ("- a\n", "top-level object must be a mapping"),
        ("a: [", "not YAML"),
        ("services:\n\tweb: {}", "not YAML"),
        ("services: {a: {image: x}}\nx: 1\n", "unknown key 'x'"),
        ("1: 2\n", "non-string key"),
        ("services: [a]\n", "must be a mapping"),
        ("services: {a: }\n", "must be a mapping"),
        ("name: 12\nservices: {}\n", "must be a string"),
        ("services: {a: {image: x, ports: [{target: 80, host_ip: nope}]}}", "invalid ip address"),
        ("services: {a: {}}", "neither an image nor a build"),
        ("services: {a: {image: x, scale: -1}}", "greater than or equal to 0"),
        ("services: {a: {image: x, container_name: cc, scale: 2}}", "must be unique"),
        ("services: {a: {image: x, container_name: cc}, b: {image: x, container_name: cc}}", "in use"),
        ("services: {a: {image: x, network_mode: host, networks: [b]}}", "mutually exclusive"),
        ("services: {a: {image: x, networks: [nett]}}\nnetworks: {net: }", 'did you mean "net"?'),
        ("services: {a: {image: x, secrets: [s]}}", "undefined secret s"),
        ("services: {a: {image: x, configs: [s]}}", "undefined config s"),
        ("services: {a: {image: x, models: [s]}}", "undefined model s"),
        ("services: {a: {image: x, tmpfs: [/a], volumes: ['/a']}}", "already mounted"),
        ("services: {a: {image: x, healthcheck: {test: [true]}}}", "string"),
        ("services: {a: {image: x, healthcheck: {test: ['true']}}}", "must start either by"),
        ("services: {a: {image: x, cpus: 1, deploy: {resources: {limits: {cpus: 2}}}}}", "distinct values"),
        ("services: {a: {image: x}}\nvolumes: {v: {external: true, driver: local}}", "conflicting"),
        ("services: {a: {image: x}}\nsecrets: {v: {}}", "must be set"),
        ("services: {a: {image: x}}\nsecrets: {v: {file: a, environment: b}}", "mutually exclusive"),
        ("services: {a: {build: {context: ., dockerfile: a, dockerfile_inline: b}}}", "mutualy exclusive"),
        ("services: {a: {image: x, volumes: [{type: bind, target: /a}]}}", "Source must not be empty"),
        ("services: {a: {image: x, depends_on: {b: {}}}}", "'condition' is missing"),
        ("services: {a: {image: x, develop: {watch: [{path: ., action: sync}]}}}", "target is required"),
        ("services: {a: {image: x, environment: ['A =1']}}", "trailing space"),
        ("services: {a: {image: x, environment: ['A ']}}", "trailing space"),
        ("services: {a: {image: x, read_only: perhaps}}", "invalid boolean"),
        ("services: {a: {image: x, scale: many}}", "not an integer"),
        ("services: {a: {image: x, restart: {}}}", "must be a string"),
        ("services: {a: {image: x, extends: {file: b}}}", "service is required"),
        ("services: {a: {image: x, extends: b}}", "not found"),
        ("services: {a: {image: x, devices: ['a:b:c:d']}}", "confusing device mapping"),
        ("services: {a: {image: x, ports: ['80-82:80-81']}}", "Invalid ranges"),
        ("services: {a: {image: x, volumes: ['ab::b']}}", "empty section"),
        ("include: {a: b}\nservices: {}", "must be a list"),
        ("include: [{env_file: b}]\nservices: {}", "needs a path"),
        ("include: [oci://a/b]\nservices: {}", "not supported"),
        ("services: {a: {image: x, <<: 1}}", "<< needs a mapping"),
    ],
)
def test_every_error_has_a_place(tmp_path, text, message):
    error = project(tmp_path, compose=text)
    assert message in str(error)
    assert error.where is not None, str(error)
    assert error.where.file == "compose.yaml"


HEAD = "services:\n  web:\n    image: x\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "services:\n  web:\n\timage: x\n",
            "compose.yaml:3:1: not YAML: a tab among the blanks that indent (indent with spaces)",
        ),
        (
            f"{HEAD}   hostname: a\n",
            (
                "compose.yaml:4:4: not YAML: this line is indented by 3, which fits no line above"
                " (align it with the keys that it belongs to)"
            ),
        ),
        (
            f'{HEAD}    hostname: "a\n    user: b\n',
            "compose.yaml:4:15: not YAML: this quote is never closed (close it)",
        ),
        (
            f"{HEAD}    hostname: @a\n",
            "compose.yaml:4:15: not YAML: a value cannot begin with @ (put it in quotes)",
        ),
        (
            f"{HEAD}    command: [a, b\n    user: c\n",
            "compose.yaml:4:14: not YAML: this bracket is never closed (expected ',' or ']')",
        ),
        (
            f"{HEAD}    dns:\n      - 1.1.1.1\n      a: b\n",
            (
                "compose.yaml:6:7: not YAML: a list goes on without a dash"
                " (begin the line with -, or move it out of the list)"
            ),
        ),
        (
            f"{HEAD}    stop_grace_period: 10 seconds\n",
            (
                "compose.yaml:4:5: services.web.stop_grace_period: '10 seconds' is not a duration"
                " (write it like 30s, 1m30s or 500ms)"
            ),
        ),
        (
            f"{HEAD}    cpus: two\n",
            "compose.yaml:4:5: services.web.cpus: 'two' is not a number",
        ),
        (
            f"{HEAD}    ports: ['80000:80']\n",
            "compose.yaml:4:13: services.web.ports[0]: Invalid hostPort: 80000 (ports are numbers up to 65535)",
        ),
        (
            f"{HEAD}    ports: ['80:80/tpc']\n",
            "compose.yaml:4:13: services.web.ports[0]: Invalid proto: tpc (the protocols are tcp, udp, sctp)",
        ),
        (
            f"{HEAD}    pid: service:nope\n",
            'compose.yaml:4:5: services.web.pid: service "web" depends on undefined service "nope"',
        ),
        (
            "services:\n  web:\n  image: x\n",
            (
                "compose.yaml:3:3: services.image must be a mapping"
                " (indent it further: image is an attribute of a service)"
            ),
        ),
        (
            "web:\n  image: x\n",
            "compose.yaml:1:1: unknown key 'web' (a service belongs under services:)",
        ),
        (
            f"{HEAD}    environment:\n      KEY=value\n",
            (
                "compose.yaml:4:5: services.web.environment: must be a list or mapping"
                " (write KEY: value, with a blank after the colon)"
            ),
        ),
        (
            "services:\n  my web:\n    image: x\n",
            "compose.yaml:2:3: services.my web: 'my web' is not a name (use letters, digits and . _ - only)",
        ),
    ],
)
def test_the_whole_sentence(tmp_path, text, shown):
    (tmp_path / "compose.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        load(working_dir=str(tmp_path), environ={"HOME": "/root"})
    assert str(caught.value) == shown


def test_an_empty_name(tmp_path):
    (tmp_path / "compose.yaml").write_text(f"{HEAD}    labels: {{'': x}}\n")
    with pytest.raises(SpecError, match="a name is empty"):
        load(working_dir=str(tmp_path), environ={"HOME": "/root"})
