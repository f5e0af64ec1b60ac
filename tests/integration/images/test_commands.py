"""The image commands, as a user types them."""

import json
import os
import subprocess
import sys
import tarfile

import pytest

pytestmark = pytest.mark.root


@pytest.fixture
def composer(tmp_path):
    """`composer("image", "ls")`: the finished process; fails unless `code` is its exit code."""

    def run(*words, code=0, text=None, cwd=None, binary=False):
        environ = {**os.environ, "COMPOSER_HOME": str(tmp_path / "home"), "DOCKER_CONFIG": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-m", "composer", *map(str, words)],
            env=environ,
            cwd=cwd or tmp_path,
            capture_output=True,
            text=not binary,
            input=text,
            check=False,
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    return run


@pytest.fixture
def archive(tmp_path, new_tar):
    path = tmp_path / "root.tar"
    path.write_bytes(new_tar().directory("etc").add("etc/passwd", b"root:x:0:0::/:/bin/sh\n").bytes())
    return path


@pytest.fixture
def imported(composer, archive):
    return composer(
        "image", "import", "-c", 'CMD ["sh"]', "-c", "LABEL team=core", "-m", "hello", archive, "app:1"
    ).stdout.strip()


def test_import_from_a_pipe(composer, archive):
    done = composer("image", "import", "-", "piped", text=archive.read_bytes(), binary=True)
    assert done.stdout.startswith(b"sha256:")
    assert composer("image", "ls", "-q").stdout.strip() == done.stdout.decode()[7:19]


def test_import_is_reproducible(composer, archive, monkeypatch):
    first = composer("image", "import", archive, "a:1").stdout
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    second = composer("image", "import", archive, "a:1").stdout
    assert composer("image", "import", archive, "b:1").stdout == second != first


def test_ls(composer, imported):
    assert composer("image", "tag", "app:1", "reg.example/team/app:2").stdout == ""
    lines = composer("image", "ls").stdout.splitlines()
    assert lines[0].split() == ["REPOSITORY", "TAG", "IMAGE", "ID", "CREATED", "SIZE"]
    assert [line.split()[:3] for line in lines[1:]] == [
        ["app", "1", imported[7:19]],
        ["reg.example/team/app", "2", imported[7:19]],
    ]
    assert composer("image", "ls", "app").stdout.count("\n") == 2
    rows = [
        json.loads(line)
        for line in composer("image", "ls", "--format", "json", "--no-trunc").stdout.splitlines()
    ]
    assert [(row["Repository"], row["Tag"], row["ID"]) for row in rows] == [
        ("app", "1", imported),
        ("reg.example/team/app", "2", imported),
    ]
    assert composer("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").stdout.split() == [
        "app:1",
        "reg.example/team/app:2",
    ]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("label=team", True),
        ("label=team=core", True),
        ("label=team=other", False),
        ("dangling=false", True),
        ("dangling=true", False),
        ("reference=ap*", True),
        ("reference=*:2", False),
    ],
)
def test_ls_filters(composer, imported, text, found):
    assert bool(composer("image", "ls", "-q", "-f", text).stdout) is found


def test_ls_refuses_an_unknown_filter(composer, imported):
    assert "unknown filter 'colour'" in composer("image", "ls", "-f", "colour=red", code=2).stderr


def test_inspect(composer, imported):
    found = json.loads(composer("image", "inspect", "app:1").stdout)
    assert (found[0]["Id"], found[0]["Config"]["Cmd"], found[0]["Config"]["Labels"]) == (
        imported,
        ["sh"],
        {"team": "core"},
    )
    assert (
        composer("image", "inspect", "-f", "{{.Os}} {{json .Config.Cmd}}", "app:1").stdout == 'linux ["sh"]\n'
    )
    done = composer("image", "inspect", "app:1", "nothing", code=1)
    assert json.loads(done.stdout)[0]["Id"] == imported
    assert done.stderr == "composer: no such image: nothing\n"


def test_history(composer, imported):
    row = json.loads(composer("image", "history", "--format", "json", "app:1").stdout)
    assert (row["ID"], row["Comment"], row["Size"]) == (imported[7:19], "hello", "22B")


def test_rm(composer, imported):
    composer("image", "tag", "app:1", "app:2")
    assert composer("image", "rm", "app:2").stdout == "Untagged: app:2\n"
    done = composer("image", "rm", "nothing", "app:1", code=1)
    assert done.stdout == f"Untagged: app:1\nDeleted: {imported}\n"
    assert "no such image: nothing" in done.stderr
    assert composer("image", "rm", "-f", "nothing").stdout == ""


def test_prune_asks_and_needs_somebody_to_answer(composer, imported):
    assert "use --force" in composer("image", "prune", code=2, text="").stderr
    assert composer("image", "prune", "-f").stdout == "Total reclaimed space: 0B\n"
    out = composer("image", "prune", "-af", "--filter", "label!=team").stdout
    assert out == "Total reclaimed space: 0B\n"
    out = composer("image", "prune", "-af", "--filter", "label=team=core").stdout
    assert f"deleted: {imported}" in out
    assert composer("image", "ls", "-q").stdout == ""


