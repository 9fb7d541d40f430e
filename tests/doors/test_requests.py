"""What only requests has: hooks, adapters, prepared requests, cookies in headers, sessions that pickle."""

import pickle

import pytest
import requests
from requests.adapters import HTTPAdapter

from tests.doors.conftest import refusing, sent_to, statuses
from tokenlatch import ClientCredentials, FileStore
from tokenlatch.errors import ReauthorizationRequired
from tokenlatch.requests import BearerAuth
from tokenlatch.testing._http import Response


@pytest.fixture
def session(source, server):
    """A session whose every request carries the token."""
    with requests.Session() as session:
        session.auth = BearerAuth(source, server.url)
        yield session


class Recorder(HTTPAdapter):
    """An adapter that writes down what it is told."""

    def __init__(self, **options):
        self.told = []
        super().__init__(**options)

    def send(self, request, **options):
        """Note the options."""
        self.told.append(options)
        return super().send(request, **options)


# -------------------------------------------------------------------------------------------------------------- hooks


@pytest.mark.parametrize("of", ["session", "request"])
def test_the_users_hooks_see_only_the_final_answer(session, server, of):
    """Once."""
    seen = []
    hooks = {"response": lambda answer, **_: seen.append(answer.status_code)}
    if of == "session":
        session.hooks = hooks
    server.expire_now()
    session.get(server.api_url, hooks=hooks if of == "request" else None)
    assert seen == [200]


def test_hooks_do_not_pile_up(session, server):
    """A prepared request is sent, and prepared, again and again."""
    prepared = session.prepare_request(requests.Request("GET", server.api_url))
    for _ in range(3):
        assert session.send(prepared).status_code == 200
        prepared.prepare_auth(session.auth)
    assert len(prepared.hooks["response"]) == 1


def test_a_prepared_request_outlives_its_token(session, server):
    """Sent again with the old header, it is refused, refreshed, and sent with the new one."""
    prepared = session.prepare_request(requests.Request("GET", server.api_url))
    for _ in range(2):
        server.expire_now()
        assert session.send(prepared).status_code == 200
    assert session.send(prepared).status_code == 200
    assert statuses(server, "/api") == [401, 200, 401, 200, 200]
    assert (server.counts.refreshes, server.counts.replays) == (2, 0)


def test_a_prepared_request_without_the_session_hook_still_works(source, server):
    """The hook travels with the request, not with the session."""
    with requests.Session() as other:
        prepared = requests.Request("GET", server.api_url, auth=BearerAuth(source, server.url))
        server.expire_now()
        assert other.send(prepared.prepare()).status_code == 200


# ------------------------------------------------------------------------------------------------------ pools, options


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("size", [0, 100_000], ids=["empty", "long"])
def test_a_pool_of_one_does_not_deadlock(session, server, route, stream, size):
    """The 401's connection is free before the retry asks for one."""
    url = route("/odd", refusing(server, Response(401, {}, b"x" * size)))
    session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=1, pool_block=True))
    for _ in range(3):
        server.expire_now()
        with session.get(url, stream=stream, timeout=5) as answer:
            assert answer.status_code == 200
    assert server.counts.refreshes == 3


def test_a_pool_of_one_survives_errors(session, server):
    """The 401 is released although no retry follows."""
    session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=1, pool_block=True))
    server.expire_now()
    server.fail("503", times=1)
    with pytest.raises(requests.RequestException):
        session.get(server.api_url, stream=True, timeout=5)
    with requests.Session() as plain:
        plain.mount("http://", session.get_adapter("http://x"))
        assert plain.get(server.api_url, timeout=5).status_code == 401


