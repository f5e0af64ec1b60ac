"""Copying files into and out of containers, as `docker cp` names things.

The container's side runs in a child process whose root directory is the container's: whatever symbolic links
are there, they lead to places in the container. A tar stream joins the two sides.
"""

from __future__ import annotations

import os
import posixpath
import sys
import tarfile
from typing import IO, TYPE_CHECKING

from composer.errors import ComposerError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable


def pack(source: str, stream: IO[bytes], *, follow: bool = False) -> None:
    """Write *source* as a tar stream whose top entry is its name, or `.` for `directory/.`.

    Args:
        source: A path.
        stream: Where the archive goes.
        follow: Copy what a symbolic link *source* points at.

    Raises:
        NotFoundError: There is no such path.
    """
    contents = source.endswith(("/.", "/")) or source in (".", "/")
    path = os.path.realpath(source) if follow or contents else source
    if not os.path.lexists(path):
        raise NotFoundError(f"{source}: no such file or directory")
    name = "." if source.endswith("/.") or source in (".", "/") else posixpath.basename(source.rstrip("/"))
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as archive:
        archive.add(path, arcname=name)


def unpack(stream: IO[bytes], target: str, *, owner: tuple[int, int] | None) -> None:
    """Take a tar stream of `pack` to *target*.

    An existing directory receives the entry under its own name; otherwise *target* becomes its name.

    Args:
        stream: The archive.
        target: A path.
        owner: uid and gid of everything; None keeps those of the archive.

    Raises:
        NotFoundError: The directory that would hold *target* does not exist.
        ComposerError: A directory cannot replace a file.
    """
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        # Names are checked here; Python's own filters would refuse absolute symbolic links.
        archive.extraction_filter = lambda member, _path: member
        top = directory = ""
        rename = ""
        for member in archive:
            name = _inside(member.name)
            if not top:
                top = name
                directory, rename = _place(target, member)
            member.name = _renamed(name, top, rename)
            if member.islnk():
                member.linkname = _renamed(_inside(member.linkname), top, rename)
            if owner is not None:
                member.uid, member.gid = owner
                member.uname = member.gname = ""
            archive.extract(member, directory, numeric_owner=True)


def _inside(name: str) -> str:
    """*name* without detours.

    Raises:
        ComposerError: It leads out of the archive.
    """
    clean = posixpath.normpath(name)
    if clean.startswith(("/", "../")) or clean == "..":
        raise ComposerError(f"the archive has an entry {name!r} outside of itself")
    return clean


def _renamed(name: str, top: str, rename: str) -> str:
    """*name* with its first part *top* replaced by *rename*; further top entries keep theirs."""
    if not rename or not (top in (name, ".") or name.startswith(f"{top}/")):
        return name
    rest = name if top == "." else name[len(top) + 1 :]
    return posixpath.normpath(posixpath.join(rename, rest))


def _place(target: str, member: tarfile.TarInfo) -> tuple[str, str]:
    """The directory to extract in, and the new name of the top entry."""
    if os.path.isdir(target):
        return target, "" if member.name == "." else member.name
    parent = posixpath.dirname(target.rstrip("/")) or ("/" if target.startswith("/") else ".")
    if not os.path.isdir(parent):
        raise NotFoundError(f"{parent}: no such directory")
    if member.isdir() and os.path.exists(target):
        raise ComposerError(f"cannot copy a directory over the file {target}")
    if not member.isdir() and target.endswith("/"):
        raise NotFoundError(f"{target}: no such directory")
    return parent, posixpath.basename(target.rstrip("/"))


def inside(pid: int, work: Callable[[], None]) -> int:
    """Fork a child whose root is that of the process *pid*, run *work* there; returns the child's pid.

    Errors of *work* are printed by the child, and its exit status is 1.
    """
    root = os.open(f"/proc/{pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    child = os.fork()
    if child:
        os.close(root)
        return child
    code = 1
    try:
        os.fchdir(root)
        os.chroot(".")
        os.umask(0)
        work()
        code = 0
    except (ComposerError, OSError, tarfile.TarError) as error:
        sys.stderr.write(f"composer: in the container: {error}\n")
    finally:
        sys.stderr.flush()
        os._exit(code)


def finish(child: int) -> None:
    """Wait for a child of `inside`.

    Raises:
        ComposerError: It failed; it has said why.
    """
    _, status = os.waitpid(child, 0)
    if status:
        raise ComposerError("")


def from_container(pid: int, source: str, target: str, *, archive: bool, follow: bool) -> None:
    """Copy *source* of the container of *pid* to *target* here; `-` writes a tar archive to standard output.

    Raises:
        ComposerError: See `pack` and `unpack`.
    """
    reader, writer = os.pipe()
    child = inside(pid, lambda: _write_to(writer, reader, source, follow=follow))
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        if target == "-":
            while data := stream.read(1 << 16):
                sys.stdout.buffer.write(data)
        else:
            _unpack_unless_empty(stream, target, None if archive else (os.getuid(), os.getgid()))
    finish(child)


def to_container(pid: int, source: str, target: str, *, archive: bool, follow: bool) -> None:
    """Copy *source* here to *target* in the container of *pid*; `-` reads a tar archive from standard input.

    Raises:
        ComposerError: See `pack` and `unpack`.
    """
    if source != "-" and not os.path.lexists(source):
        raise NotFoundError(f"{source}: no such file or directory")
    reader, writer = os.pipe()
    child = inside(pid, lambda: _read_from(reader, writer, target, None if archive else (0, 0)))
    os.close(reader)
    try:
        with os.fdopen(writer, "wb") as stream:
            if source == "-":
                while data := sys.stdin.buffer.read(1 << 16):
                    stream.write(data)
            else:
                pack(source, stream, follow=follow)
    except BrokenPipeError:
        # The other side gave up; it says why.
        pass
    finish(child)


def _write_to(writer: int, reader: int, source: str, *, follow: bool) -> None:
    os.close(reader)
    with os.fdopen(writer, "wb") as stream:
        pack(posixpath.join("/", source), stream, follow=follow)


def _read_from(reader: int, writer: int, target: str, owner: tuple[int, int] | None) -> None:
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        unpack(stream, posixpath.join("/", target), owner=owner)


def _unpack_unless_empty(stream: IO[bytes], target: str, owner: tuple[int, int] | None) -> None:
    """An empty stream means that the other side failed and has said so."""
    try:
        unpack(stream, target, owner=owner)
    except tarfile.ReadError as error:
        if "empty file" not in str(error):
            raise ComposerError(f"cannot read the archive: {error}") from None