def test_save_and_load(composer, imported, tmp_path):
    composer("image", "save", "-o", "out.tar", "app:1")
    piped = composer("image", "save", "app:1", binary=True).stdout
    assert piped == (tmp_path / "out.tar").read_bytes()
    composer("image", "rm", "app:1")
    assert composer("image", "load", "-i", "out.tar").stdout == "Loaded image: app:1\n"
    composer("image", "rm", "app:1")
    assert composer("image", "load", "-q", text=piped, binary=True).stdout == b"Loaded image: app:1\n"
    assert composer("image", "ls", "-q", "--no-trunc").stdout.strip() == imported
    assert "no such image" in composer("image", "save", "-o", "no.tar", "nothing", code=1).stderr
    assert not (tmp_path / "no.tar").exists()
    assert sorted(path.name for path in tmp_path.glob("*.part")) == []


def test_an_archive_that_was_cut_off_says_so(composer, tmp_path, new_tar):
    (tmp_path / "root.tar").write_bytes(new_tar().add("big", os.urandom(3_000_000)).bytes())
    imported = composer("image", "import", tmp_path / "root.tar", "app:1").stdout.strip()
    whole, cut = tmp_path / "whole.tar", tmp_path / "cut.tar"
    composer("image", "save", imported, "-o", whole)
    data = whole.read_bytes()
    for size in (len(data) // 2, 5000):
        cut.write_bytes(data[:size])
        done = composer("image", "load", "-i", cut, code=1)
        assert "the archive is cut off: it ends inside" in done.stderr or "ends early" in done.stderr, (
            done.stderr
        )
    composer("image", "load", "-i", whole)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("image", "import", "/no/such.tar"), "cannot read /no/such.tar: No such file"),
        (("image", "import", "https://x/y.tar"), "an URL cannot be imported"),
        (("image", "load", "-i", "/no/such.tar"), "No such file"),
        (("image", "tag", "nothing", "x"), "no such image: nothing"),
        (("image", "tag", "app:1", "UPPER"), "must be lower case"),
        (("image", "history", "nothing"), "pull it: composer image pull nothing"),
        (("image", "pull", "scratch"), "reserved name"),
        (("image", "push", "nothing"), "no such image"),
        (("login", "-p", "x", "--password-stdin"), "exclude each other"),
    ],
)
def test_mistakes_get_one_sentence(composer, imported, words, says):
    done = subprocess_error(composer, words)
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.rstrip("\n").count("composer: ") == 1


def subprocess_error(composer, words):
    try:
        return composer(*words, code=1)
    except AssertionError:
        return composer(*words, code=2)


def test_df(composer, imported):
    rows = {
        row["Type"]: row
        for row in map(json.loads, composer("system", "df", "--format", "json").stdout.splitlines())
    }
    assert list(rows) == ["Images", "Containers", "Local Volumes", "Build Cache"]
    assert (rows["Images"]["TotalCount"], rows["Images"]["Size"], rows["Images"]["Reclaimable"]) == (
        "1",
        "22B",
        "22B (100%)",
    )
    assert "app" in composer("system", "df", "-v").stdout


def test_what_is_no_volume_is_not_counted(tmp_path, composer, imported):
    volumes = tmp_path / "home" / "lib" / "volumes"
    volumes.mkdir(parents=True)
    (volumes / ".lock").touch()
    rows = [json.loads(line) for line in composer("system", "df", "--format", "json").stdout.splitlines()]
    assert [row["TotalCount"] for row in rows if row["Type"] == "Local Volumes"] == ["0"]


class TestProject:
    @pytest.fixture
    def container(self, tmp_path, composer, imported):
        """A stopped container of a project, as the engine leaves it on disk."""
        (tmp_path / "compose.yaml").write_text("name: shop\nservices: {web: {image: 'app:1'}}\n")
        layers = [
            json.loads(composer("image", "inspect", "app:1").stdout)[0]["GraphDriver"]["Data"]["UpperDir"]
        ]
        directory = tmp_path / "home" / "lib" / "containers" / ("c" * 64)
        (directory / "upper" / "etc").mkdir(parents=True)
        (directory / "upper" / "etc" / "new").write_text("new")
        os.mknod(directory / "upper" / "etc" / "passwd", 0o020000, 0)
        config = {
            "id": "c" * 64,
            "name": "shop-web-1",
            "project": "shop",
            "service": "web",
            "image": "app:1",
            "image_id": imported,
            "layers": layers,
            "labels": {
                "com.docker.compose.project": "shop",
                "com.docker.compose.service": "web",
                "com.docker.compose.container-number": "1",
                "com.docker.compose.oneoff": "False",
            },
            "process": {"args": ["sh"]},
        }
        (directory / "config.json").write_text(json.dumps(config))

    def test_export(self, composer, container, tmp_path):
        composer("export", "-o", "out.tar", "web")
        with tarfile.open(tmp_path / "out.tar") as found:
            assert sorted(found.getnames()) == [".", "etc", "etc/new"]
        assert composer("export", "web", binary=True).stdout == (tmp_path / "out.tar").read_bytes()

    def test_commit(self, composer, container, imported):
        made = composer("commit", "-a", "me", "-m", "note", "-c", "ENV A=1", "web", "made:1").stdout.strip()
        found = json.loads(composer("image", "inspect", "made:1").stdout)[0]
        assert (found["Id"], found["Author"], found["Comment"], len(found["RootFS"]["Layers"])) == (
            made,
            "me",
            "note",
            2,
        )
        assert found["Config"]["Env"] == ["A=1"]

    def test_a_container_keeps_its_image(self, composer, container):
        assert "was made from image" in composer("image", "rm", "app:1", code=1).stderr
