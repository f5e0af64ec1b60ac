"""Registries and networks that misbehave."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from composer.errors import ImageError, RegistryError
from composer.images.pull import pull
from composer.images.push import push
from composer.images.store import Store
from composer.registry.settings import Host, Settings
from composer.registry.transport import Abort
from composer.state.paths import Paths

pytestmark = pytest.mark.root


@pytest.fixture
def there(store, make_image, bad_proxy, registry, quick):
    """An image of 3 MB is in the registry; its name through the proxy, and its larger blob's digest."""
    image = make_image(f"{registry}/app:1", 3_000_000)
    push(store, f"{registry}/app:1", settings=quick)
    blob = store.blobs_of(image.layers[0].diff_id)[0]["digest"]
    return f"{bad_proxy.address}/app:1", blob


def on(blob, *actions):
    """Do *actions* to the first requests for the blob, then behave."""

    def trouble(handler, count):
        if handler.command == "GET" and handler.path.endswith(f"/blobs/{blob}") and count < len(actions):
            return actions[count]
        return None

    return trouble


def gets(proxy, blob):
    return [
        headers.get("range", headers.get("Range", ""))
        for method, path, headers in proxy.requests
        if method == "GET" and path.endswith(blob)
    ]


def test_a_cut_connection_is_continued_where_it_stopped(there, bad_proxy, make_store, quick):
    name, blob = there
    bad_proxy.trouble = on(blob, ("cut", 1_000_000), ("cut", 500_000))
    other = make_store("other")
    pull(other, name, settings=quick)
    ranges = gets(bad_proxy, blob)
    assert ranges[0] == ""
    assert ranges[1:] == ["bytes=1000000-", "bytes=1500000-"]


def test_a_server_without_ranges_is_read_again(there, bad_proxy, make_store, quick):
    name, blob = there
    bad_proxy.trouble = on(blob, ("cut", 1_000_000), ("norange",))
    pull(make_store("other"), name, settings=quick)
    assert len(gets(bad_proxy, blob)) == 2


@pytest.mark.parametrize("position", [5, 1000, 2_500_000])
def test_a_corrupted_blob_is_fetched_once_more(there, bad_proxy, make_store, quick, position):
    name, blob = there
    bad_proxy.trouble = on(blob, ("flip", position))
    pull(make_store("other"), name, settings=quick)
    assert len(gets(bad_proxy, blob)) == 2


@pytest.mark.parametrize("position", [5, 2_500_000])
def test_a_blob_that_stays_corrupt_is_refused_by_both_digests(there, bad_proxy, make_store, quick, position):
    name, blob = there
    bad_proxy.trouble = on(blob, ("flip", position), ("flip", position), ("flip", position))
    other = make_store("other")
    with pytest.raises(ImageError, match=f"{blob} was asked for, content with digest [0-9a-f]{{64}} came"):
        pull(other, name, settings=quick)
    assert other.images() == []
    assert os.listdir(other.paths.root / "downloads") == []
    assert os.listdir(other.directory.temporary) == []
    bad_proxy.trouble = lambda handler, count: None
    pull(other, name, settings=quick)


def test_a_blob_that_is_shorter_than_announced_is_refused(there, bad_proxy, make_store, quick):
    name, blob = there
    bad_proxy.trouble = lambda handler, count: ("short", 100) if handler.path.endswith(blob) else None
    with pytest.raises((ImageError, RegistryError)):
        pull(make_store("other"), name, settings=quick)


@pytest.mark.parametrize("code", [429, 500, 502, 503])
def test_passing_troubles_are_sat_out(there, bad_proxy, make_store, quick, code):
    name, _ = there
    bad_proxy.trouble = lambda handler, count: ("status", code, {"Retry-After": "0"}) if count < 2 else None
    pull(make_store("other"), name, settings=quick)


def test_retry_after_is_obeyed(there, bad_proxy, make_store, quick):
    name, blob = there
    bad_proxy.trouble = on(blob, ("status", 429, {"Retry-After": "1"}))
    start = time.monotonic()
    pull(make_store("other"), name, settings=quick)
    assert time.monotonic() - start >= 1


def test_what_never_ends_is_reported(there, bad_proxy, make_store, quick):
    name, _ = there
    bad_proxy.trouble = lambda handler, count: ("status", 429, {})
    with pytest.raises(RegistryError, match="limits how much"):
        pull(make_store("other"), name, settings=quick)
    assert len(bad_proxy.requests) == quick.tries


@pytest.mark.parametrize("code", [400, 403, 404])
def test_a_refusal_is_not_repeated(there, bad_proxy, make_store, quick, code):
    name, _ = there
    bad_proxy.trouble = lambda handler, count: ("status", code, {}) if handler.command == "GET" else None
    with pytest.raises(Exception, match=r"has no|refused|answered"):
        pull(make_store("other"), name, settings=quick)
    assert len([1 for method, *_ in bad_proxy.requests if method == "GET"]) == 1


