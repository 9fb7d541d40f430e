"""Rows 58 to 62, 64 and 65 of the fault matrix: where a token, a secret or a body must not go.

A second server stands for the foreign host; whatever arrives there is searched to the last byte. tests/doors asks the
same in more ways, and through every kind of loop.
"""

import importlib
import tempfile
from contextlib import suppress

import pytest

import tokenlatch
from tests.conftest import Clock
from tokenlatch import (
    ANY_HTTPS,
    ClientCredentials,
    MemoryStore,
    Provider,
    RefreshToken,
    TokenSet,
    TokenSource,
)
from tokenlatch.errors import AuthError, ConfigurationError, ForeignOriginError
from tokenlatch.providers import Attach
from tokenlatch.testing import AuthorizationServer

LIBRARIES = ("requests", "httpx", "httpx2")
SECRET = "client-secret-c0ffee"


@pytest.fixture
def server():
    """Our authorization server, which is the API too."""
    with AuthorizationServer(clients={"app": SECRET}) as server:
        yield server


@pytest.fixture
def foreign():
    """Somebody else's host: it answers 401 to whatever we could send."""
    with AuthorizationServer() as server:
        yield server


@pytest.fixture(params=LIBRARIES)
def library(request):
    """Each client library, and its sender for the token endpoint."""
    pytest.importorskip(request.param, reason=f"pip install 'tokenlatch[{request.param}]'")
    return request.param


@pytest.fixture
def make(server, library):
    """Return sources that refresh over the same library."""
    sources = []

    def make(**provider):
        answer = server.issue(scope="read")
        grant = RefreshToken(
            Provider(server.token_url, **provider), client_id="app", client_secret=SECRET
        )
        sender = getattr(tokenlatch, f"{library.capitalize()}Sender")()
        source = TokenSource(grant, store=MemoryStore(), sender=sender, clock=Clock())
        source.seed(
            TokenSet(answer["access_token"], refresh_token=answer["refresh_token"], scope="read")
        )
        sources.append(source)
        return source

    yield make
    for each in sources:
        each.close()


def call(library, source, method, url, origins, *, follow=True, foreign="raise", **options):
    """Send one request with the library's door."""
    client = importlib.import_module(library)
    door = importlib.import_module(f"tokenlatch.{library}")
    auth = door.BearerAuth(source, origins, foreign=foreign)
    if library == "requests":
        with client.Session() as session:
            return session.request(method, url, auth=auth, allow_redirects=follow, **options)
    with client.Client(follow_redirects=follow) as session:
        options = {"content" if name == "data" else name: v for name, v in options.items()}
        return session.request(method, url, auth=auth, **options)


def secrets_of(server):
    """Everything that the server has ever given out, and what the client proves itself with."""
    return [*server.book._access, *server.book._refresh, SECRET]


def clean(host, server):
    """Check that nothing of ours is in anything that arrived at the host."""
    arrived = [repr(each) for each in host.log]
    assert not [each for each in secrets_of(server) for text in arrived if each in text]
    assert not [text for text in arrived if "Basic " in text]


# ---------------------------------------------------------------------------------------------------- token endpoint


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_row_58_the_token_endpoint_redirects_elsewhere(make, server, foreign, status):
    """It is not followed, by no method and with no body; the error says what was answered."""
    source = make()
    server.fail("redirect", to=foreign.token_url, status=status)
    with pytest.raises(AuthError, match=str(status)) as caught:
        source.refresh()
    assert caught.value.status == status
    assert list(foreign.log) == []
    assert server.counts.token_requests == 1


def test_row_62_a_netrc_entry_for_the_token_host(make, server, library, monkeypatch):
    """Our own client authentication arrives, and our token at the API."""
    with tempfile.NamedTemporaryFile("w", prefix="netrc") as netrc:
        netrc.write("machine 127.0.0.1 login intruder password intruder\n")
        netrc.flush()
        monkeypatch.setenv("NETRC", netrc.name)
        source = make()
        tokens = source.refresh()
        assert call(library, source, "GET", server.api_url, server.url).status_code == 200
    sent = {each.request.path: each.request.authorization for each in server.log}
    assert sent["/token"] == "Basic YXBwOmNsaWVudC1zZWNyZXQtYzBmZmVl"
    assert sent["/api"] == f"Bearer {tokens.access_token}"


