"""Debian's docker-registry on loopback, with and without a login, and a proxy before it that misbehaves."""

import contextlib
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from composer.images.importing import import_root
from composer.images.store import Store
from composer.registry.settings import Settings
from composer.state.paths import Paths
from tests.support.registry import BadProxy, tar_of


@pytest.fixture
def make_store(tmp_path):
    return lambda name: Store(Paths(tmp_path / name / "lib", tmp_path / name / "run"))


@pytest.fixture
def store(make_store):
    return make_store("store")


@pytest.fixture(autouse=True)
def _own_docker_config(tmp_path, monkeypatch):
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "config.json").write_text("{}")  # podman insists on the file
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def quick():
    """Settings with short pauses."""
    return Settings(pause=0.02, idle_timeout=5, tries=4, environ={}, certificates=())


@contextlib.contextmanager
def serve(directory, *, login=False, port=0):
    """docker-registry on a free port; yields the port and the process."""
    directory.mkdir(exist_ok=True)
    if not port:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
    config = [
        "version: 0.1",
        "log: {level: error, accesslog: {disabled: true}}",
        f"storage: {{filesystem: {{rootdirectory: {directory}/data}}, delete: {{enabled: true}}}}",
        f"http: {{addr: '127.0.0.1:{port}'}}",
    ]
    if login:
        made = subprocess.run(["htpasswd", "-Bbn", "me", "pa:ss"], check=True, capture_output=True, text=True)
        (directory / "htpasswd").write_text(made.stdout)
        config.append(f"auth: {{htpasswd: {{realm: test, path: {directory}/htpasswd}}}}")
    (directory / "config.yml").write_text("\n".join(config) + "\n")
    with open(directory / "log", "ab") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", directory / "config.yml"], stdout=log, stderr=log
        )
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.02)
        yield port, process
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def serve_registry(tmp_path):
    return lambda **options: serve(tmp_path / "registry", **options)


@pytest.fixture
def registry(tmp_path):
    """`127.0.0.1:PORT` of a registry without a login."""
    with serve(tmp_path / "registry") as (port, _):
        yield f"127.0.0.1:{port}"


@pytest.fixture
def private_registry(tmp_path):
    """`127.0.0.1:PORT` of a registry where user `me` has the password `pa:ss`."""
    with serve(tmp_path / "private", login=True) as (port, _):
        yield f"127.0.0.1:{port}"


@pytest.fixture
def make_image(store):
    """`make_image(name, size)` imports an image of two layers, the lower one of *size* random bytes."""

    def make(name, size=200_000):
        base = import_root(
            store,
            [tar_of({"etc/passwd": b"root:x:0:0::/:/bin/sh\n", "random": size})],
            changes=['CMD ["sh"]'],
        )
        from composer.images.config import History

        upper = store.add_layer_from_tar([tar_of({"etc/new": b"n" * 1000, ".wh.random": b""})], base.chain)
        return store.put_image(base.config.with_layer(upper.diff_id, History(created_by="two")), names=[name])

    return make


@pytest.fixture
def bad_proxy(registry):
    """A proxy before the registry; set `proxy.trouble`."""
    with BadProxy(registry) as proxy:
        yield proxy


@pytest.fixture
def short():
    """A directory with a short path, which podman insists on."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        yield Path(place)
