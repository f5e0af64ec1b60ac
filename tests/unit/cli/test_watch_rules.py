from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from composer.cli.watch_rules import Tree, covered_by_bind, files_below, rules_of, work_for
from composer.errors import SpecError

if TYPE_CHECKING:
    from pathlib import Path


def document(tmp_path: Path, *rules: dict, **service) -> dict:
    watch = [{"path": str(tmp_path / rule.pop("path", "")), **rule} for rule in rules]
    return {
        "services": {"web": {"build": {"context": str(tmp_path)}, "develop": {"watch": watch}, **service}}
    }


def test_paths_below_a_rule_are_named_relative_to_it(tmp_path) -> None:
    (rule,) = rules_of(document(tmp_path, {"path": "src", "action": "sync", "target": "/app"}))
    assert rule.relative(f"{tmp_path}/src/a/b.py") == "a/b.py"
    assert rule.relative(f"{tmp_path}/src") == "."
    assert rule.relative(f"{tmp_path}/srcs/a") is None
    assert rule.inside("a/b.py") == "/app/a/b.py"
    assert rule.inside(".") == "/app"


@pytest.mark.parametrize(
    "name", [".git/HEAD", "x/.git/HEAD", "a.swp", "d/b~", ".DS_Store", "skip.tmp", "ignored/x"]
)
def test_what_is_always_ignored_or_named(tmp_path, name) -> None:
    (tmp_path / ".dockerignore").write_text("ignored\n")
    (rule,) = rules_of(document(tmp_path, {"action": "sync", "target": "/app", "ignore": ["*.tmp"]}))
    assert rule.relative(f"{tmp_path}/{name}") is None
    assert rule.relative(f"{tmp_path}/kept") == "kept"


def test_the_ignore_file_counts_in_subdirectories_too(tmp_path) -> None:
    (tmp_path / ".dockerignore").write_text("src/out\n**/cache\nout\n")
    (rule,) = rules_of(document(tmp_path, {"path": "src", "action": "sync", "target": "/app"}))
    assert rule.relative(f"{tmp_path}/src/out/x") is None
    assert rule.relative(f"{tmp_path}/src/a/cache/x") is None
    assert rule.relative(f"{tmp_path}/src/a/out") == "a/out"


def test_include_decides_about_files_not_about_directories(tmp_path) -> None:
    (rule,) = rules_of(document(tmp_path, {"action": "sync", "target": "/a", "include": "**/*.py"}))
    assert rule.relative(f"{tmp_path}/pkg/a.py") == "pkg/a.py"
    assert rule.relative(f"{tmp_path}/pkg/a.txt") is None
    assert rule.enters(f"{tmp_path}/pkg")
    assert not rule.enters(f"{tmp_path}/.git")


def test_work_of_a_batch(tmp_path) -> None:
    rules = rules_of(
        document(
            tmp_path,
            {"path": "src", "action": "sync", "target": "/src"},
            {"path": "conf", "action": "sync+restart", "target": "/conf"},
            {"path": "hook", "action": "sync+exec", "target": "/hook", "exec": {"command": ["x"]}},
        )
    )
    work = work_for(
        rules, [f"{tmp_path}/src/a", f"{tmp_path}/hook/b", f"{tmp_path}/hook/c", f"{tmp_path}/other"]
    )
    assert work.copies == {
        "web": {
            f"{tmp_path}/src/a": "/src/a",
            f"{tmp_path}/hook/b": "/hook/b",
            f"{tmp_path}/hook/c": "/hook/c",
        }
    }
    assert (work.restart, work.rebuild) == (set(), set())
    assert work.hooks == [("web", {"command": ["x"]})]
    assert work_for(rules, [f"{tmp_path}/conf/x"]).restart == {"web"}


def test_a_rebuild_makes_the_rest_of_the_batch_pointless(tmp_path) -> None:
    rules = rules_of(
        document(
            tmp_path, {"action": "sync+restart", "target": "/a"}, {"path": "Dockerfile", "action": "rebuild"}
        )
    )
    work = work_for(rules, [f"{tmp_path}/Dockerfile"])
    assert work == ({"web"}, {}, set(), [])


def test_rules_that_cannot_work(tmp_path) -> None:
    with pytest.raises(SpecError, match="no build section"):
        rules_of(document(tmp_path, {"action": "rebuild"}, build=None))
    with pytest.raises(SpecError, match="configured for watch"):
        rules_of({"services": {"web": {}}})


def test_bind_mounts_make_syncing_pointless(tmp_path) -> None:
    made = document(
        tmp_path, {"action": "sync", "target": "/app/src"}, volumes=[{"type": "bind", "target": "/app"}]
    )
    (rule,) = rules_of(made)
    assert covered_by_bind(made["services"]["web"], rule)
    assert not covered_by_bind({"volumes": [{"type": "volume", "target": "/app"}]}, rule)


def test_the_tree_sees_files_in_new_directories(tmp_path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "old").write_text("")
    (rule,) = rules_of(document(tmp_path, {"action": "sync", "target": "/a"}))
    tree = Tree([rule])
    (tmp_path / "sub" / "file").write_text("x")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "deep").write_text("x")
    (tmp_path / "a.swp").write_text("x")
    assert tree.batch() == {f"{tmp_path}/sub/file", f"{tmp_path}/new/deep"}
    (tmp_path / "sub" / "old").unlink()
    assert tree.batch() == {f"{tmp_path}/sub/old"}
    tree.close()
    assert sorted(files_below(rule)) == [f"{tmp_path}/new/deep", f"{tmp_path}/sub/file"]
