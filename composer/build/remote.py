"""What comes from elsewhere: URLs and git repositories, for ADD and for contexts. All of it blocks.

HTTP goes through the standard library: one file at a time, with the environment's proxies. A repository is
fetched by the `git` program with the caller's configuration, into a scratch directory.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from typing import TYPE_CHECKING

from composer.build.patterns import clean
from composer.errors import BuildError, UnsupportedError
from composer.frozen import frozen

if TYPE_CHECKING:
    from http.client import HTTPResponse

_CHUNK = 1 << 18
_TIMEOUT = 60.0
_GIT_TIMEOUT = 600.0
_SCP_FORM = re.compile(r"[\w.-]+@[\w.-]+:[^#?]+")
_HTTP_GIT = re.compile(r"https?://[^#?]+\.git/?")
_COMMIT = re.compile(r"[0-9a-f]{7,64}")


@frozen
class Download:
    """A file that was fetched.

    Attributes:
        path: On this machine, or empty when the server says that nothing changed.
        digest: SHA-256 of its content, hex.
        mtime: Last-Modified in nanoseconds, or None.
        name: File name of the URL.
        etag: The server's validator, or empty.
        modified: Last-Modified as the server wrote it, or empty.
    """

    path: str
    digest: str
    mtime: int | None
    name: str
    etag: str = ""
    modified: str = ""


@frozen
class GitSource:
    """A repository and what to take of it.

    Attributes:
        url: What git understands.
        ref: Branch, tag or commit; empty: the default branch.
        directory: Below the repository's root.
        checksum: The commit's (beginning of its) id that is required, or empty.
    """

    url: str
    ref: str = ""
    directory: str = ""
    checksum: str = ""


def is_remote(text: str) -> bool:
    """Whether *text* is a URL or a repository rather than a path."""
    return is_url(text) or is_git(text)


def is_url(text: str) -> bool:
    """Whether *text* is an HTTP URL (perhaps of a repository)."""
    return text.startswith(("http://", "https://"))


def is_git(text: str) -> bool:
    """Whether *text* names a git repository."""
    return (
        text.startswith(("git://", "ssh://", "git@", "github.com/"))
        or _SCP_FORM.match(text) is not None
        or _HTTP_GIT.match(text) is not None
    )


def parse_git(text: str) -> GitSource:
    """Split `url[#ref[:directory]]` or `url?branch=&tag=&commit=&subdir=&checksum=`.

    Raises:
        BuildError: An unknown query key, or a directory outside the repository.
    """
    from urllib.parse import parse_qs

    url, _, fragment = text.partition("#")
    ref, _, directory = fragment.partition(":")
    url, _, query = url.partition("?")
    checksum = ""
    for key, values in parse_qs(query, keep_blank_values=True).items():
        value = values[-1]
        if key in ("branch", "tag", "ref"):
            ref = {"branch": f"refs/heads/{value}", "tag": f"refs/tags/{value}"}.get(key, value)
        elif key == "commit":
            ref = ref or value
            checksum = value
        elif key == "subdir":
            directory = value
        elif key == "checksum":
            checksum = value
        elif key != "keep-git-dir":
            raise BuildError(f"git source {text!r} has an unknown key {key!r}")
    if ".." in directory.split("/"):
        raise BuildError(f"git source {text!r}: the directory leads out of the repository")
    if ref.startswith("-") or url.startswith("-"):
        raise BuildError(f"git source {text!r} begins with a dash")
    if url.startswith("github.com/"):
        url = f"https://{url}"
    return GitSource(url, ref, directory.strip("/"), checksum)


def download(url: str, directory: str, *, etag: str = "", modified: str = "", digest: str = "") -> Download:
    """Fetch *url* into *directory*.

    Args:
        url: HTTP or HTTPS.
        directory: A scratch directory.
        etag: Validator of an earlier answer.
        modified: Its Last-Modified.
        digest: Its content's digest, which is returned when nothing changed.

    Raises:
        BuildError: The server cannot be reached, or answers with an error.
    """
    from urllib.error import HTTPError, URLError
    from urllib.parse import unquote, urlsplit
    from urllib.request import Request, urlopen

    from composer import __version__

    headers = {"User-Agent": f"composer/{__version__}", "Accept-Encoding": "identity"}
    if digest:
        headers |= {"If-None-Match": etag} if etag else {}
        headers |= {"If-Modified-Since": modified} if modified else {}
    name = unquote(os.path.basename(urlsplit(url).path))
    try:
        with urlopen(Request(url, headers=headers), timeout=_TIMEOUT) as answer:  # noqa: S310 - checked by is_url
            return _save(answer, directory, name)
    except HTTPError as error:
        if error.code == 304:
            return Download("", digest, _time(modified), name, etag, modified)
        raise BuildError(f"cannot fetch {url}: the server answers {error.code} {error.reason}") from error
    except (URLError, OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        reason = getattr(reason, "strerror", None) or reason
        raise BuildError(f"cannot fetch {url}: {reason}") from error


def _save(answer: HTTPResponse, directory: str, name: str) -> Download:
    path = os.path.join(directory, f"download-{os.urandom(6).hex()}")
    total = hashlib.sha256()
    size = 0
    with open(path, "xb") as file:
        while chunk := answer.read(_CHUNK):
            total.update(chunk)
            file.write(chunk)
            size += len(chunk)
    expected = answer.headers.get("Content-Length")
    if expected is not None and expected.isdigit() and int(expected) != size:
        raise BuildError(f"{answer.url} ended after {size} of {expected} bytes")
    modified = answer.headers.get("Last-Modified", "")
    return Download(path, total.hexdigest(), _time(modified), name, answer.headers.get("ETag", ""), modified)


def _time(modified: str) -> int | None:
    import email.utils

    try:
        return int(email.utils.parsedate_to_datetime(modified).timestamp()) * 1_000_000_000
    except (ValueError, TypeError):
        return None


def clone(source: GitSource, directory: str, *, keep_git: bool = False) -> tuple[str, str]:
    """Check a repository out below *directory*.

    Returns:
        The checked-out directory that was asked for, and the commit.

    Raises:
        BuildError: git fails, the directory does not exist, or the commit is another one.
        UnsupportedError: There is no git program.
    """
    if shutil.which("git") is None:
        raise UnsupportedError(f"cannot fetch {source.url}: git is not installed", hint="install git")
    target = os.path.join(directory, f"git-{os.urandom(6).hex()}")
    _git("init", "-q", target)
    _git("-C", target, "remote", "add", "origin", source.url)
    ref = source.ref or "HEAD"
    _fetch(target, ref)
    commit = _git("-C", target, "rev-parse", "HEAD").strip()
    if source.checksum and not commit.startswith(source.checksum):
        raise BuildError(f"{source.url}: the commit is {commit}, not {source.checksum}")
    if not keep_git:
        shutil.rmtree(os.path.join(target, ".git"))
    from composer.build.tree import DirectoryTree, resolve

    tree = DirectoryTree(target)
    path = tree.host_path(resolve(tree, clean("/" + source.directory)))
    if not os.path.isdir(path):
        raise BuildError(f"{source.url} has no directory {source.directory!r}")
    return path, commit


def _fetch(target: str, ref: str) -> None:
    """Check out *ref*: shallow where the server can, else whole; a commit is looked for in all branches."""
    fetch = ("-C", target, "fetch", "-q", "--no-tags")
    try:
        try:
            _git(*fetch, "--depth=1", "origin", "--", ref)
        except BuildError:
            _git(*fetch, "origin", "--", ref)
    except BuildError:
        if not _COMMIT.fullmatch(ref):
            raise
        _git(*fetch, "origin", "+refs/heads/*:refs/remotes/origin/*")
        _git("-C", target, "checkout", "-q", ref, "--")
    else:
        _git("-C", target, "checkout", "-q", "FETCH_HEAD", "--")


def remote_commit(source: GitSource) -> str:
    """The commit that a ref stands for now, without fetching it; empty when the server does not tell."""
    if _COMMIT.fullmatch(source.ref) and len(source.ref) in (40, 64):
        return source.ref
    if shutil.which("git") is None:
        return ""
    ref = source.ref or "HEAD"
    found: dict[str, str] = {}
    for line in _git("ls-remote", "--", source.url, ref, f"{ref}^{{}}").splitlines():
        commit, _, name = line.partition("\t")
        found[name] = commit
    # The order of gitrevisions(7); a tag with a message is an object of its own, `^{}` is its commit.
    for name in (f"refs/tags/{ref}^{{}}", f"{ref}^{{}}", f"refs/tags/{ref}", ref, f"refs/heads/{ref}"):
        if name in found:
            return found[name]
    return ""


def _git(*words: str) -> str:
    import subprocess

    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            # No hooks, no file transport through submodules: only what was named is fetched.
            ["git", "-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false", *words],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"git {words[0]} took longer than {_GIT_TIMEOUT:.0f} s") from error
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise BuildError(f"git failed: {lines[-1] if lines else f'exit code {done.returncode}'}")
    return done.stdout


def fetch_context(text: str, scratch: str) -> tuple[str, str]:
    """Fetch a remote build context.

    Returns:
        Its directory, and the path of a Dockerfile when the URL gave nothing else.

    Raises:
        BuildError: It cannot be fetched or unpacked.
    """
    if is_git(text):
        return clone(parse_git(text), scratch)[0], ""
    found = download(text, scratch)
    directory = os.path.join(scratch, f"context-{os.urandom(6).hex()}")
    os.mkdir(directory)
    if unpack_context(found.path, directory):
        return directory, ""
    return directory, found.path


def unpack_context(path: str, directory: str) -> bool:
    """Unpack an archive into the empty *directory*; False when *path* is none."""
    from composer.build.archives import is_archive, unpack_archive
    from composer.build.upper import UpperDirectory

    if not is_archive(path):
        return False
    upper = UpperDirectory(directory, ())
    unpack_archive(path, upper, "", None)
    upper.close()
    return True
