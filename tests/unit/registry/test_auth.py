"""Challenges of registries, credentials files, settings."""

import base64
import json
import os
import stat

import pytest

from composer.errors import RegistryError
from composer.registry.auth import challenges
from composer.registry.credentials import Credentials, Keychain
from composer.registry.http import check_redirect
from composer.registry.settings import Host, Settings, is_loopback


class TestChallenges:
    def test_commas_inside_quotes_belong_to_the_value(self):
        found = challenges('Bearer realm="https://a/t",service="r",scope="repository:x:pull,push"')
        assert found[0].scheme == "bearer"
        assert found[0].parameters == {
            "realm": "https://a/t",
            "service": "r",
            "scope": "repository:x:pull,push",
        }

    def test_several_challenges_and_escapes(self):
        found = challenges(r'Basic realm="a \"b\"", Bearer realm=x, Negotiate')
        assert [entry.scheme for entry in found] == ["basic", "bearer", "negotiate"]
        assert found[0].parameters["realm"] == 'a "b"'

    @pytest.mark.parametrize("header", ["", ",,,", '"', "Bearer realm=", "=" * 1000, "Bearer " * 1000])
    def test_nonsense_does_no_harm(self, header):
        assert isinstance(challenges(header), list)


def keychain(tmp_path, document=None, **environ):
    if document is not None:
        (tmp_path / "config.json").write_text(json.dumps(document))
    environ = {
        "DOCKER_CONFIG": str(tmp_path),
        "XDG_RUNTIME_DIR": str(tmp_path),
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        **environ,
    }
    return Keychain(environ)


def basic(pair):
    return {"auth": base64.b64encode(pair.encode()).decode()}


def helper(tmp_path, name, script):
    path = tmp_path / f"docker-credential-{name}"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


class TestKeychain:
    @pytest.mark.parametrize(
        "key", ["https://index.docker.io/v1/", "docker.io", "https://registry-1.docker.io"]
    )
    def test_docker_hub_has_many_names(self, tmp_path, key):
        found = keychain(tmp_path, {"auths": {key: basic("me:pa:ss")}}).find("docker.io")
        assert (found.username, found.password) == ("me", "pa:ss")

    def test_other_hosts_do_not_get_it(self, tmp_path):
        chain = keychain(tmp_path, {"auths": {"a.example": basic("me:x")}})
        assert chain.find("b.example") is None
        assert chain.find("a.example:5000") is None

    def test_a_helper_for_the_host_comes_first(self, tmp_path):
        helper(tmp_path, "one", 'read host; echo "{\\"Username\\":\\"$host\\",\\"Secret\\":\\"s\\"}"')
        chain = keychain(
            tmp_path,
            {"credHelpers": {"a.example": "one"}, "credsStore": "two", "auths": {"a.example": basic("x:y")}},
        )
        assert chain.find("a.example").username == "a.example"

    def test_a_store_that_knows_nothing_leaves_the_file(self, tmp_path):
        helper(tmp_path, "two", "echo credentials not found in native keychain; exit 1")
        chain = keychain(tmp_path, {"credsStore": "two", "auths": {"a.example": basic("x:y")}})
        assert chain.find("a.example").username == "x"

    def test_a_token_from_a_helper_is_an_identity_token(self, tmp_path):
        helper(tmp_path, "one", 'echo \'{"Username":"<token>","Secret":"t"}\'')
        assert (
            keychain(tmp_path, {"credHelpers": {"a.example": "one"}}).find("a.example").identity_token == "t"
        )

    @pytest.mark.parametrize("name", ["missing", "../../bin/sh", "fails"])
    def test_a_helper_that_does_not_work_is_named(self, tmp_path, name):
        helper(tmp_path, "fails", "echo no dbus >&2; exit 3")
        with pytest.raises(RegistryError, match=r"missing|no name|no dbus"):
            keychain(tmp_path, {"credsStore": name}).find("a.example")

    def test_podman_entries_may_name_a_path(self, tmp_path):
        other = tmp_path / "auth.json"
        other.write_text(
            json.dumps({"auths": {"a.example/team": basic("team:x"), "a.example": basic("all:x")}})
        )
        chain = keychain(tmp_path, REGISTRY_AUTH_FILE=str(other))
        assert chain.find("a.example", "team/app").username == "team"
        assert chain.find("a.example", "other/app").username == "all"

    def test_store_and_erase_keep_what_else_is_in_the_file(self, tmp_path):
        chain = keychain(tmp_path, {"auths": {"b": basic("x:y")}, "psFormat": "z"})
        chain.store("docker.io", Credentials("me", "secret"))
        document = json.loads((tmp_path / "config.json").read_text())
        assert document["psFormat"] == "z"
        assert document["auths"]["https://index.docker.io/v1/"] == basic("me:secret")
        assert stat.S_IMODE((tmp_path / "config.json").stat().st_mode) == 0o600
        assert chain.erase("docker.io")
        assert not chain.erase("docker.io")
        assert list(json.loads((tmp_path / "config.json").read_text())["auths"]) == ["b"]

    def test_a_damaged_file_is_an_error_that_names_it(self, tmp_path):
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(RegistryError, match=r"config\.json"):
            keychain(tmp_path).find("a")


