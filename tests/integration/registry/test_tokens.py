"""Bearer tokens: a token service before a real registry."""

import base64
import json
from urllib.parse import parse_qs, urlsplit

import pytest

from composer.errors import RegistryError
from composer.images.manifests import ACCEPT
from composer.images.pull import pull
from composer.images.push import push
from composer.registry.client import Registry
from composer.registry.credentials import Credentials, Keychain

pytestmark = pytest.mark.root


class TokenService:
    """Plays both the registry's 401 and the service that its challenge names."""

    def __init__(self, proxy):
        self.proxy = proxy
        self.scopes = []
        self.accounts = []
        self.valid = set()
        self.life = 300
        self.refuse = False
        self.refresh_only = False

    def __call__(self, handler, count):
        url = urlsplit(handler.path)
        if url.path == "/token":
            return self.token(handler, url)
        given = handler.headers.get("authorization", "")
        if given.removeprefix("Bearer ") in self.valid:
            # The registry behind knows nothing about tokens.
            del handler.headers["authorization"]
            return None
        challenge = (
            f'Bearer realm="http://{self.proxy.address}/token",service="test",scope="repository:x:pull"'
        )
        return ("answer", 401, {"WWW-Authenticate": challenge}, b'{"errors":[{"code":"UNAUTHORIZED"}]}')

    def token(self, handler, url):
        form = parse_qs(handler.body.decode()) if handler.command == "POST" else parse_qs(url.query)
        if handler.command == "POST" and not self.refresh_only:
            return ("status", 405, {})
        if self.refuse or (self.refresh_only and form.get("refresh_token") != ["identity"]):
            return ("status", 401, {})
        self.scopes.append(sorted(" ".join(form.get("scope", [])).split()))
        self.accounts.append((form.get("account", [""])[0], handler.headers.get("authorization", "")))
        token = f"t{len(self.scopes)}"
        self.valid.add(token)
        return ("answer", 200, {}, json.dumps({"access_token": token, "expires_in": self.life}).encode())


@pytest.fixture
def service(bad_proxy):
    found = TokenService(bad_proxy)
    bad_proxy.trouble = found
    return found


@pytest.fixture
def there(store, make_image, registry, bad_proxy, quick):
    make_image(f"{registry}/app:1")
    push(store, f"{registry}/app:1", settings=quick)
    return f"{bad_proxy.address}/app:1"


def test_a_public_image_needs_a_token_but_no_login(there, service, make_store, quick):
    pull(make_store("other"), there, settings=quick)
    assert set(map(tuple, service.scopes)) == {("repository:app:pull",)}
    assert set(service.accounts) == {("", "")}
    assert len(service.scopes) <= 2  # one token serves all requests; two threads may ask at once


def test_credentials_go_to_the_token_service_only(there, service, bad_proxy, store, quick):
    Keychain().store(bad_proxy.address, Credentials("me", "pa:ss"))
    store.tag(store.images()[0], f"{bad_proxy.address}/up:1")
    push(store, f"{bad_proxy.address}/up:1", settings=quick)
    basic = "Basic " + base64.b64encode(b"me:pa:ss").decode()
    assert set(service.accounts) == {("me", basic)}
    assert ["repository:up:pull,push"] in [
        [scope.replace("push,pull", "pull,push") for scope in found] for found in service.scopes
    ]
    for _, path, headers in bad_proxy.requests:
        if path.startswith("/v2/"):
            assert basic not in headers.values()


def test_an_expired_token_is_renewed_in_mid_flight(there, service, bad_proxy, quick):
    client = Registry(bad_proxy.address, settings=quick)
    client.manifest("app", "1", ACCEPT)
    service.valid.clear()
    client.manifest("app", "1", ACCEPT)
    client.close()
    assert len(service.scopes) == 2


def test_an_identity_token_is_exchanged(there, service, bad_proxy, make_store, quick):
    service.refresh_only = True
    (directory := Keychain().path.parent).mkdir(exist_ok=True)
    (directory / "config.json").write_text(
        json.dumps({"auths": {bad_proxy.address: {"auth": "", "identitytoken": "identity"}}})
    )
    pull(make_store("other"), there, settings=quick)
    assert service.scopes[0] == ["repository:app:pull"]


def test_a_service_without_the_exchange_is_asked_the_old_way(there, service, bad_proxy, make_store, quick):
    (Keychain().path).write_text(json.dumps({"auths": {bad_proxy.address: {"identitytoken": "identity"}}}))
    pull(make_store("other"), there, settings=quick)
    assert service.scopes


def test_a_refusal_names_where_the_credentials_came_from(there, service, bad_proxy, make_store, quick):
    service.refuse = True
    with pytest.raises(RegistryError, match="no token to strangers"):
        pull(make_store("other"), there, settings=quick)
    Keychain().store(bad_proxy.address, Credentials("me", "old"))
    with pytest.raises(RegistryError, match=r"refused the credentials from .*config\.json"):
        pull(make_store("other"), there, settings=quick)


def test_an_encrypted_registry_cannot_send_us_to_an_open_token_service(bad_proxy, quick):
    from composer.registry.auth import Authenticator
    from composer.registry.http import Http

    auth = Authenticator(Http(quick), Credentials("me", "secret"))
    with pytest.raises(RegistryError, match="unencrypted"):
        auth.answer(f'Bearer realm="http://{bad_proxy.address}/token"', "https://reg.example/v2/", ())
    for realm in ("file:///etc/passwd", "", "ftp://x"):
        with pytest.raises(RegistryError):
            auth.answer(f'Bearer realm="{realm}"', "https://reg.example/v2/", ())
    assert bad_proxy.requests == []
