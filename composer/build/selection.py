"""Which files a COPY takes: source paths and patterns resolved in a tree, down to every entry below them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from composer.build.patterns import IgnoreRules, clean, compile_ignore_pattern, glob_match
from composer.build.tree import Tree, join, resolve
from composer.errors import BuildError
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator


class Entry(NamedTuple):
    """One file, directory, link or device to copy. A tuple: there are as many as the context has files.

    Attributes:
        path: Where it is in the tree.
        relative: Where it lands below the source's landing place; empty for the source itself.
        found: Its status.
    """

    path: str
    relative: str
    found: os.stat_result


@frozen
class Source:
    """One source after patterns and links.

    Attributes:
        path: In the tree, links resolved.
        name: The base name it was selected by, which a file keeps in a destination directory.
        found: Status of what it leads to.
        entries: What is copied: a directory's contents, or the file itself.
        parents: With `--parents`, the directories between the pivot and it, outermost first.
    """

    path: str
    name: str
    found: os.stat_result
    entries: tuple[Entry, ...]
    parents: tuple[Entry, ...] = ()

    @property
    def is_directory(self) -> bool:
        """Whether its contents are copied."""
        return stat.S_ISDIR(self.found.st_mode)


def select(tree: Tree, text: str, excludes: IgnoreRules, *, parents: bool = False) -> list[Source]:
    """Find what one source argument names; an unmatched pattern names nothing.

    Args:
        tree: Where to look.
        text: Path or pattern as written, variables expanded.
        excludes: `--exclude`.
        parents: `--parents`.

    Raises:
        BuildError: A plain path, or a pattern's directory, that does not exist, or links in a circle.
    """
    if parents:
        return list(_select_with_parents(tree, text, excludes))
    cleaned = clean("/" + text).lstrip("/")
    if not _is_pattern(cleaned):
        return [_source(tree, cleaned, text, excludes)]
    paths = _match(tree, cleaned)
    return [_source(tree, path, text, excludes) for path in paths if not _excluded_file(tree, path, excludes)]


def _is_pattern(text: str) -> bool:
    """Whether there is a wildcard that no backslash takes back."""
    escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in "*?[":
            return True
    return False


def _match(tree: Tree, pattern: str) -> list[str]:
    parts = pattern.split("/")
    first = next(index for index, part in enumerate(parts) if _is_pattern(part))
    literal = "/".join(parts[:first])
    base = resolve(tree, literal)
    if literal and tree.lstat(base) is None:
        raise BuildError(f"{literal!r} does not exist in {tree.title}", hint=_near(tree, literal))
    found = [base] if _is_directory(tree, base) else []
    for part in parts[first:]:
        # Links to directories are not entered: only a pattern's literal beginning follows links.
        found = [
            join(directory, name)
            for directory in found
            if _is_directory(tree, directory)
            for name in tree.listdir(directory)
            if glob_match(part, name)
        ]
    return found


def _is_directory(tree: Tree, path: str) -> bool:
    found = tree.lstat(path)
    return found is not None and stat.S_ISDIR(found.st_mode)


def _excluded_file(tree: Tree, path: str, excludes: IgnoreRules) -> bool:
    if not excludes or _is_directory(tree, path):
        return False
    return excludes.excludes(path.rpartition("/")[2])


def _source(tree: Tree, path: str, text: str, excludes: IgnoreRules) -> Source:
    followed = resolve(tree, path)
    found = tree.lstat(followed)
    if found is None:
        link = tree.lstat(path)
        if link is not None and stat.S_ISLNK(link.st_mode):
            target = os.readlink(tree.host_path(path))
            raise BuildError(f"{text!r} is a link to {target!r}, which does not exist in {tree.title}")
        raise BuildError(f"{text!r} does not exist in {tree.title}", hint=_near(tree, path))
    name = path.rpartition("/")[2]
    if stat.S_ISDIR(found.st_mode):
        return Source(followed, name, found, tuple(_below(tree, followed, excludes)))
    return Source(followed, name, found, (Entry(followed, "", found),))


def _near(tree: Tree, path: str) -> str:
    """What to say about a path that is not there: a name like the first component that is missing."""
    from difflib import get_close_matches

    parts = path.split("/")
    for depth, name in enumerate(parts):
        parent = "/".join(parts[:depth])
        if tree.lstat(join(parent, name)) is not None and _is_directory(tree, join(parent, name)):
            continue
        if not _is_directory(tree, parent):
            break
        near = get_close_matches(name, tree.listdir(parent), 1)
        if near:
            return f"did you mean {'/'.join([*parts[:depth], near[0], *parts[depth + 1 :]])!r}?"
        break
    return "check the path; an ignore file may exclude it"


def _below(tree: Tree, root: str, excludes: IgnoreRules) -> Iterator[Entry]:
    """Everything below a directory, parents before children, except what is excluded."""
    pending: list[tuple[str, tuple[bool, ...]]] = [("", excludes.root_state())]
    while pending:
        directory, state = pending.pop()
        held: list[tuple[str, tuple[bool, ...]]] = []
        for name in tree.listdir(join(root, directory) if directory else root):
            relative = join(directory, name)
            path = join(root, relative)
            found = tree.lstat(path)
            if found is None:
                continue
            is_directory = stat.S_ISDIR(found.st_mode)
            if excludes:
                below = excludes.descend(state, relative)
                if excludes.verdict(below):
                    # A directory that is excluded is entered only to find what a later `!` takes back.
                    if is_directory and excludes.has_negation:
                        yield from _kept_below(tree, root, relative, below, excludes)
                    continue
            else:
                below = state
            yield Entry(path, relative, found)
            if is_directory:
                held.append((relative, below))
        pending += reversed(held)


def _kept_below(
    tree: Tree, root: str, directory: str, state: tuple[bool, ...], excludes: IgnoreRules
) -> Iterator[Entry]:
    kept: list[Entry] = []
    for name in tree.listdir(join(root, directory)):
        relative = join(directory, name)
        path = join(root, relative)
        found = tree.lstat(path)
        if found is None:
            continue
        below = excludes.descend(state, relative)
        excluded = excludes.verdict(below)
        if stat.S_ISDIR(found.st_mode):
            inner = list(_kept_below(tree, root, relative, below, excludes))
            if not excluded and not (inner and inner[0].relative == relative):
                kept.append(Entry(path, relative, found))
            kept += inner
        elif not excluded:
            kept.append(Entry(path, relative, found))
    if kept:
        own = tree.lstat(join(root, directory))
        if own is not None:
            yield Entry(join(root, directory), directory, own)
    yield from kept


def _select_with_parents(tree: Tree, text: str, excludes: IgnoreRules) -> Iterator[Source]:
    trimmed = text.lstrip("/").removeprefix("./")
    head, pivot, tail = trimmed.partition("/./")
    base = clean("/" + head).lstrip("/") if pivot else ""
    pattern = clean("/" + (tail if pivot else trimmed)).lstrip("/")
    if not _is_pattern(base + "/" + pattern):
        base = resolve(tree, base)
        path = join(base, pattern) if pattern else base
        found = tree.lstat(resolve(tree, path)) if path else tree.lstat("")
        if found is None:
            raise BuildError(f"{text!r} does not exist in {tree.title}", hint=_near(tree, path))
        yield _kept(tree, base, pattern, excludes)
        return
    for start in _match(tree, base) if _is_pattern(base) else [resolve(tree, base)]:
        compiled = compile_ignore_pattern(pattern)
        if compiled is None or not _is_directory(tree, start):
            continue
        for relative in _matching(tree, start, "", compiled.matches):
            if not excludes.excludes(relative):
                yield _kept(tree, start, relative, excludes)


def _matching(tree: Tree, start: str, directory: str, matches: Matches) -> Iterator[str]:
    for name in tree.listdir(join(start, directory) if directory else start):
        relative = join(directory, name)
        if matches(relative):
            yield relative
        elif _is_directory(tree, join(start, relative)):
            yield from _matching(tree, start, relative, matches)


def _kept(tree: Tree, start: str, relative: str, excludes: IgnoreRules) -> Source:
    """A source below the pivot *start*, with the directories that lead to it."""
    parts = relative.split("/") if relative else []
    parents: list[Entry] = []
    for depth in range(1, len(parts)):
        inner = "/".join(parts[:depth])
        found = tree.lstat(resolve(tree, join(start, inner)))
        if found is not None:
            parents.append(Entry(join(start, inner), inner, found))
    path = resolve(tree, join(start, relative) if relative else start)
    found = tree.lstat(path)
    if found is None:
        raise BuildError(f"{relative!r} does not exist in {tree.title}")
    name = parts[-1] if parts else ""
    if stat.S_ISDIR(found.st_mode):
        below = [
            Entry(entry.path, join(relative, entry.relative), entry.found)
            for entry in _below(tree, path, excludes)
        ]
        own = [Entry(path, relative, found)] if relative else []
        return Source(path, name, found, (*own, *below), tuple(parents))
    return Source(path, name, found, (Entry(path, relative, found),), tuple(parents))


if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Matches: TypeAlias = Callable[[str], bool]
