"""What `composer watch` watches and does: rules of `develop.watch`, changed paths, actions by batch."""

from __future__ import annotations

import os
import posixpath
import tarfile
from typing import TYPE_CHECKING, Any, NamedTuple

from composer.build.patterns import IgnoreRules, read_ignore_file
from composer.cli import inotify
from composer.cli.copying import finish, inside
from composer.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

QUIET = 0.5
"""Seconds without a change that end a batch."""
_MASK = (
    inotify.IN_CLOSE_WRITE
    | inotify.IN_CREATE
    | inotify.IN_DELETE
    | inotify.IN_MOVED_FROM
    | inotify.IN_MOVED_TO
    | inotify.IN_ATTRIB
)
_ALWAYS_IGNORED = (
    ".git",
    "**/.git",
    "**/*.swp",
    "**/*.swx",
    "**/*~",
    "**/.#*",
    "**/#*#",
    "**/4913",
    "**/.idea",
    "**/*___jb_tmp___",
    "**/*___jb_old___",
    "**/.DS_Store",
)
SYNCING = ("sync", "sync+restart", "sync+exec")


class Rule(NamedTuple):
    """One entry of a service's `develop.watch`.

    Attributes:
        service: Whose.
        path: Absolute path on this machine.
        action: sync, rebuild, restart, sync+restart or sync+exec.
        target: Absolute path in the container.
        ignored: What is left out, relative to `path`.
        included: What counts, relative to `path`; None: everything.
        hook: The command of sync+exec, as in the document.
        initial: Copy everything at the beginning.
    """

    service: str
    path: str
    action: str
    target: str
    ignored: IgnoreRules
    included: IgnoreRules | None
    hook: Mapping[str, Any]
    initial: bool

    def relative(self, path: str) -> str | None:
        """*path* relative to the rule's, `.` for itself; None when the rule does not care about it."""
        if path == self.path:
            return "."
        if not path.startswith(f"{self.path}/"):
            return None
        name = path[len(self.path) + 1 :]
        if self.ignored.excludes(name):
            return None
        if self.included is not None and not self.included.excludes(name):
            return None
        return name

    def enters(self, directory: str) -> bool:
        """Whether something below *directory* may matter; what is included decides about files only."""
        if self.path == directory:
            return True
        if not directory.startswith(f"{self.path}/"):
            return False
        return not self.ignored.excludes(directory[len(self.path) + 1 :])

    def inside(self, name: str) -> str:
        """The path in the container of something with this relative name."""
        return posixpath.normpath(posixpath.join(self.target, name))


def rules_of(document: Mapping[str, Any], services: Iterable[str] = ()) -> list[Rule]:
    """The rules of the (named) services of a canonical document.

    Raises:
        SpecError: A rule cannot work: rebuild without build, or no service has one.
    """
    wanted = set(services)
    rules = []
    for name, service in document["services"].items():
        if wanted and name not in wanted:
            continue
        for index, entry in enumerate((service.get("develop") or {}).get("watch") or ()):
            if entry["action"] == "rebuild" and not service.get("build"):
                raise SpecError(
                    f'service "{name}" cannot be rebuilt: it has no build section',
                    path=f"services.{name}.develop.watch[{index}]",
                )
            rules.append(_rule(name, service, entry))
    if not rules:
        raise SpecError(
            "none of the selected services is configured for watch", hint="add develop.watch to one"
        )
    return rules


def _rule(name: str, service: Mapping[str, Any], entry: Mapping[str, Any]) -> Rule:
    path = os.path.normpath(entry["path"])
    patterns = [*_ALWAYS_IGNORED, *_words(entry.get("ignore")), *_dockerignore(service, path)]
    include = _words(entry.get("include"))
    return Rule(
        name,
        path,
        entry["action"],
        entry.get("target", ""),
        IgnoreRules(patterns),
        IgnoreRules(include) if include else None,
        entry.get("exec") or {},
        bool(entry.get("initial_sync")),
    )


def _words(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value or ())


def _dockerignore(service: Mapping[str, Any], path: str) -> list[str]:
    """The build context's ignore file, as patterns relative to *path* when that lies in the context."""
    context = str((service.get("build") or {}).get("context") or "")
    if not context or not (path == context or path.startswith(f"{context}/")):
        return []
    try:
        with open(os.path.join(context, ".dockerignore"), encoding="utf-8") as file:
            patterns = read_ignore_file(file.read())
    except (OSError, UnicodeDecodeError):
        return []
    below = os.path.relpath(path, context)
    if below == ".":
        return patterns
    # A pattern that begins with the directory's own name loses it; `**` patterns hold everywhere.
    found = []
    for pattern in patterns:
        mark, text = ("!", pattern[1:]) if pattern.startswith("!") else ("", pattern)
        if text.startswith("**"):
            found.append(pattern)
        elif text.startswith(f"{below}/"):
            found.append(mark + text[len(below) + 1 :])
    return found


def covered_by_bind(service: Mapping[str, Any], rule: Rule) -> bool:
    """Whether a bind mount shows the files in the container anyway, so that copying them is pointless."""
    for mount in service.get("volumes") or ():
        target = mount.get("target", "")
        if mount.get("type") == "bind" and (rule.target == target or rule.target.startswith(f"{target}/")):
            return True
    return False


