"""COPY and ADD: what is taken is selected and digested, so that the cache can answer; then it is laid."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from composer.build.digests import FileDigests, digest_sources
from composer.build.modes import Mode, names_accounts, parse_owner
from composer.build.patterns import IgnoreRules, clean
from composer.build.records import step_key
from composer.build.selection import Source, select
from composer.build.tree import LayeredTree, Tree, join
from composer.build.upper import Owner, UpperDirectory
from composer.errors import BuildError
from composer.frozen import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@frozen
class Inline:
    """A file given in the Dockerfile itself, expanded."""

    name: str
    data: bytes


@frozen
class Fetched:
    """Something from the network, on this machine now.

    Attributes:
        name: What it is called in a destination directory; empty for a repository.
        path: File or directory; empty when the server only confirmed what it is.
        digest: Of its content, or the commit.
        mtime: Nanoseconds, None when the server did not say.
        unpack: It is an archive to be unpacked.
        fetch: Brings it here after all, when the cache lacks the step.
    """

    name: str
    path: str
    digest: str
    mtime: int | None = None
    unpack: bool = False
    fetch: Callable[[], Fetched] | None = None


@frozen
class CopyStep:
    """A COPY or ADD with everything expanded.

    Attributes:
        tree: What local sources are looked up in.
        sources: Paths and patterns.
        destination: Absolute; a trailing slash says directory.
        layers: The image it copies into.
        inline: Here-documents.
        fetched: What URLs gave.
        chown: See `parse_owner`.
        chmod: See `Mode`.
        keep_owner: Owners of the tree count (copies from stages).
        unpack: Unpack archives among the sources.
        link: Look at nothing in the image.
        parents: Keep the directories of sources.
        excludes: Ignore patterns.
        mtime: Time of here-documents in nanoseconds, None for now.
    """

    tree: Tree
    sources: tuple[str, ...]
    destination: str
    layers: tuple[str, ...]
    inline: tuple[Inline, ...] = ()
    fetched: tuple[Fetched, ...] = ()
    chown: str = ""
    chmod: str = ""
    keep_owner: bool = False
    unpack: bool = False
    link: bool = False
    parents: bool = False
    excludes: tuple[str, ...] = ()
    mtime: int | None = None


@dataclass(slots=True)
class Copier:
    """Carries a `CopyStep` out: `select`, `key`, then `lay`."""

    step: CopyStep
    mode: Mode = field(init=False)
    owner: Owner | None = field(init=False, default=None)
    sources: list[Source] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        """Parse the flags, which may be wrong."""
        self.mode = Mode.parse(self.step.chmod)

    def select(self) -> None:
        """Find what is copied.

        Raises:
            BuildError: A source is missing, or a name in `--chown` unknown.
        """
        step = self.step
        if step.chown:
            image = None if step.link or not step.layers else LayeredTree(step.layers)
            self.owner = parse_owner(step.chown, image)
        excludes = IgnoreRules(step.excludes)
        for text in step.sources:
            self.sources += select(step.tree, text, excludes, parents=step.parents)

    def key(self, parent: str, files: FileDigests, **more: object) -> str:
        """The cache key on top of the chain *parent*."""
        step = self.step
        return step_key(
            kind="copy",
            parent=parent,
            destination=step.destination,
            chown=[self.owner.uid, self.owner.gid] if self.owner else None,
            names=names_accounts(step.chown),
            chmod=step.chmod,
            flags=[step.unpack, step.link, step.parents, step.keep_owner, len(step.sources) > 1],
            content=digest_sources(step.tree, self.sources, files, keep_owner=step.keep_owner),
            inline=[[item.name, item.data.hex()] for item in step.inline],
            fetched=[[item.name, item.digest, item.unpack] for item in step.fetched],
            **more,
        )

    def lay(self, upper: UpperDirectory) -> None:
        """Write the layer.

        Raises:
            BuildError: Something in the image is in the way, or a file cannot be read.
        """
        try:
            self._lay(upper)
        except OSError as error:
            what = f"cannot copy {error.filename}" if error.filename else "cannot copy"
            hint = "free some space and try again" if error.errno == errno.ENOSPC else ""
            raise BuildError(f"{what}: {error.strerror}", hint=hint) from error
        upper.close()

    def _lay(self, upper: UpperDirectory) -> None:
        from composer.build.archives import is_archive, unpack_archive

        target = _Target(upper, self.step.destination, self.owner or Owner(0, 0), self.mode)
        files = sum(not source.is_directory for source in self.sources)
        extra = len(self.step.inline) + len(self.step.fetched)
        if len(self.sources) + extra > 1 and files + extra and not self.step.parents:
            target.require_directory()
        if self.step.parents:
            target.wants_directory = True
        for source in self.sources:
            upper.forget_links()
            if self.step.parents:
                self._keep_parents(target, source)
            elif source.is_directory:
                self._directory(target, source)
            elif self.step.unpack and is_archive(self.step.tree.host_path(source.path)):
                unpack_archive(
                    self.step.tree.host_path(source.path), upper, target.as_directory(), self.owner
                )
            else:
                self._entry(upper, target.of_file(source.name), source.path, source.found)
        for inline in self.step.inline:
            mode = self.mode.apply(stat.S_IFREG | 0o644)
            upper.add_bytes(target.of_file(inline.name), inline.data, target.owner, mode, self.step.mtime)
        for item in self.step.fetched:
            self._fetched(upper, target, item if item.path or item.fetch is None else item.fetch())

    def _entry(self, upper: UpperDirectory, path: str, source: str, found: os.stat_result) -> None:
        upper.add_entry(
            path,
            self.step.tree.host_path(source),
            found,
            self._owner(found),
            self.mode.apply(found.st_mode),
            xattrs=self.step.keep_owner,
        )

    def _owner(self, found: os.stat_result) -> Owner:
        if self.owner is not None:
            return self.owner
        return Owner(found.st_uid, found.st_gid) if self.step.keep_owner else Owner(0, 0)

    def _directory(self, target: _Target, source: Source) -> None:
        root = target.as_directory()
        for entry in source.entries:
            self._below(target.upper, join(root, entry.relative), entry.path, entry.found)

    def _below(self, upper: UpperDirectory, path: str, source: str, found: os.stat_result) -> None:
        if not stat.S_ISDIR(found.st_mode):
            self._entry(upper, path, source, found)
            return
        upper.add_directory(
            path,
            found,
            self._owner(found),
            self.mode.apply(found.st_mode),
            self.step.tree.host_path(source) if self.step.keep_owner else "",
        )

    def _keep_parents(self, target: _Target, source: Source) -> None:
        root = target.as_directory()
        for entry in (*source.parents, *source.entries):
            self._below(target.upper, join(root, entry.relative), entry.path, entry.found)

    def _fetched(self, upper: UpperDirectory, target: _Target, item: Fetched) -> None:
        if item.unpack:
            from composer.build.archives import unpack_archive

            unpack_archive(item.path, upper, target.as_directory(), self.owner)
            return
        found = os.lstat(item.path)
        if stat.S_ISDIR(found.st_mode):
            root = target.as_directory()
            self._repository(upper, root, item.path)
            return
        path = target.of_file(item.name)
        mode = self.mode.apply(stat.S_IFREG | 0o600)
        upper.add_entry(path, item.path, found, target.owner, mode, xattrs=False)
        if item.mtime is not None:
            os.utime(f"{upper.path}/{path}", ns=(item.mtime, item.mtime))

    def _repository(self, upper: UpperDirectory, root: str, directory: str) -> None:
        owner = self.owner or Owner(0, 0)
        for place, names, files in os.walk(directory):
            relative = os.path.relpath(place, directory)
            below = root if relative == "." else join(root, relative)
            names.sort()
            for name in (*names, *sorted(files)):
                host = f"{place}/{name}"
                found = os.lstat(host)
                mode = self.mode.apply(found.st_mode)
                if stat.S_ISDIR(found.st_mode):
                    upper.add_directory(join(below, name), found, owner, mode)
                else:
                    upper.add_entry(join(below, name), host, found, owner, mode, xattrs=False)


class _Target:
    """The destination of a COPY, resolved when the first source needs it."""

    def __init__(self, upper: UpperDirectory, destination: str, owner: Owner, mode: Mode) -> None:
        self.upper = upper
        self.owner = owner
        self._mode = mode.parents
        self._text = destination
        self.wants_directory = destination.endswith(("/", "/.")) or destination == "."
        self._path = upper.resolve(clean(destination).lstrip("/"))

    def require_directory(self) -> None:
        """Several files go there.

        Raises:
            BuildError: It does not look like a directory.
        """
        if not (self.wants_directory or self.upper.is_directory(self._path)):
            raise BuildError(
                f"several sources are copied to {self._text!r}, which is not a directory",
                hint="end it with a slash",
            )

    def as_directory(self) -> str:
        """The destination as a directory, made when missing."""
        self.upper.make_directories(self._path, self.owner, self._mode)
        return self._path

    def of_file(self, name: str) -> str:
        """Where a file called *name* goes; its directory is made."""
        if self.wants_directory or self.upper.is_directory(self._path):
            return join(self.as_directory(), name)
        self.upper.make_directories(self._path.rpartition("/")[0], self.owner, self._mode)
        return self._path


def check_local(sources: Sequence[str], *, checksum: str) -> None:
    """What a local source cannot have.

    Raises:
        BuildError: A checksum.
    """
    if checksum and sources:
        raise BuildError(
            f"--checksum goes with a URL or a repository, not with {sources[0]!r}", hint="leave it out"
        )