def test_every_option_is_forwarded(session, server, tmp_path):
    """Timeout, verify, cert, proxies and stream of the retry are those of the request."""
    adapter = Recorder()
    session.mount("http://", adapter)
    server.expire_now()
    cert = tmp_path / "cert"
    cert.touch()
    cert = str(cert)
    session.get(server.api_url, timeout=(3, 7), verify=False, cert=cert, proxies={"x": "y"})
    first, second = adapter.told
    assert first == second
    assert (first["timeout"], first["verify"], first["cert"]) == ((3, 7), False, cert)


def test_history_has_the_refusal(session, server):
    """And the answer belongs to the request that was sent last."""
    server.expire_now()
    answer = session.get(server.api_url)
    assert [each.status_code for each in answer.history] == [401]
    assert answer.request.headers["Authorization"] == sent_to(server, "/api")[-1]


# ------------------------------------------------------------------------------------------------------------- cookies


@pytest.fixture
def jar(server, route):
    """A path that refuses with a cookie, and tells which cookies came."""

    def tell(request):
        return Response(200, {}, request.headers.get("cookie", "").encode())

    return route("/jar", refusing(server, Response(401, {"Set-Cookie": "a=new"}), tell))


@pytest.mark.parametrize("before", [{}, {"b": "1"}, {"a": "old", "b": "1"}], ids=repr)
def test_cookies_of_the_refusal_are_kept(session, server, jar, before):
    """The retry sends them, besides those that the session had, and so does the next request."""
    session.cookies.update(before)
    server.expire_now()
    expected = sorted(f"{k}={v}" for k, v in (before | {"a": "new"}).items())
    for _ in range(2):
        got = session.get(jar).text.split("; ")
        # The session's own old a has no path, so both are sent, as a browser would.
        assert set(expected) <= set(got)
    assert session.cookies.get_dict(domain="127.0.0.1")["a"] == "new"


def test_the_users_own_cookie_header_stays(session, server, jar):
    """A header that was written by hand is not the jar's."""
    server.expire_now()
    assert session.get(jar, headers={"Cookie": "mine=1"}).text == "mine=1"


# -------------------------------------------------------------------------------------------------------------- pickle


def test_a_session_pickles(server, clock, make, tmp_path):
    """With its auth, and without any token; the copy works over the same file."""
    grant = ClientCredentials(server.token_url, client_id="app", client_secret="app-secret")
    source = make(grant, store=FileStore(tmp_path / "token"), clock=time_of(clock))
    with requests.Session() as session:
        session.auth = BearerAuth(source, server.url)
        data = pickle.dumps(session)
    assert str(source.token().access_token).encode() not in data
    with pickle.loads(data) as copy:
        assert copy.get(server.api_url).status_code == 200
        assert copy.auth == copy.auth
    assert server.counts.token_requests == 0


def time_of(clock):
    """A clock that pickles: as it stood."""
    return Standing(clock())


class Standing:
    """A clock that stands still."""

    def __init__(self, now):
        self.now = now

    def __call__(self):
        """Return the time."""
        return self.now


# -------------------------------------------------------------------------------------------------------------- errors


def test_an_error_has_a_request_without_secrets(session, server):
    """Handlers ask for its method and URL; headers and body are not there."""
    server.revoke_now()
    server.expire_now()
    with pytest.raises(requests.RequestException) as caught:
        session.post(server.api_url, data=b"sesame", headers={"X-Key": "sesame"})
    error = caught.value
    assert isinstance(error, ReauthorizationRequired)
    assert (error.request.method, error.request.url) == ("POST", server.api_url)
    assert not error.request.headers
    assert error.request.body is None
    assert error.response is None


def test_an_open_stream_blocks_nobody(session, server):
    """A long-lived answer holds no lock: a second request refreshes and goes out."""
    with session.get(f"{server.url}/stream?interval=0.01", stream=True, timeout=5) as stream:
        lines = stream.iter_lines()
        assert next(lines) == b"data: 0"
        server.expire_now()
        assert session.get(server.api_url, timeout=5).status_code == 200
        assert b"data: 1" in (next(lines), next(lines), next(lines))
    assert server.counts.refreshes == 1