class TestSettings:
    @pytest.mark.parametrize(
        ("host", "expected"),
        [
            ("localhost", True),
            ("localhost:5000", True),
            ("127.0.0.1:1", True),
            ("127.9.9.9", True),
            ("[::1]:5", True),
            ("localhost.example", False),
            ("128.0.0.1", False),
            ("registry", False),
            ("[::2]", False),
        ],
    )
    def test_loopback(self, host, expected):
        assert is_loopback(host) is expected

    def test_plain_http_only_for_loopback_or_what_is_configured(self, tmp_path):
        settings = Settings.load({"COMPOSER_INSECURE_REGISTRIES": "reg.lan:5000"}, etc=tmp_path)
        assert settings.hosts("a.example")[0].schemes == ("https",)
        assert settings.hosts("reg.lan:5000")[0].schemes == ("https", "http")
        assert settings.hosts("localhost:5000")[0].schemes == ("https", "http")

    def test_files_of_docker_and_podman_are_read(self, tmp_path):
        (tmp_path / "docker").mkdir()
        (tmp_path / "docker" / "daemon.json").write_text(
            '{"registry-mirrors": ["http://m1:80/x"], "insecure-registries": ["i:1"]}'
        )
        (tmp_path / "containers").mkdir()
        (tmp_path / "containers" / "registries.conf").write_text(
            '[[registry]]\nprefix="docker.io"\nlocation="docker.io"\n[[registry.mirror]]\nlocation="m2.example/cache"\n'
            '[[registry]]\nlocation="bad.example"\nblocked=true\n'
        )
        settings = Settings.load({}, etc=tmp_path)
        assert settings.hosts("docker.io") == (
            Host("m1:80", ("http",), "x", "docker.io"),
            Host("m2.example", ("https",), "cache", "docker.io"),
            Host("registry-1.docker.io", ("https",)),
        )
        assert settings.hosts("docker.io", pushing=True) == (Host("registry-1.docker.io", ("https",)),)
        assert settings.is_insecure("i:1")
        with pytest.raises(RegistryError, match="blocked"):
            settings.hosts("bad.example")

    @pytest.mark.parametrize(
        ("no_proxy", "host", "used"),
        [
            ("", "a.example", True),
            ("a.example", "a.example", False),
            (".example", "a.example", False),
            ("example", "a.example", False),
            ("b.example", "a.example", True),
            ("*", "a.example", False),
            ("", "127.0.0.1", False),
            ("", "localhost", False),
        ],
    )
    def test_proxies(self, no_proxy, host, used):
        settings = Settings(environ={"HTTPS_PROXY": "proxy:3128", "NO_PROXY": no_proxy})
        assert settings.proxy_for("https", host) == ("http://proxy:3128" if used else "")


@pytest.mark.parametrize("target", ["http://b/x", "file:///etc/passwd", "ftp://b", "https://", "gopher://x"])
def test_redirects_that_leave_tls_or_http_are_refused(target):
    with pytest.raises(RegistryError):
        check_redirect("https://a/x", target)
    check_redirect("https://a/x", "https://cdn/x")
