"""Issue 5: our nftables rules beside firewalld, ufw, an administrator's rules and br_netfilter."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.vm.whole.conftest import NETNS, OURS, REMOTE, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.home import Home

pytestmark = [pytest.mark.root, pytest.mark.vm]

COMPOSE = """
services:
  web:
    image: busybox
    command: [sh, -c, "echo hello >/tmp/index.html; exec httpd -f -h /tmp"]
    stop_grace_period: 0s
    ports: ["8095:80"]
    healthcheck: {test: [CMD, wget, -q, -O, /dev/null, "http://127.0.0.1/"], interval: 1s}
  client:
    image: busybox
    command: [sleep, 1d]
    stop_grace_period: 0s
    depends_on: {web: {condition: service_healthy}}
"""
BRIDGE_FILES = "/proc/sys/net/bridge/bridge-nf-call-iptables"


@contextlib.contextmanager
def firewalld() -> Iterator[None]:
    # The card keeps the zone `public`; the test's port must be open to strangers, as its user would want.
    run("systemctl", "start", "firewalld")
    try:
        run("firewall-cmd", "--zone=public", "--change-interface=cable0")
        # firewalld makes a zone's chains when it first needs them, and keeps them.
        run("firewall-cmd", "--zone=trusted", "--add-interface=nowhere0")
        run("firewall-cmd", "--zone=trusted", "--remove-interface=nowhere0")
        yield
    finally:
        run("systemctl", "stop", "firewalld")


@contextlib.contextmanager
def ufw() -> Iterator[None]:
    run("ufw", "--force", "enable")
    try:
        yield
    finally:
        run("ufw", "--force", "disable")
        run("nft", "flush", "ruleset")


@contextlib.contextmanager
def dropping() -> Iterator[None]:
    """An administrator's `iptables -P FORWARD DROP`."""
    run("iptables", "-P", "FORWARD", "DROP")
    try:
        yield
    finally:
        run("iptables", "-P", "FORWARD", "ACCEPT")
        run("nft", "flush", "ruleset")


@contextlib.contextmanager
def bridged_traffic_filtered() -> Iterator[None]:
    """br_netfilter, as Docker and Kubernetes load it, with a forward policy that drops."""
    run("modprobe", "br_netfilter")
    assert Path(BRIDGE_FILES).read_text(encoding="ascii").strip() == "1"
    try:
        with dropping():
            yield
    finally:
        run("modprobe", "-r", "br_netfilter")


@contextlib.contextmanager
def nothing() -> Iterator[None]:
    assert not Path(BRIDGE_FILES).exists()
    yield


FIREWALLS = (nothing, firewalld, ufw, dropping, bridged_traffic_filtered)


def fetch_from_outside() -> str:
    return run("ip", "netns", "exec", NETNS, "curl", "-s", "--max-time", "20", f"http://{OURS}:8095/")


@pytest.mark.usefixtures("stranger", "busybox_image")
@pytest.mark.parametrize("firewall", FIREWALLS)
def test_every_way_is_open_and_the_firewall_is_left_as_it_was(
    composer_home: Home, tmp_path: Path, firewall: Callable[[], contextlib.AbstractContextManager[None]]
) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
    with firewall():
        before = run("nft", "-s", "list", "ruleset")
        composer_home.run("up", "-d", "--wait", cwd=tmp_path)
        inside = ("exec", "-T", "client", "wget", "-q", "-O", "-")
        assert composer_home.run(*inside, "http://web/", cwd=tmp_path).out == "hello\n"
        assert run("curl", "-s", "--max-time", "20", "http://127.0.0.1:8095/") == "hello\n"
        assert fetch_from_outside() == "hello\n"
        with answering_stranger():
            assert composer_home.run(*inside, f"http://{REMOTE}:8096/", cwd=tmp_path).out == "outside\n"
        composer_home.run("down", "-t", "0", cwd=tmp_path)
        assert run("nft", "-s", "list", "ruleset") == before


@pytest.mark.usefixtures("stranger", "busybox_image")
def test_a_reload_of_firewalld_closes_nothing(composer_home: Home, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(COMPOSE, encoding="utf-8")
    with firewalld():
        composer_home.run("up", "-d", "--wait", cwd=tmp_path)
        run("firewall-cmd", "--reload")
        run("firewall-cmd", "--zone=public", "--change-interface=cable0")
        # The agent looks after its networks every few seconds; a command does it at once.
        composer_home.run("up", "-d", cwd=tmp_path)
        assert fetch_from_outside() == "hello\n"
        composer_home.run("down", "-t", "0", cwd=tmp_path)


@contextlib.contextmanager
def answering_stranger() -> Iterator[None]:
    """A web server on the other host."""
    script = "mkdir -p /tmp/outside && echo outside >/tmp/outside/index.html && exec busybox httpd -f -p 8096 -h /tmp/outside"
    process = subprocess.Popen(["ip", "netns", "exec", NETNS, "sh", "-c", script])
    try:
        yield
    finally:
        process.kill()
        process.wait()
