"""Logins, client authentication, revocation, introspection and discovery against real servers."""

from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest
import requests

import tokenlatch.httpx
import tokenlatch.requests
from tests.interop.headless import Form, log_in
from tests.interop.real_servers import CACHE, DJANGO, OIDC_PROVIDER, REDIRECT_URI
from tokenlatch import (
    Assertion,
    AuthorizationCode,
    ClientCredentials,
    DeviceCode,
    Provider,
    TokenSource,
    _errands,
    errors,
    login_in_browser,
)

pytestmark = pytest.mark.interop
SECRET = "interop-secret"
SCOPE = OIDC_PROVIDER.scope


@pytest.fixture(scope="module")
def server(serve):
    return serve(OIDC_PROVIDER, ACCESS_TOKEN_SECONDS=3)


@pytest.fixture
def provider(server):
    return Provider.discover(server.base)


def key():
    return (CACHE / "client-key.pem").read_text()


def client_of(name):
    """Return the arguments by which one of the server's clients proves itself."""
    if name == "public":
        return {"client_id": "public"}
    if name == "signed":
        how = {"client_auth": "private_key_jwt", "assertion": Assertion(kid="interop")}
        return {"client_id": "signed", "client_secret": key(), **how}
    auth = "basic" if name == "basic" else "body"
    return {"client_id": name, "client_secret": SECRET, "client_auth": auth}


CLIENTS = pytest.mark.parametrize("client", ["basic", "post", "signed", "public"])


@CLIENTS
def test_a_browser_login_from_discovery_to_revocation(server, provider, client):
    """PKCE, state and iss; then a refresh, introspection, and the end of the grant."""
    login = AuthorizationCode(provider, redirect_uri=REDIRECT_URI, scope=SCOPE, **client_of(client))
    with TokenSource(login) as source:
        pending = login.begin(prompt="consent")
        back = log_in(pending.url, REDIRECT_URI, OIDC_PROVIDER.user)
        assert back["iss"] == server.base
        first = source.redeem(back, pending)
        assert server.api_status(first.access_token) == 200
        second = source.refresh()
        assert second.refresh_token != first.refresh_token
        assert source.introspect()["active"] is True
        source.revoke()
        assert server.api_status(second.access_token) == 401
        with pytest.raises(errors.ReauthorizationRequired):
            source.token()


def test_a_login_in_this_machines_browser(server, provider):
    """RFC 8252: the server takes any port of the loopback; the redirect meets a real listener."""
    how = {"client_id": "native", "redirect_uri": "http://127.0.0.1/cb", "scope": SCOPE}

    def open_url(url):
        where = parse_qs(urlsplit(url).query)["redirect_uri"][0]
        back = log_in(url, where, OIDC_PROVIDER.user)
        assert requests.get(where, back, timeout=10).status_code == 200

    with TokenSource(AuthorizationCode(provider, **how)) as source:
        login_in_browser(source, open_url=open_url, prompt="consent")
        assert server.api_status(source.refresh().access_token) == 200


@CLIENTS
def test_a_device_login(server, provider, client):
    """RFC 8628: pending until the person has typed the code, then a grant that refreshes."""
    grant = DeviceCode(provider, scope=SCOPE, **client_of(client))
    with TokenSource(grant) as source:
        prompts, waits = [], []

        def wait(_):
            waits.append(1)
            if len(waits) == 2:  # so that the first question is answered "not yet"
                approve(prompts[0].verification_uri_complete)

        tokens = _errands.log_in_elsewhere(source._view, source._dance, grant, prompts.append, wait)
        assert len(waits) == 2
        source.seed(tokens)
        assert server.api_status(source.refresh().access_token) == 200


def approve(url):
    """Be the person at the other device: fill in whatever form comes, until a page has none."""
    with requests.Session() as browser:
        page = browser.get(url, timeout=10)
        for _ in range(10):
            form = Form(page.text)
            if form.action is None:
                return
            filled = form.fields | {
                name: OIDC_PROVIDER.user[name] for name in form.fields if name in OIDC_PROVIDER.user
            }
            page = browser.post(urljoin(page.url, form.action), data=filled, timeout=10)


@pytest.mark.parametrize("client", ["basic", "post", "signed"])
def test_client_credentials(provider, client):
    """However the client proves itself."""
    with TokenSource(ClientCredentials(provider, **client_of(client))) as source:
        assert source.introspect()["active"] is True


def test_a_wrong_key_is_for_the_developer(provider):
    """invalid_client, and no grant is thought dead."""
    how = client_of("signed") | {
        "assertion": Assertion(kid="interop", audience="https://other.example")
    }
    with pytest.raises(errors.ConfigurationError, match="invalid_client"):
        TokenSource(ClientCredentials(provider, **how)).token()


def test_a_code_of_another_login_is_refused(provider):
    """The server checks the verifier, we check the state: each alone would do."""
    login = AuthorizationCode(
        provider, redirect_uri=REDIRECT_URI, scope=SCOPE, **client_of("basic")
    )
    one, two = login.begin(prompt="consent"), login.begin(prompt="consent")
    back = log_in(one.url, REDIRECT_URI, OIDC_PROVIDER.user)
    source = TokenSource(login)
    with pytest.raises(errors.ReauthorizationRequired, match="state"):
        source.redeem(back, two)
    with pytest.raises(errors.ReauthorizationRequired, match="invalid_grant"):
        source.redeem(back | {"state": two.state}, two)


@pytest.fixture(scope="module")
def django(serve):
    return serve(DJANGO)


def test_django_describes_itself_and_logs_in(django):
    """The same with django-oauth-toolkit, which has other places and words."""
    server = django
    provider = Provider.discover(f"{server.base}/o")
    login = AuthorizationCode(
        provider,
        client_id=server.client_id,
        client_secret=server.client_secret,
        redirect_uri=REDIRECT_URI,
        scope=DJANGO.scope,
    )
    with TokenSource(login) as source:
        pending = login.begin()
        source.redeem(log_in(pending.url, REDIRECT_URI, DJANGO.user), pending)
        second = source.refresh()
        assert server.api_status(second.access_token) == 200
        source.revoke()
        assert server.refresh(second.refresh_token).status_code == 400


@pytest.fixture(scope="module", params=[{}, {"DPOP_NONCE": 1}], ids=["plain", "nonces"])
def bound(serve, request):
    return serve(OIDC_PROVIDER, ACCESS_TOKEN_SECONDS=3, **request.param)


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_tokens_bound_to_a_key(bound, library):
    """DPoP: login, calls, refresh, with and without nonces; the token alone is worth nothing."""
    server = bound
    login = AuthorizationCode(
        Provider.discover(server.base),
        client_id="dpop",
        client_secret=SECRET,
        redirect_uri=REDIRECT_URI,
        scope=SCOPE,
        dpop=key(),
    )
    with TokenSource(login) as source:
        pending = login.begin(prompt="consent")
        tokens = source.redeem(log_in(pending.url, REDIRECT_URI, OIDC_PROVIDER.user), pending)
        assert tokens.token_type == "DPoP"
        if library == "requests":
            client = requests.Session()
            client.auth = tokenlatch.requests.BearerAuth(source, server.base)
        else:
            client = httpx.Client(auth=tokenlatch.httpx.BearerAuth(source, server.base))
        with client:
            assert client.get(server.api_url).status_code == 200
            source.refresh()
            assert client.get(server.api_url).status_code == 200
        assert server.api_status(source.token().access_token) == 401