# ------------------------------------------------------------------------------------------------------------- the API

ATTACHED = {
    "header": {},
    "another header": {"attach": Attach("header", "X-Token")},
    "query": {"attach": Attach("query", "access_token")},
}


@pytest.fixture(params=ATTACHED)
def attached(request, make):
    """A source whose token goes into each of these places."""
    return make(**ATTACHED[request.param])


def accept(*_, **__):
    """Take any API request."""


@pytest.mark.parametrize("status", [302, 307])
def test_row_59_the_api_redirects_to_a_foreign_host_that_answers_401(
    attached, server, foreign, library, status
):
    """No token arrives there, wherever it is attached, and its 401 makes nobody refresh."""
    server._refusal = accept  # it knows bearer headers only; here the redirect counts
    url = f"{server.url}/redirect?status={status}&to={foreign.api_url}"
    with suppress(ForeignOriginError):  # where a library cannot take the token off, it is refused
        assert call(library, attached, "GET", url, server.url).status_code == 401
        assert len(foreign.log) == 1
    clean(foreign, server)
    assert server.counts.token_requests == 0


def test_row_60_an_absolute_url_elsewhere(attached, server, foreign, library):
    """It is refused before it leaves; or goes out without a token, if that is wished."""
    with pytest.raises(ForeignOriginError, match="gets no token"):
        call(library, attached, "GET", foreign.api_url, server.url)
    assert list(foreign.log) == []
    answer = call(library, attached, "GET", foreign.api_url, server.url, foreign="anonymous")
    assert answer.status_code == 401
    assert len(foreign.log) == 1
    clean(foreign, server)
    assert server.counts.token_requests == 0


@pytest.mark.parametrize("host", ["api.example", "10.0.0.1", "127.0.0.1.example", "[::2]"])
def test_row_61_plain_http_to_another_machine(make, library, host):
    """Neither as origin, nor as URL, nor as token endpoint."""
    source, url = make(), f"http://{host}"
    with pytest.raises(ConfigurationError, match="plain http"):
        call(library, source, "GET", url, url)
    with pytest.raises(ConfigurationError, match="plain http"):
        ClientCredentials(f"{url}/token", client_id="app", client_secret="x")
    for origins in (url.replace("http:", "https:"), ANY_HTTPS):
        with pytest.raises(ForeignOriginError):
            call(library, source, "GET", f"{url}/x", origins)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_row_61_plain_http_that_stays_on_this_machine(host):
    """Loopback is allowed, for tests and sidecars."""
    ClientCredentials(f"http://{host}:8080/token", client_id="app", client_secret="x")


def test_row_64_a_401_to_a_body_that_is_spent(make, server, library):
    """The token is refreshed for the next request; the body is not sent again, not even empty."""
    source = make()
    server.expire_now()

    def body():
        yield b"one"
        yield b"two"

    answer = call(library, source, "POST", server.api_url, server.url, data=body())
    assert answer.status_code == 401
    posts = [each for each in server.log if each.request.path == "/api"]
    assert len(posts) == 1
    assert server.counts.refreshes == 1
    assert call(library, source, "GET", server.api_url, server.url).status_code == 200
    assert server.counts.refreshes == 1


def test_row_65_a_lack_of_scope_is_not_about_the_token(make, server, library):
    """403, or 401 with insufficient_scope: the answer is the caller's, and nothing is refreshed or sent again."""
    source = make()
    answer = call(library, source, "GET", f"{server.url}/forbidden", server.url)
    assert answer.status_code == 403
    server.challenge = 'Bearer error="insufficient_scope", scope="admin"'
    answer = call(library, source, "GET", f"{server.url}/always401", server.url)
    assert answer.status_code == 401
    assert server.counts.token_requests == 0
    assert server.counts.api_requests == 2