class Tree:
    """Watches directories with everything below them; a context manager.

    Args:
        rules: What is watched; directories that all of them ignore are left out.
    """

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._rules = list(rules)
        self._inotify = inotify.Inotify()
        self._directories: dict[int, str] = {}
        for path in {rule.path for rule in self._rules}:
            deep = os.path.isdir(path)
            # Run to its end: what is there already is no change.
            list(self._add(path if deep else os.path.dirname(path), deep=deep))

    def _add(self, directory: str, *, deep: bool = True) -> Iterator[str]:
        """Watch *directory*; yields the files that are in it already."""
        watch = self._inotify.watch(directory, _MASK | inotify.IN_ONLYDIR)
        if watch < 0:
            return
        self._directories[watch] = directory
        if not deep:
            return
        try:
            entries = list(os.scandir(directory))
        except OSError:
            return
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if any(rule.enters(entry.path) for rule in self._rules):
                    yield from self._add(entry.path)
            else:
                yield entry.path

    def batch(self) -> set[str]:
        """Paths that changed; waits for the first change, then until nothing has changed for `QUIET`."""
        changed: set[str] = set()
        while True:
            notices = self._inotify.read(QUIET if changed else None)
            if not notices and changed:
                return changed
            for notice in notices:
                directory = self._directories.get(notice.watch)
                if directory is None:
                    continue
                if notice.mask & inotify.IN_IGNORED:
                    del self._directories[notice.watch]
                    continue
                path = os.path.join(directory, notice.name) if notice.name else directory
                if notice.mask & inotify.IN_ISDIR and notice.mask & (inotify.IN_CREATE | inotify.IN_MOVED_TO):
                    changed.update(self._add(path))
                elif not notice.mask & inotify.IN_ISDIR or notice.mask & (
                    inotify.IN_DELETE | inotify.IN_MOVED_FROM
                ):
                    changed.add(path)
            changed = {path for path in changed if any(rule.relative(path) for rule in self._rules)}

    def close(self) -> None:
        """Stop watching."""
        self._inotify.close()


class Work(NamedTuple):
    """What a batch of changes asks for.

    Attributes:
        rebuild: Services.
        copies: Service -> (path here -> path in the container); what is gone here is removed there.
        restart: Services.
        hooks: (service, hook), once per rule.
    """

    rebuild: set[str]
    copies: dict[str, dict[str, str]]
    restart: set[str]
    hooks: list[tuple[str, Mapping[str, Any]]]


def work_for(rules: Iterable[Rule], changed: Iterable[str]) -> Work:
    """What the rules ask for when these paths have changed."""
    work = Work(set(), {}, set(), [])
    paths = sorted(changed)
    for rule in rules:
        names = [(path, name) for path in paths if (name := rule.relative(path)) is not None]
        if not names:
            continue
        if rule.action == "rebuild":
            work.rebuild.add(rule.service)
        if rule.action in SYNCING:
            copies = work.copies.setdefault(rule.service, {})
            copies.update({path: rule.inside(name) for path, name in names})
        if rule.action in ("restart", "sync+restart"):
            work.restart.add(rule.service)
        if rule.action == "sync+exec":
            work.hooks.append((rule.service, rule.hook))
    for service in work.rebuild:
        # A new container has the new files already.
        work.copies.pop(service, None)
        work.restart.discard(service)
    return work


def files_below(rule: Rule) -> list[str]:
    """Every file that the rule cares about, for the first copy."""
    if not os.path.isdir(rule.path):
        return [rule.path]
    found = []
    for directory, names, files in os.walk(rule.path):
        names[:] = [name for name in names if rule.enters(os.path.join(directory, name))]
        found += [path for name in files if rule.relative(path := os.path.join(directory, name))]
    return found


def copy_into(pid: int, copies: Mapping[str, str]) -> None:
    """Bring files here and files in the container of *pid* together: copy what exists, remove what does not.

    Raises:
        ComposerError: It could not be done there.
    """
    present = {path: target for path, target in copies.items() if os.path.lexists(path)}
    gone = [target for path, target in copies.items() if path not in present]
    reader, writer = os.pipe()

    def receive() -> None:
        os.close(writer)
        _remove(gone)
        with os.fdopen(reader, "rb") as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            archive.extraction_filter = lambda member, _path: member
            for member in archive:
                directory = posixpath.dirname(f"/{member.name}")
                os.makedirs(directory, exist_ok=True)
                owner = os.stat(directory)
                member.uid, member.gid = owner.st_uid, owner.st_gid
                archive.extract(member, "/", numeric_owner=True)

    child = inside(pid, receive)
    os.close(reader)
    try:
        with os.fdopen(writer, "wb") as stream, tarfile.open(fileobj=stream, mode="w|") as archive:
            for path, target in present.items():
                try:
                    archive.add(path, arcname=target.lstrip("/"), recursive=False)
                except FileNotFoundError:
                    continue  # gone since; its removal is the next change
    except BrokenPipeError:
        pass  # the other side says why
    finish(child)


def _remove(targets: Iterable[str]) -> None:
    import shutil

    for target in targets:
        if os.path.isdir(target) and not os.path.islink(target):
            shutil.rmtree(target, ignore_errors=True)
        elif os.path.lexists(target):
            os.unlink(target)
