"""Trees, selections and digests: what a COPY reads, and what its key depends on."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from composer.build.digests import FileDigests, digest_sources
from composer.build.modes import Mode, parse_owner
from composer.build.patterns import IgnoreRules
from composer.build.selection import select
from composer.build.tree import DirectoryTree, LayeredTree, resolve
from composer.build.upper import Owner
from composer.errors import BuildError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def context(tmp_path: Path) -> Path:
    root = tmp_path / "ctx"
    for name in ("a.txt", "b.txt", "d/one", "d/sub/two", "e/three"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def names(
    root: Path, text: str, *, exclude: tuple[str, ...] = (), ignore: tuple[str, ...] = (), **more: bool
) -> list[str]:
    tree = DirectoryTree(str(root), IgnoreRules(ignore))
    return [
        entry.relative or source.name
        for source in select(tree, text, IgnoreRules(exclude), **more)
        for entry in (*source.parents, *source.entries)
    ]


def digest(root: Path, text: str, memory: Path) -> str:
    tree = DirectoryTree(str(root))
    files = FileDigests(memory, str(root))
    found = digest_sources(tree, select(tree, text, IgnoreRules()), files, keep_owner=False)
    files.save()
    return found


def test_a_directory_means_its_contents(context: Path) -> None:
    assert names(context, "d") == ["one", "sub", "sub/two"]
    assert names(context, "/d/") == ["one", "sub", "sub/two"]


def test_patterns_stay_in_one_component_and_may_match_nothing(context: Path) -> None:
    assert names(context, "*.txt") == ["a.txt", "b.txt"]
    assert names(context, "*/sub") == ["two"]
    assert names(context, "[") == []
    assert names(context, "x*") == []


def test_a_source_cannot_leave_the_context(context: Path) -> None:
    (context.parent / "secret").write_text("s")
    assert names(context, "../../a.txt") == ["a.txt"]
    os.symlink("../secret", context / "out")
    os.symlink("/" + "../" * 20 + "etc/passwd", context / "far")
    for text in ("out", "far"):
        with pytest.raises(BuildError, match="does not exist"):
            names(context, text)


def test_links_in_the_middle_are_followed_inside(context: Path) -> None:
    os.symlink("/d", context / "abs")
    assert names(context, "abs/sub") == ["two"]
    os.symlink("loop", context / "loop")
    with pytest.raises(BuildError, match="too many symbolic links"):
        names(context, "loop")


def test_a_missing_path_names_its_neighbour(context: Path) -> None:
    with pytest.raises(BuildError) as caught:
        names(context, "d/onne")
    assert "'d/one'" in caught.value.hint


def test_ignored_files_are_not_there(context: Path) -> None:
    assert names(context, ".", ignore=("*", "!d/sub/two")) == ["d", "d/sub", "d/sub/two"]
    with pytest.raises(BuildError):
        names(context, "a.txt", ignore=("*.txt",))


def test_exclude_is_relative_to_each_source(context: Path) -> None:
    assert names(context, "d", exclude=("sub",)) == ["one"]
    assert names(context, "d", exclude=("*", "!sub/two")) == ["sub", "sub/two"]
    assert names(context, "*.txt", exclude=("a*",)) == ["b.txt"]


def test_parents_keep_directories_from_the_pivot(context: Path) -> None:
    assert names(context, "d/sub/two", parents=True) == ["d", "d/sub", "d/sub/two"]
    assert names(context, "d/./sub/two", parents=True) == ["sub", "sub/two"]
    assert names(context, "**/t*", parents=True) == ["d", "d/sub", "d/sub/two", "e", "e/three"]


def test_digests_ignore_times_and_see_everything_else(context: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    first = digest(context, "d", memory)
    os.utime(context / "d/one", (1, 1))
    assert digest(context, "d", memory) == first
    os.chmod(context / "d/one", 0o600)
    second = digest(context, "d", memory)
    (context / "d/empty").mkdir()
    third = digest(context, "d", memory)
    (context / "d/one").rename(context / "d/uno")
    fourth = digest(context, "d", memory)
    (context / "d/uno").write_text("other")
    fifth = digest(context, "d", memory)
    assert len({first, second, third, fourth, fifth}) == 5


def test_young_files_are_hashed_again(context: Path, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    path = context / "d/one"
    before = digest(context, "d", memory)
    found = path.stat()
    path.write_text("uno")
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert digest(context, "d", memory) != before


def test_layers_are_merged_without_a_mount(tmp_path: Path) -> None:
    low, high = tmp_path / "low", tmp_path / "high"
    for path in (low / "d/keep", low / "d/lost/x", low / "e/y", high / "d/new"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)
    (high / "e").write_text("a file now")
    tree = LayeredTree([str(low), str(high)])
    assert tree.listdir("") == ["d", "e"]
    assert tree.listdir("d") == ["keep", "lost", "new"]
    assert tree.lstat("e/y") is None
    assert tree.host_path("d/keep") == str(low / "d/keep")


def test_resolve_clamps_at_the_root(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    os.symlink("../../../etc", tmp_path / "d/up")
    tree = DirectoryTree(str(tmp_path))
    assert resolve(tree, "d/up/passwd") == "etc/passwd"
    assert resolve(tree, "d/up", last=False) == "d/up"
    assert resolve(tree, "/../../x/../d") == "d"


@pytest.mark.parametrize(
    ("text", "mode", "expected"),
    [
        ("755", 0o100600, 0o755),
        ("4711", 0o100600, 0o4711),
        ("u=rwX,go=rX", 0o100600, 0o644),
        ("u=rwX,go=rX", 0o040700, 0o755),
        ("+x", 0o100644, 0o755),
        ("g=u", 0o100750, 0o770),
        ("a-w", 0o100666, 0o444),
        ("u+s,+t", 0o100755, 0o5755),
        # What BuildKit does where chmod(1) differs:
        ("+xt", 0o100644, 0o1644),
        ("=rt", 0o100644, 0o1644),
        ("o+t", 0o100644, 0o644),
        ("u=g", 0o104711, 0o4111),
        ("u+x,g+X", 0o100644, 0o744),
    ],
)
def test_modes(text: str, mode: int, expected: int) -> None:
    assert Mode.parse(text).apply(mode) == expected


@pytest.mark.parametrize("text", ["999", "77777", "u=q", "rwx", "u"])
def test_what_is_no_mode(text: str) -> None:
    with pytest.raises(BuildError):
        Mode.parse(text)


def test_owners(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("app:x:7:8::/:\nbad:x:99999999999:0::/:\n")
    (tmp_path / "etc/group").write_text("staff:x:50:\n")
    tree = DirectoryTree(str(tmp_path))
    assert parse_owner("app", tree) == Owner(7, 8)
    assert parse_owner("app:staff", tree) == Owner(7, 50)
    assert parse_owner("5", tree) == Owner(5, 5)
    assert parse_owner(":9", tree) == Owner(0, 9)
    for wrong in ("nobody", "app:nogroup", "bad", "4294967295", "-1", "1e3", "٣"):
        with pytest.raises(BuildError):
            parse_owner(wrong, tree)
    with pytest.raises(BuildError, match="numbers"):
        parse_owner("app", None)


def test_a_young_file_is_trusted_within_one_build_only(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("first")
    os.utime(path)  # its times are those of this moment
    time.sleep(0.06)
    found = os.lstat(path)
    files = FileDigests(tmp_path / "memory", str(tmp_path))
    first = files.digest(str(path), found)
    # The same inode, size and (claimed) times with another content: whoever read it a moment ago does not look again.
    path.write_text("other")
    assert files.digest(str(path), found) == first
    files.save()
    assert FileDigests(tmp_path / "memory", str(tmp_path)).digest(str(path), found) != first