def test_a_registry_that_hangs_ends_in_a_timeout(there, bad_proxy, make_store):
    name, blob = there
    settings = Settings(pause=0.02, idle_timeout=0.3, tries=2, environ={}, certificates=())
    bad_proxy.trouble = lambda handler, count: ("hang", 20) if handler.path.endswith(blob) else None
    told = []
    with pytest.raises(RegistryError, match="no answer in time"):
        pull(make_store("other"), name, settings=settings, report=told.append)
    assert [event.text for event in told if event.kind == "warning" and "trying again" in event.text]


def test_another_thread_can_end_a_pull(there, bad_proxy, make_store, quick):
    name, blob = there
    bad_proxy.trouble = lambda handler, count: ("hang", 20) if handler.path.endswith(blob) else None
    abort = Abort()
    threading.Timer(0.5, abort.set).start()
    start = time.monotonic()
    with pytest.raises(RegistryError):
        pull(make_store("other"), name, settings=quick, abort=abort)
    assert time.monotonic() - start < 4


def test_a_push_survives_troubles(store, make_image, bad_proxy, registry, make_store, quick):
    name = f"{bad_proxy.address}/up:1"
    image = make_image(name, 1_000_000)
    bad_proxy.trouble = lambda handler, count: (
        ("status", 503, {}) if len(bad_proxy.requests) % 3 == 1 else None
    )
    push(store, name, settings=quick)
    assert pull(make_store("other"), f"{registry}/up:1", settings=quick).image.id == image.id


def test_a_mirror_comes_first_and_its_failure_is_passed_over(there, bad_proxy, registry, make_store):
    dead = Host("127.0.0.1:1", ("http",), "", registry)
    mirror = Host(bad_proxy.address, ("http",), "", registry)
    settings = Settings(pause=0.02, tries=2, environ={}, certificates=(), mirrors={registry: (dead, mirror)})
    pull(make_store("other"), f"{registry}/app:1", settings=settings)
    assert any(f"ns={registry.replace(':', '%3A')}" in path for _, path, _ in bad_proxy.requests)
    bad_proxy.trouble = lambda handler, count: ("status", 500, {})
    pull(make_store("third"), f"{registry}/app:1", settings=settings)


def test_a_redirect_to_another_host_loses_the_credentials(
    there, bad_proxy, registry, make_store, quick, tmp_path
):
    from composer.registry.client import Registry
    from composer.registry.credentials import Credentials

    _, blob = there
    bad_proxy.trouble = lambda handler, count: (
        ("status", 401, {"WWW-Authenticate": 'Basic realm="x"'})
        if "Authorization" not in handler.headers and "authorization" not in handler.headers
        else ("status", 307, {"Location": f"http://{registry}/v2/app/blobs/{blob}"})
    )
    client = Registry(bad_proxy.address, settings=quick, credentials=Credentials("me", "secret"))
    response, _ = client.blob("app", blob)
    assert response.status == 200  # the registry would not mind, a signed storage address would
    assert response.url.startswith(f"http://{registry}/")
    response.close()
    bad_proxy.trouble = lambda handler, count: (
        "status",
        307,
        {"Location": "http://169.254.169.254/latest/meta-data"},
    )
    with pytest.raises(RegistryError):
        client.blob("app", blob)
    client.close()


@pytest.mark.parametrize("delay", [0.25, 0.35, 0.45, 0.6])
def test_a_killed_pull_is_continued_by_the_next(there, bad_proxy, make_store, quick, tmp_path, delay):
    name, blob = there
    bad_proxy.trouble = on(blob, ("cut", 1_500_000), ("hang", 30))
    environ = {**os.environ, "COMPOSER_HOME": str(tmp_path / "killed")}
    process = subprocess.Popen(
        [sys.executable, "-m", "composer", "image", "pull", "-q", name],
        env=environ,
        stdout=subprocess.DEVNULL,
    )
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    process.wait()
    bad_proxy.trouble = lambda handler, count: None
    other = make_store("killed")
    done = pull(other, name, settings=quick)
    assert len(done.image.layers) == 2
    assert os.listdir(other.paths.root / "downloads") == []


def test_the_registry_dies_and_comes_back(serve_registry, store, make_image, make_store, quick):
    with serve_registry() as (port, _):
        image = make_image(f"127.0.0.1:{port}/app:1", 3_000_000)
        push(store, f"127.0.0.1:{port}/app:1", settings=quick)
    other = make_store("other")
    with pytest.raises(RegistryError, match="cannot connect"):
        pull(other, f"127.0.0.1:{port}/app:1", settings=quick)
    with serve_registry(port=port):
        assert pull(other, f"127.0.0.1:{port}/app:1", settings=quick).image.id == image.id


def test_a_full_disk_is_named_and_keeps_nothing(registry, store, make_image, quick, tmp_path):
    make_image(f"{registry}/big:1", size=12_000_000)
    push(store, f"{registry}/big:1", settings=quick)
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", small], check=True)
    try:
        there = Store(Paths(small / "lib", small / "run"))
        with pytest.raises(ImageError, match=r"^layer sha256:\w{12}: .*No space left on device"):
            pull(there, f"{registry}/big:1", settings=quick)
        assert there.images() == []
        free = os.statvfs(small)
        assert free.f_bavail / free.f_blocks > 0.9
    finally:
        subprocess.run(["umount", "-l", small], check=True)  # the database is open
