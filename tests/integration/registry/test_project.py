"""`composer pull`, `push` and `lock` of a project, and pulling from an event loop."""

import json
import os
import subprocess
import sys
import time

import anyio
import pytest

from composer.images import aio
from composer.images.push import push

pytestmark = pytest.mark.root


@pytest.fixture
def project(registry, store, make_image, quick, tmp_path):
    """A project of two services with one image from the registry, and one that is built."""
    make_image(f"{registry}/app:1")
    push(store, f"{registry}/app:1", settings=quick)
    (tmp_path / "compose.yaml").write_text(
        f"""
name: shop
services:
  web: {{image: "{registry}/app:1"}}
  db: {{image: "{registry}/app:1", depends_on: [web]}}
  made: {{image: "{registry}/made:1", build: .}}
  never: {{image: "{registry}/never:1", pull_policy: never}}
"""
    )
    return tmp_path


@pytest.fixture
def composer(project, tmp_path):
    def run(*words, code=0, home="home"):
        environ = {**os.environ, "COMPOSER_HOME": str(tmp_path / home)}
        done = subprocess.run(
            [sys.executable, "-m", "composer", *map(str, words)],
            env=environ,
            cwd=project,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        return done

    return run


def test_pull_takes_each_image_once_and_forgives_what_can_be_built(composer, registry):
    done = composer("pull")
    assert done.stderr.count(f"Image {registry}/app:1 Pulling") == 1
    assert f"{registry}/never:1 Skipped" in done.stderr
    assert "has no made:1" in done.stderr
    assert composer("image", "ls", "--format", "{{.Repository}}").stdout == f"{registry}/app\n"


def test_pull_missing_asks_nobody(composer, registry):
    composer("pull", "web")
    done = composer("pull", "--policy", "missing", "web")
    assert "Image is already present locally" in done.stderr


def test_a_missing_image_fails_the_pull_unless_told(composer, registry, project):
    path = project / "compose.yaml"
    path.write_text(path.read_text().replace("app:1", "gone:1"))
    assert "has no gone:1" in composer("pull", "web", code=1).stderr
    composer("pull", "--ignore-pull-failures", "web")
    assert "no such service: nobody" in composer("pull", "nobody", code=1).stderr


def test_push_sends_what_is_built(composer, registry, project):
    composer("pull", "-q", "web")
    composer("image", "tag", f"{registry}/app:1", f"{registry}/made:1")
    done = composer("push")
    assert "Service web Skipped" in done.stderr
    assert f"Image {registry}/made:1 Pushed" in done.stderr
    composer("image", "pull", f"{registry}/made:1", home="other")


def test_lock_pins_what_up_takes(composer, registry, project):
    composer("lock", "--check", code=1)
    (line,) = composer("lock", code=1).stdout.splitlines() or [""]
    assert line == ""  # never:1 is in no registry: a lock that is not whole is not written
    path = project / "compose.yaml"
    path.write_text(path.read_text().replace("never:1", "app:1"))
    digest = composer("lock").stdout.strip()
    assert json.loads((project / "compose.lock").read_text())["images"] == {
        f"{registry}/app:1": digest.rpartition("@")[2]
    }
    assert composer("lock", "--check").stdout == "up to date\n"
    assert digest in composer("config", "--images").stdout
    composer("pull", "web")
    assert (
        digest.replace(":1@", "@")
        in composer("image", "ls", "--digests", "--format", "{{.Repository}}@{{.Digest}}").stdout
    )


def test_config_pins_tags_by_asking_the_registry(composer, registry, project, store, make_image, quick):
    path = project / "compose.yaml"
    path.write_text(path.read_text().replace("never:1", "app:1"))
    done = composer("config", "--resolve-image-digests", code=1)
    assert f"services.made.image: {registry} has no made:1" in done.stderr
    path.write_text(path.read_text().replace("  made:", "  web2: {image: web, build: .}\n  made:", 1))
    digest = store.get(f"{registry}/app:1").repo_digests[0].rpartition("@")[2]
    shown = json.loads(composer("config", "--resolve-image-digests", "--format", "json", "web", "db").stdout)
    pinned = f"{registry}/app:1@{digest}"
    assert {key: item["image"] for key, item in shown["services"].items()} == {"web": pinned, "db": pinned}
    lock = composer("config", "--lock-image-digests", "web").stdout
    assert lock == f"services:\n  web:\n    image: {pinned}\n"


def test_lock_covers_profiles_and_mounted_images(composer, registry, project, store, make_image, quick):
    make_image(f"{registry}/data:1")
    push(store, f"{registry}/data:1", settings=quick)
    (project / "compose.yaml").write_text(
        f"""
name: shop
services:
  web:
    image: "{registry}/app:1"
    volumes: [{{type: image, source: "{registry}/data:1", target: /data}}]
  tool: {{image: "{registry}/data:1", profiles: [tools]}}
"""
    )
    composer("lock")
    pinned = json.loads((project / "compose.lock").read_text())["images"]
    assert set(pinned) == {f"{registry}/app:1", f"{registry}/data:1"}
    services = json.loads(composer("--profile", "tools", "config", "--format", "json").stdout)["services"]
    assert services["tool"]["image"] == f"{registry}/data:1@{pinned[f'{registry}/data:1']}"
    assert services["web"]["volumes"][0]["source"] == services["tool"]["image"]


def test_lock_without_the_registry_says_what_it_takes(
    composer, registry, private_registry, project, make_store
):
    composer("pull", "-q", "web")
    here = make_store("home")
    digest = here.get(f"{registry}/app:1").repo_digests[0].rpartition("@")[2]
    name = f"{private_registry}/app:1"
    here.tag(f"{registry}/app:1", name)
    here.add_digest(here.get(name).id, f"{private_registry}/app", digest)
    (project / "compose.yaml").write_text(f"name: shop\nservices: {{web: {{image: '{name}'}}}}\n")
    done = composer("lock")
    assert done.stdout == f"{name}@{digest}\n"
    assert (
        f"{name}: taking the digest it was pulled by, because {private_registry} wants a login" in done.stderr
    )
    (project / "compose.yaml").write_text(f"name: shop\nservices: {{web: {{image: '{name}0'}}}}\n")
    assert "services.web.image" in composer("lock", code=1).stderr


@pytest.mark.anyio
async def test_an_event_loop_can_pull_and_cancel(bad_proxy, registry, store, make_store, make_image, quick):
    make_image(f"{registry}/app:1")
    push(store, f"{registry}/app:1", settings=quick)
    other = make_store("other")
    events = []
    image = await aio.pull(other, f"{bad_proxy.address}/app:1", report=events.append)
    assert len(image.layers) == 2
    assert events[-1].action == "Pulled"

    bad_proxy.trouble = lambda handler, count: ("hang", 20)
    start = time.monotonic()
    with anyio.move_on_after(0.3) as scope:
        await aio.pull(other, f"{bad_proxy.address}/app:2", report=events.append)
    assert scope.cancelled_caught
    assert time.monotonic() - start < 3


@pytest.fixture
def anyio_backend():
    return "asyncio"
