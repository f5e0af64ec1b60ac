"""Where a build reads from: the build context with its ignore file, the Dockerfile, and named contexts."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from composer.build import remote
from composer.build.patterns import IgnoreRules, read_ignore_file
from composer.build.tree import DirectoryTree, resolve
from composer.errors import BuildError, Location
from composer.frozen import frozen

if TYPE_CHECKING:
    from composer.build.request import BuildRequest

_TEXT_LIMIT = 16 << 20


@frozen
class Context:
    """What a build starts from.

    Attributes:
        tree: The build context, without what the ignore file excludes.
        text: The Dockerfile.
        file: Its path, for places in errors; a name when it is no file of the user's.
        name: What findings and excerpts call it.
        ignore: Rules of the ignore file.
    """

    tree: DirectoryTree
    text: str
    file: str
    ignore: IgnoreRules
    name: str = "Dockerfile"


def open_context(request: BuildRequest, scratch: str) -> Context:
    """Read the Dockerfile and prepare the context; what is remote is fetched into *scratch*. Blocks.

    Raises:
        BuildError: The context or the Dockerfile cannot be read, or the ignore file is wrong.
    """
    if remote.is_remote(request.context):
        directory, single = remote.fetch_context(request.context, scratch)
        if single:
            # The URL gave a Dockerfile alone: the context is empty.
            return Context(
                DirectoryTree(directory), _read(single, request.context), request.context, IgnoreRules()
            )
        return _local(request, directory, confined=True)
    directory = os.path.abspath(request.context)
    if not os.path.isdir(directory):
        kind = "is not a directory" if os.path.exists(directory) else "does not exist"
        raise BuildError(f"build context {request.context!r} {kind}")
    return _local(request, directory, confined=False)


def _local(request: BuildRequest, directory: str, *, confined: bool) -> Context:
    if request.dockerfile_inline:
        name, text, path = "dockerfile_inline", request.dockerfile_inline, ""
    else:
        name = request.dockerfile or "Dockerfile"
        path = os.path.join(directory, name)
        if confined:
            whole = DirectoryTree(directory)
            path = whole.host_path(resolve(whole, name))
        elif not os.path.lexists(path) and not request.dockerfile:
            path = _other_case(directory) or path
        text = _read(path, name)
    lines, where = _ignore_lines(directory, path)
    try:
        ignore = IgnoreRules(lines)
    except BuildError as error:
        error.where = error.where or Location(where, 1)
        raise
    shown = os.path.basename(name) if os.path.isabs(name) else name
    tree = DirectoryTree(directory, ignore, title="the build context")
    return Context(tree, text, shown if confined else path or name, ignore, shown)


def _other_case(directory: str) -> str:
    """`dockerfile` is found too, as docker does."""
    lower = os.path.join(directory, "dockerfile")
    return lower if os.path.lexists(lower) else ""


def _read(path: str, name: str) -> str:
    try:
        return _read_text(path)
    except FileNotFoundError:
        raise BuildError(
            f"there is no Dockerfile {name!r}", hint="name it with -f or build.dockerfile"
        ) from None
    except IsADirectoryError:
        raise BuildError(f"Dockerfile {name!r} is a directory") from None
    except OSError as error:
        raise BuildError(f"cannot read Dockerfile {name!r}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BuildError(f"Dockerfile {name!r} is not UTF-8: {error.reason} at byte {error.start}") from error


def _read_text(path: str) -> str:
    """A whole regular text file of bounded size; opening a fifo does not block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError
        if not stat.S_ISREG(mode):
            raise BuildError(f"{path} is not a regular file")
        data = file.read(_TEXT_LIMIT + 1)
    if len(data) > _TEXT_LIMIT:
        raise BuildError(f"{path} is larger than {_TEXT_LIMIT >> 20} MiB")
    return data.decode()


def _ignore_lines(directory: str, dockerfile: str) -> tuple[list[str], str]:
    """The ignore file next to the Dockerfile wins over the one in the context's root."""
    candidates = [f"{dockerfile}.dockerignore"] if dockerfile else []
    for path in (*candidates, os.path.join(directory, ".dockerignore")):
        try:
            return read_ignore_file(_read_text(path)), os.path.basename(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except UnicodeDecodeError as error:
            raise BuildError(f"{path} is not UTF-8") from error
        except OSError as error:
            raise BuildError(f"cannot read {path}: {error.strerror}") from error
    return [], ""
