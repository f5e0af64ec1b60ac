"""examples/shop really runs: issue 2, acceptance 2, on real nginx, PostgreSQL and Redis."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.home import PATIENCE
from tests.support.shop import SHOP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.home import Home

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]


class Shop:
    """The example in a project of its own, on a port of its own."""

    def __init__(self, home: Home, directory: Path) -> None:
        self.home = home
        self.directory = directory
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def composer(self, *words: str, timeout: float = 180) -> str:
        done = self.home.run(*words, cwd=self.directory, env={"SHOP_PORT": str(self.port)}, timeout=timeout)
        return done.out

    def up(self, *words: str) -> None:
        self.composer("up", "-d", "--wait", *words, timeout=300)

    def get(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=20) as answer:
            return json.load(answer)

    def add(self, name: str, cents: int) -> None:
        body = json.dumps({"name": name, "cents": cents}).encode()
        url = f"http://127.0.0.1:{self.port}/products"
        urllib.request.urlopen(urllib.request.Request(url, body), timeout=20).close()

    def products(self) -> set[str]:
        return {product["name"] for product in self.get()["products"]}

    def containers(self) -> dict[str, dict[str, Any]]:
        rows = [json.loads(line) for line in self.composer("ps", "-a", "--format", "json").splitlines()]
        return {row["Name"]: row for row in rows}


@pytest.fixture
def shop(composer_home: Home, shop_archive: Path, tmp_path: Path) -> Iterator[Shop]:
    directory = tmp_path / "shop"
    shutil.copytree(SHOP, directory)
    composer_home.run("image", "load", "-i", shop_archive, timeout=300)
    return Shop(composer_home, directory)


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if condition():
                return
        time.sleep(0.1)
    pytest.fail(f"{what} did not happen within {seconds} s")


def test_the_shop_lives_through_a_day(shop: Shop) -> None:
    shop.up()

    # nginx, the service, PostgreSQL and Redis answer together, and both replicas take their turn.
    assert shop.products() == {"cup", "spoon", "teapot"}
    first, second = shop.get()["visits"], shop.get()["visits"]
    assert second == first + 1
    until(lambda: len({shop.get()["served_by"] for _ in range(4)}) == 2, 20, "an answer by both replicas")
    assert "migrated: 3 products" in shop.composer("logs", "migrate")
    assert shop.composer("exec", "-T", "web", "getent", "hosts", "db").split()[1] == "db"

    # The database's process is killed: its policy brings it back, and nobody else is touched.
    before = shop.containers()
    text = shop.composer("top", "db")
    pid = next(int(line.split()[3]) for line in text.splitlines() if "postgres" in line)
    os.kill(pid, signal.SIGKILL)
    until(lambda: shop.products() == {"cup", "spoon", "teapot"}, 60, "the database's return")
    after = shop.containers()
    assert {name: row["ID"] for name, row in after.items()} == {
        name: row["ID"] for name, row in before.items()
    }
    assert after["shop-web-1"]["State"] == "running"

    # The volume outlives down, and not down -v.
    shop.add("kettle", 3900)
    shop.composer("down")
    shop.up()
    assert "kettle" in shop.products()
    shop.composer("down", "-v")
    assert shop.home.leftovers() == []
    shop.up()
    assert shop.products() == {"cup", "spoon", "teapot"}


def test_replicas_come_and_go_under_one_name(shop: Shop) -> None:
    shop.up("--scale", "web=3")

    def addresses() -> set[str]:
        answer = shop.composer("exec", "-T", "proxy", "getent", "ahostsv4", "web")
        return {line.split()[0] for line in answer.splitlines()}

    assert len(addresses()) == 3
    shop.up("--scale", "web=1")
    assert len(addresses()) == 1
    assert shop.products() == {"cup", "spoon", "teapot"}
