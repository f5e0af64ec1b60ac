"""A store of its own for each test, and a writer of archives that says everything tarfile would refuse."""

import io
import os
import stat
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from composer.images.store import Store
from composer.state.paths import Paths


@pytest.fixture
def store(tmp_path):
    return Store(Paths(tmp_path / "lib", tmp_path / "run"))


@pytest.fixture
def make_store(tmp_path):
    """More stores: `make_store("b")`."""
    return lambda name: Store(Paths(tmp_path / name / "lib", tmp_path / name / "run"))


class Tar:
    """Builds an archive entry by entry."""

    def __init__(self, style=tarfile.PAX_FORMAT):
        self._buffer = io.BytesIO()
        self._out = tarfile.open(fileobj=self._buffer, mode="w", format=style)

    def add(self, name, data=b"", *, xattrs=None, **fields):
        info = tarfile.TarInfo(name)
        info.size = len(data)
        info.mode = 0o644
        info.mtime = 1_600_000_000
        if xattrs:
            info.pax_headers = {
                f"SCHILY.xattr.{key}": value.decode("utf-8", "surrogateescape")
                for key, value in xattrs.items()
            }
        for key, value in fields.items():
            setattr(info, key, value)
        self._out.addfile(info, io.BytesIO(data))
        return self

    def directory(self, name, mode=0o755, **fields):
        return self.add(name, type=tarfile.DIRTYPE, mode=mode, **fields)

    def link(self, name, target, **fields):
        return self.add(name, type=tarfile.SYMTYPE, linkname=target, mode=0o777, **fields)

    def hard(self, name, target, **fields):
        return self.add(name, type=tarfile.LNKTYPE, linkname=target, **fields)

    def bytes(self):
        self._out.close()
        return self._buffer.getvalue()


@pytest.fixture
def new_tar():
    return Tar


@pytest.fixture
def mounted(tmp_path):
    """`mounted(layer_dirs)` shows what overlayfs makes of layers."""
    places = []

    def mount(directories):
        target = tmp_path / f"mnt{len(places)}"
        target.mkdir()
        if len(directories) == 1:
            subprocess.run(["mount", "--bind", directories[0], target], check=True)
        else:
            lower = ":".join(reversed([str(directory) for directory in directories]))
            subprocess.run(
                ["mount", "-t", "overlay", "-o", f"ro,lowerdir={lower}", "overlay", target], check=True
            )
        places.append(target)
        return target

    yield mount
    for place in places:
        subprocess.run(["umount", place], check=True)


@pytest.fixture
def listing():
    """`listing(directory)`: everything below it that a layer must keep, by path."""

    def describe(root):
        result = {}
        root = Path(root)
        for directory, names, files in os.walk(root):
            for name in [*names, *files]:
                path = Path(directory, name)
                status = path.lstat()
                content = b""
                # A whiteout (overlayfs) is made when the layer is unpacked; no archive holds its time.
                whiteout = stat.S_ISCHR(status.st_mode) and status.st_rdev == 0
                if path.is_symlink():
                    content = os.readlink(path).encode()
                elif path.is_file():
                    content = path.read_bytes()
                result[str(path.relative_to(root))] = (
                    oct(status.st_mode),
                    status.st_uid,
                    status.st_gid,
                    status.st_rdev,
                    0 if whiteout else int(status.st_mtime),
                    status.st_nlink if not path.is_dir() or path.is_symlink() else 0,
                    content,
                    tuple(
                        (key, os.getxattr(path, key, follow_symlinks=False))
                        for key in sorted(os.listxattr(path, follow_symlinks=False))
                    ),
                )
        return result

    return describe


@pytest.fixture
def short():
    """A directory with a short path, which podman insists on."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        yield Path(place)
