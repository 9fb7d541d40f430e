"""The test double is held to what it promises, by the standard library's own HTTP client.

Everything else is judged by this server, so it is judged here without a line of tokenlatch.
"""

import base64
import contextlib
import hashlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import pytest

from tokenlatch.testing import AuthorizationServer
from tokenlatch.testing._faults import FaultName
from tokenlatch.testing._shapes import SHAPES

LIFETIME = 100


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


def call(url, method="GET", *, token=None, body=None, headers=None, timeout=10):
    """Send one request on a connection of its own."""
    where = urlsplit(url)
    headers = dict(headers or {})
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    with contextlib.closing(
        http.client.HTTPConnection(where.hostname, where.port, timeout=timeout)
    ) as connection:
        connection.request(method, url.removeprefix(f"http://{where.netloc}"), body, headers)
        answer = connection.getresponse()
        return Reply(answer.status, answer.headers, answer.read())


def post(url, headers=None, timeout=10, **form):
    """Send a form; the client's id and secret go along unless other credentials are named."""
    if "client_id" not in form and "Authorization" not in (headers or {}):
        form |= {"client_id": "app", "client_secret": "app-secret"}
    form = {name: value for name, value in form.items() if value is not None}
    headers = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
    return call(url, "POST", body=urlencode(form), headers=headers, timeout=timeout)


def refresh(server, tokens, **more):
    """Spend the refresh token of these tokens."""
    return post(
        server.token_url,
        grant_type="refresh_token",
        refresh_token=tokens["refresh_token"],
        **more,
    )


def is_live(server, tokens):
    """Ask the API."""
    return call(server.api_url, token=tokens["access_token"]).status == 200


def basic(client_id, secret):
    """Write the header."""
    pair = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


@pytest.fixture
def make(clock):
    """Start servers on the test's clock, and close them."""
    with contextlib.ExitStack() as stack:
        yield lambda **rules: stack.enter_context(
            AuthorizationServer(**{"access_lifetime": LIFETIME, "clock": clock} | rules)
        )


@pytest.fixture
def server(make):
    """A server with the usual rules."""
    return make()


# --------------------------------------------------------------------------------------------------- the grant book


def test_a_refresh_gives_new_tokens_once(server):
    """The new pair works, the old access token lives on, the answer is as RFC 6749 wants it."""
    old = server.issue(scope="read write")
    reply = refresh(server, old)
    new = reply.json
    assert reply.status == 200
    assert reply.headers["Cache-Control"] == "no-store"
    assert new.keys() == {"access_token", "token_type", "expires_in", "refresh_token", "scope"}
    assert (new["token_type"], new["expires_in"], new["scope"]) == ("Bearer", 100, "read write")
    assert new["access_token"].startswith("at-")
    assert new["refresh_token"].startswith("rt-")
    assert not set(new.values()) & {old["access_token"], old["refresh_token"]}
    assert is_live(server, old)
    assert is_live(server, new)
    assert server.counts.refreshes == 1


def test_a_replay_revokes_the_family(server):
    """A spent refresh token seen again kills every token of its grant, and of no other."""
    bystander = server.issue()
    old = server.issue()
    new = refresh(server, old).json
    reply = refresh(server, old)
    assert (reply.status, reply.json["error"]) == (400, "invalid_grant")
    assert refresh(server, new).json["error"] == "invalid_grant"
    assert not is_live(server, old)
    assert not is_live(server, new)
    assert is_live(server, bystander)
    assert (server.counts.replays, server.counts.revocations, server.counts.refreshes) == (1, 1, 1)


def test_without_reuse_detection_a_replay_is_only_refused(make):
    """The grant survives, but the replay is counted."""
    server = make(reuse_detection=False)
    old = server.issue()
    new = refresh(server, old).json
    assert refresh(server, old).json["error"] == "invalid_grant"
    assert refresh(server, new).status == 200
    assert (server.counts.replays, server.counts.revocations) == (1, 0)


def test_without_rotation_the_refresh_token_stays(make):
    """Each refresh names the same refresh token again."""
    server = make(rotate=False)
    old = server.issue()
    for _ in range(3):
        assert refresh(server, old).json["refresh_token"] == old["refresh_token"]
    assert (server.counts.refreshes, server.counts.replays) == (3, 0)


@pytest.mark.parametrize(
    ("age", "forgiven"),
    [
        pytest.param(0, True, id="at once"),
        pytest.param(9.999, True, id="just within the grace"),
        pytest.param(10, False, id="just after the grace"),
    ],
)
def test_within_the_grace_the_last_spent_token_gets_the_same_tokens(make, clock, age, forgiven):
    """The same access and refresh token come again, for the seconds that are left of them."""
    server = make(grace=10)
    old = server.issue()
    new = refresh(server, old).json
    clock.advance(age)
    again = refresh(server, old).json
    if forgiven:
        assert again == new | {"expires_in": round(LIFETIME - age)}
    else:
        assert again["error"] == "invalid_grant"
    assert (server.counts.refreshes, server.counts.replays) == (1, 0 if forgiven else 1)


def test_the_grace_ends_when_the_new_token_is_used(make):
    """Only the last spent token has a grace: who used its successor cannot need it."""
    server = make(grace=10)
    old = server.issue()
    refresh(server, refresh(server, old).json)
    assert refresh(server, old).json["error"] == "invalid_grant"
    assert server.counts.replays == 1


def test_a_refresh_may_kill_the_old_access_tokens(make):
    """With kill_old_access only the newest access token of the grant lives."""
    server = make(kill_old_access=True)
    old = server.issue()
    new = refresh(server, old).json
    assert not is_live(server, old)
    assert is_live(server, new)


@pytest.mark.parametrize(
    ("age", "live"),
    [
        pytest.param(LIFETIME - 0.001, True, id="just before it ends"),
        pytest.param(LIFETIME, False, id="at its end"),
    ],
)
def test_an_access_token_lives_as_long_as_was_said(server, clock, age, live):
    """The API accepts it until expires_in is over."""
    tokens = server.issue()
    clock.advance(age)
    assert is_live(server, tokens) is live


@pytest.mark.parametrize(
    ("age", "status"),
    [
        pytest.param(49.999, 200, id="just before it ends"),
        pytest.param(50, 400, id="at its end"),
    ],
)
def test_a_refresh_token_may_have_an_end(make, clock, age, status):
    """Past refresh_lifetime it is an invalid_grant; a new one begins anew."""
    server = make(refresh_lifetime=50)
    tokens = server.issue()
    clock.advance(age)
    reply = refresh(server, tokens)
    assert reply.status == status
    assert server.counts.replays == 0


@pytest.mark.parametrize(
    ("lifetime", "sent"), [(3600.0, "3600"), (2, "2"), (0.5, "0.5"), (0, "0")], ids=str
)
def test_whole_lifetimes_are_sent_as_integers(make, lifetime, sent):
    """Clients that read an integer meet one, unless the lifetime is a fraction."""
    server = make(access_lifetime=lifetime)
    assert f'"expires_in": {sent},'.encode() in refresh(server, server.issue()).body


def test_a_refresh_token_of_another_client_is_unknown(make):
    """It is refused and not spent."""
    server = make(clients={"app": "app-secret", "other": "s"})
    tokens = server.issue()
    reply = refresh(server, tokens, client_id="other", client_secret="s")
    assert reply.json["error"] == "invalid_grant"
    assert refresh(server, {"refresh_token": "rt-unheard-of"}).json["error"] == "invalid_grant"
    assert refresh(server, tokens).status == 200
    assert server.counts.replays == 0


def test_a_refresh_may_narrow_the_scope_and_not_widen_it(server):
    """RFC 6749 section 6; the grant itself keeps its scope."""
    narrow = refresh(server, server.issue(scope="read write"), scope="read").json
    assert narrow["scope"] == "read"
    assert refresh(server, narrow, scope="read admin").json["error"] == "invalid_scope"
    assert refresh(server, narrow).json["scope"] == "read write"


def test_one_of_many_racers_wins(server):
    """Sixteen requests with one refresh token, all inside before any may go on: one refresh, fifteen replays."""
    tokens = server.issue()
    with ThreadPoolExecutor(16) as pool:
        with server.hold():
            racers = [pool.submit(refresh, server, tokens) for _ in range(16)]
            server.arrived(16)
            assert server.counts.refreshes == 0
        statuses = sorted(racer.result().status for racer in racers)
    assert statuses == [200] + [400] * 15
    assert server.counts.token_requests == 16
    assert (server.counts.refreshes, server.counts.replays) == (1, 15)
    assert server.counts.revocations == 1


# --------------------------------------------------------------------------------------------- the token endpoint


def test_client_credentials_give_an_access_token_alone(server):
    """No refresh token (RFC 6749 section 4.4.3)."""
    tokens = post(server.token_url, grant_type="client_credentials", scope="read").json
    assert "refresh_token" not in tokens
    assert tokens["scope"] == "read"
    assert is_live(server, tokens)
    assert (server.counts.client_credentials, server.counts.refreshes) == (1, 0)


@pytest.mark.parametrize(
    ("credentials", "status"),
    [
        pytest.param({"headers": basic("app", "app-secret")}, 200, id="basic"),
        pytest.param({"headers": basic("we%3Aird", "s%26+t")}, 200, id="basic, encoded"),
        pytest.param({"client_id": "app", "client_secret": "app-secret"}, 200, id="body"),
        pytest.param({"headers": basic("app", "wrong")}, 401, id="basic, wrong secret"),
        pytest.param({"headers": basic("nobody", "app-secret")}, 401, id="basic, unknown"),
        pytest.param({"headers": {"Authorization": "Basic ***"}}, 401, id="basic, garbage"),
        pytest.param({"client_id": "app", "client_secret": "wrong"}, 401, id="body, wrong secret"),
        pytest.param({"client_id": "app"}, 401, id="no secret"),
        pytest.param({"client_id": None}, 401, id="no client"),
        pytest.param(
            {"headers": basic("app", "app-secret"), "client_secret": "app-secret"},
            400,
            id="two ways",
        ),
    ],
)
def test_clients_authenticate_by_basic_or_body(make, credentials, status):
    """RFC 6749 section 2.3.1; who tried by header is told the scheme."""
    server = make(clients={"app": "app-secret", "we:ird": "s& t"})
    reply = post(server.token_url, grant_type="client_credentials", **credentials)
    assert reply.status == status
    challenged = status == 401 and "headers" in credentials
    assert reply.headers.get("WWW-Authenticate", "").startswith("Basic") is challenged
    if status != 200:
        error = {400: "invalid_request", 401: "invalid_client"}
        assert reply.json["error"] == error[status]


def test_a_public_client_has_no_secret(make):
    """It refreshes with its id alone, and gets nothing for credentials it does not have."""
    server = make(clients={"phone": None})
    assert refresh(server, server.issue(), client_id="phone").status == 200
    reply = post(server.token_url, grant_type="client_credentials", client_id="phone")
    assert reply.json["error"] == "unauthorized_client"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
    ],
    ids=["nothing", "no refresh token", "empty refresh token", "another grant type"],
)
def test_what_cannot_be_understood_is_refused(server, form, error):
    """400 with the error word of RFC 6749 section 5.2."""
    reply = post(server.token_url, **form)
    assert (reply.status, reply.json["error"]) == (400, error)


def test_the_token_endpoint_takes_posts_only(server):
    """A GET would put the secret into logs."""
    reply = call(server.token_url)
    assert (reply.status, reply.headers["Allow"]) == (405, "POST")
    assert server.counts.token_requests == 0


def test_revoking_a_refresh_token_ends_the_grant(server):
    """RFC 7009: the access tokens go with it; an unknown token is no error; a stranger may not."""
    tokens = server.issue()
    assert post(f"{server.url}/revoke", token="unheard-of").status == 200
    assert post(f"{server.url}/revoke", token=tokens["refresh_token"], client_id="x").status == 401
    assert is_live(server, tokens)
    assert post(f"{server.url}/revoke", token=tokens["refresh_token"]).status == 200
    assert not is_live(server, tokens)
    assert refresh(server, tokens).json["error"] == "invalid_grant"
    assert (server.counts.revocations, server.counts.replays) == (1, 0)


def test_revoking_an_access_token_ends_that_token_alone(server):
    """The refresh token still works."""
    tokens = server.issue()
    post(f"{server.url}/revoke", token=tokens["access_token"])
    assert not is_live(server, tokens)
    assert refresh(server, tokens).status == 200


def test_introspection_tells_what_a_token_is_worth(make, clock):
    """RFC 7662: live tokens with their end, all others only as inactive."""
    server = make(refresh_lifetime=1000)

    def look(token):
        return post(f"{server.url}/introspect", token=token).json

    tokens = server.issue(scope="read")
    about = {"active": True, "client_id": "app", "scope": "read"}
    access = {"token_type": "Bearer", "exp": int(clock.now) + 100}
    assert look(tokens["access_token"]) == about | access
    assert look(tokens["refresh_token"]) == about | {"exp": int(clock.now) + 1000}
    refresh(server, tokens)
    assert look(tokens["refresh_token"]) == {"active": False}
    assert look("unheard-of") == {"active": False}
    clock.advance(LIFETIME)
    assert look(tokens["access_token"]) == {"active": False}
    assert post(f"{server.url}/introspect", token="x", client_id="y").status == 401


# --------------------------------------------------------------------------------------------------------- the API


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"])
def test_the_api_takes_any_method(server, method):
    """It tells what it got, on /api and below."""
    token = server.issue()["access_token"]
    seen = {"ok": True, "method": method, "bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
    for url in (server.api_url, f"{server.api_url}/items/1?page=2"):
        assert call(url, method, token=token, body=b"abc").json == seen


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_537, 3_000_000])
@pytest.mark.parametrize("style", ["length", "chunked", "expect"])
def test_the_api_hashes_the_whole_body(server, size, style):
    """By length, in chunks, and after 100 Continue; it keeps the first 64 KiB only."""
    body = os.urandom(size)
    sent = iter([body[: size // 3], body[size // 3 :]]) if style == "chunked" else body
    sent = filter(None, sent) if style == "chunked" else sent
    headers = {"Expect": "100-continue"} if style == "expect" else {}
    reply = call(
        server.api_url, "POST", token=server.issue()["access_token"], body=sent, headers=headers
    )
    assert (reply.json["bytes"], reply.json["sha256"]) == (size, hashlib.sha256(body).hexdigest())
    assert server.log[-1].request.body == body[:65_536]


def test_head_gets_no_body(server):
    """The connection stays in step."""
    where = urlsplit(server.url)
    headers = {"Authorization": f"Bearer {server.issue()['access_token']}"}
    connection = http.client.HTTPConnection(where.hostname, where.port, timeout=10)
    with contextlib.closing(connection):
        for method in ("HEAD", "GET", "HEAD", "POST", "GET"):
            connection.request(method, "/api", headers=headers)
            answer = connection.getresponse()
            assert answer.status == 200
            assert bool(answer.read()) is (method != "HEAD")
            local = connection.sock.getsockname()
            assert local == connection.sock.getsockname()  # kept alive: never reconnected
    assert server.counts.api_requests == 5


def test_a_refused_token_is_told_so(server):
    """RFC 6750 section 3: an error word for a bad token, none for no token."""
    assert call(server.api_url).headers["WWW-Authenticate"] == "Bearer"
    reply = call(server.api_url, token="at-unheard-of")
    assert reply.status == 401
    assert reply.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert (server.counts.api_requests, server.counts.api_unauthorized) == (2, 2)


@pytest.mark.parametrize("challenge", [None, 'bearer error="invalid_token"', "no scheme at all"])
def test_the_challenge_can_be_anything(server, challenge):
    """Also nothing, for servers that send no WWW-Authenticate."""
    server.challenge = challenge
    assert call(server.api_url, token="x").headers["WWW-Authenticate"] == challenge
    assert call(server.api_url).headers["WWW-Authenticate"] == (challenge and "Bearer")


def test_some_paths_refuse_in_other_ways(server):
    """403 for too little scope, and 401 whatever was sent."""
    token = server.issue()["access_token"]
    reply = call(f"{server.url}/forbidden", token=token)
    assert reply.status == 403
    assert reply.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope"'
    assert call(f"{server.url}/always401", token=token).status == 401
    assert call(f"{server.url}/forbidden").status == 401
    assert call(f"{server.url}/nowhere", token=token).status == 404
    assert (server.counts.api_requests, server.counts.api_unauthorized) == (3, 2)


def test_redirects_go_where_they_are_told(server):
    """Only with a live token."""
    url = f"{server.url}/redirect?" + urlencode({"to": "http://other.example/x?y=1", "status": 307})
    reply = call(url, token=server.issue()["access_token"])
    assert (reply.status, reply.headers["Location"]) == (307, "http://other.example/x?y=1")
    assert call(url).status == 401


def test_a_stream_goes_on_until_the_server_closes(make):
    """The first events arrive at once; closing ends it."""
    server = make()
    where = urlsplit(server.url)
    with contextlib.closing(http.client.HTTPConnection(where.hostname, where.port)) as connection:
        headers = {"Authorization": f"Bearer {server.issue()['access_token']}"}
        connection.request("GET", "/stream?interval=0.01", headers=headers)
        answer = connection.getresponse()
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert [answer.readline() for _ in range(4)] == [b"data: 0\n", b"\n", b"data: 1\n", b"\n"]
        server.close()
        with contextlib.suppress(http.client.IncompleteRead, ConnectionResetError):
            answer.read()


def test_the_log_keeps_what_arrived(server):
    """Headers and body whole: it is a test double."""
    tokens = server.issue()
    call(f"{server.api_url}?page=2", "PUT", token=tokens["access_token"], body=b"abc")
    refresh(server, tokens)
    first, second = server.log
    assert (first.request.method, first.request.target, first.status) == ("PUT", "/api?page=2", 200)
    assert first.request.authorization == f"Bearer {tokens['access_token']}"
    assert (first.request.path, first.request.query) == ("/api", {"page": "2"})
    assert second.request.form["refresh_token"] == tokens["refresh_token"]
    server.reset_counts()
    assert not server.log
    assert server.counts == type(server.counts)()


# ---------------------------------------------------------------------------------------------------- the switches


def test_expire_now_ends_access_tokens_only(server):
    """All grants at once; refresh tokens live on."""
    grants = [server.issue() for _ in range(3)]
    server.expire_now()
    assert not any(is_live(server, tokens) for tokens in grants)
    assert all(refresh(server, tokens).status == 200 for tokens in grants)


def test_revoke_now_ends_everything(server):
    """Access and refresh tokens of every grant; a grant made afterwards lives."""
    grants = [server.issue() for _ in range(3)]
    server.revoke_now()
    assert not any(is_live(server, tokens) for tokens in grants)
    assert {refresh(server, tokens).json["error"] for tokens in grants} == {"invalid_grant"}
    assert (server.counts.revocations, server.counts.replays) == (3, 0)
    assert is_live(server, server.issue())


def test_rules_can_be_changed_while_it_runs(server):
    """The book's attributes are read at each request."""
    server.book.access_lifetime = 0.5
    assert refresh(server, server.issue()).json["expires_in"] == 0.5


def test_hooks_see_the_moment_before_and_after_the_commit(server):
    """They may look at the server: no lock is held."""
    seen = []
    server.before_commit = lambda: seen.append(server.counts.refreshes)
    server.after_commit = lambda: seen.append(server.counts.refreshes)
    refresh(server, server.issue())
    assert seen == [0, 1]


@pytest.mark.parametrize("committed", [False, True], ids=["before the commit", "after it"])
def test_held_requests_wait_where_they_are_told(server, committed):
    """The answer does not come before the end of the block, or `release`."""
    tokens = server.issue()
    committing = threading.Event()
    server.after_commit = committing.set
    with ThreadPoolExecutor(1) as pool, server.hold(committed=committed):
        reply = pool.submit(refresh, server, tokens)
        server.arrived()
        if committed:
            assert committing.wait(10)
        assert not reply.done()
        assert server.counts.refreshes == int(committed)
        server.release()
        assert reply.result(10).status == 200


def test_arrived_gives_up(server):
    """It names how many came."""
    with pytest.raises(TimeoutError, match="0 of 2"):
        server.arrived(2, timeout=0.01)


# ------------------------------------------------------------------------------------------------------ the faults


def test_a_misspelt_fault_is_refused(server):
    """A test that switched on nothing would pass for nothing."""
    with pytest.raises(ValueError, match="there are slow, drop"):
        server.fail("explode")
    with pytest.raises(ValueError, match="array_error"):
        server.fail("shape", shape="round")
    with pytest.raises(ValueError, match="array_error"):
        server.fail("shape")
    with pytest.raises(ValueError, match="array_error"):
        server.fail("500", shape="bom")
    assert not server.faults


def test_faults_come_in_order_and_end(server):
    """Each for its number of requests; None lasts until it is cleared."""
    server.fail("503")
    server.fail("500", times=2)
    server.fail("502", times=None)
    tokens = server.issue()
    assert [refresh(server, tokens).status for _ in range(6)] == [503, 500, 500, 502, 502, 502]
    server.faults.clear()
    assert refresh(server, tokens).status == 200
    assert (server.counts.token_requests, server.counts.refreshes) == (7, 1)


@pytest.mark.parametrize(
    ("fault", "status", "content_type"),
    [
        ("429", 429, "application/json"),
        ("500", 500, "application/json"),
        ("502", 502, "text/html"),
        ("503", 503, "application/json"),
        ("html", 200, "text/html"),
        ("redirect", 307, "application/json"),
    ],
)
def test_a_sick_server_spends_nothing(server, fault, status, content_type):
    """The same refresh token works when it is well again - unless it was told to commit all the same."""
    tokens = server.issue()
    server.fail(fault, retry_after=7, to="http://other.example/token")
    server.fail(fault, retry_after="Wed, 21 Oct 2026 07:28:00 GMT", status=599, commit=True)
    reply = refresh(server, tokens)
    assert (reply.status, reply.headers["Content-Type"]) == (status, content_type)
    assert reply.headers["Retry-After"] == "7"
    if fault == "redirect":
        assert reply.headers["Location"] == "http://other.example/token"
    assert server.counts.refreshes == 0
    reply = refresh(server, tokens)
    assert (reply.status, reply.headers["Retry-After"][:3]) == (599, "Wed")
    assert server.counts.refreshes == 1


@pytest.mark.parametrize(("fault", "spent"), [("drop", 1), ("drop_before", 0), ("cut", 1)])
def test_a_lost_answer(server, fault, spent):
    """The connection ends early; whether the refresh token was spent is in the fault's name."""
    tokens = server.issue()
    server.fail(fault)
    with pytest.raises((http.client.RemoteDisconnected, http.client.IncompleteRead)) as caught:
        refresh(server, tokens)
    assert (caught.type is http.client.IncompleteRead) is (fault == "cut")
    assert server.counts.refreshes == spent
    assert server.log[-1].status == (200 if fault == "cut" else 0)


def test_a_slow_answer_is_committed_first(server):
    """The client's patience ends, the refresh token is spent."""
    server.fail("slow", seconds=60)
    committed = threading.Event()
    server.after_commit = committed.set
    with pytest.raises(TimeoutError):
        refresh(server, server.issue(), timeout=0.1)
    assert committed.wait(10)
    assert server.counts.refreshes == 1


def test_latency_delays_without_spoiling(make):
    """Token and API requests both; closing does not wait for it."""
    server = make(token_latency=0.02, api_latency=0.02)
    assert is_live(server, refresh(server, server.issue()).json)
    server.api_latency = 60
    with pytest.raises(TimeoutError):
        call(server.api_url, timeout=0.1)


@pytest.mark.parametrize("fault", ["trickle", "trickle_headers"])
def test_a_trickle_arrives_in_the_end(server, fault):
    """Each byte is in time for a timeout per read."""
    server.fail(fault, seconds=0.001)
    reply = refresh(server, server.issue())
    assert is_live(server, reply.json)


def test_a_trickle_ends_with_the_server(make):
    """Nobody has to wait for it."""
    server = make()
    server.fail("trickle", seconds=60)
    with pytest.raises(TimeoutError):
        refresh(server, server.issue(), timeout=0.1)
    server.close()


@pytest.mark.parametrize("commit", [False, True])
def test_a_huge_answer_is_huge(server, commit):
    """Valid JSON, with tokens in it only when they were given."""
    server.fail("huge", size=2, commit=commit)
    reply = refresh(server, server.issue())
    assert len(reply.body) > 2 * 2**20
    assert ("access_token" in reply.json) is commit
    assert server.counts.refreshes == commit


def test_a_gzip_bomb_is_small_on_the_wire(server):
    """A thousandth of what it unpacks to."""
    server.fail("gzip_bomb", size=8, commit=True)
    reply = refresh(server, server.issue())
    assert reply.headers["Content-Encoding"] == "gzip"
    assert len(reply.body) < 16_384
    unpacked = zlib.decompress(reply.body, zlib.MAX_WBITS | 16)
    assert len(unpacked) > 8 * 2**20
    assert is_live(server, json.loads(unpacked))


ERRORS = {
    "array_error": (400, b'{"error": ["invalid_grant"]}'),
    "empty_error": (400, b""),
    "error_in_200": (200, b'"error": "invalid_grant"'),
    "error_object": (400, b'{"error": {"code": "invalid_grant", "message": '),
    "invalid_grant_401": (401, b'"error": "invalid_grant"'),
}


@pytest.mark.parametrize("shape", ERRORS)
def test_error_shapes_spend_nothing(server, shape):
    """Switched on, they come for a live grant as well; a real refusal takes the same shape."""
    status, part = ERRORS[shape]
    tokens = server.issue()
    server.fail("shape", shape=shape, times=2)
    for dead in (False, True):
        reply = refresh(server, {"refresh_token": "rt-unheard-of"} if dead else tokens)
        assert reply.status == status
        assert part in reply.body
    assert refresh(server, tokens).status == 200


def test_an_error_shape_can_carry_another_error(server):
    """And can spend the token all the same: a failed refresh that consumes it."""
    server.fail("shape", shape="error_in_200", error="server_error", commit=True)
    assert refresh(server, server.issue()).json["error"] == "server_error"
    assert server.counts.refreshes == 1


def test_a_dead_token_may_be_an_invalid_request(server):
    """Only its refusal changes; a live token is refreshed."""
    server.fail("shape", shape="invalid_request_for_dead", times=None)
    assert refresh(server, {"refresh_token": "rt-unheard-of"}).json["error"] == "invalid_request"
    assert refresh(server, server.issue()).status == 200


@pytest.mark.parametrize("shape", ["no_refresh_token", "empty_refresh_token", "same_refresh_token"])
def test_without_a_new_refresh_token_the_old_one_lives_on(server, shape):
    """It is not rotated, and can be spent later."""
    tokens = server.issue()
    server.fail("shape", shape=shape)
    new = refresh(server, tokens).json
    expected = {"empty_refresh_token": "", "same_refresh_token": tokens["refresh_token"]}
    assert new.get("refresh_token") == expected.get(shape)
    assert is_live(server, new)
    assert refresh(server, tokens).json["refresh_token"] != tokens["refresh_token"]


FIELDS = {
    "expires_in_missing": lambda new: "expires_in" not in new,
    "expires_in_negative": lambda new: new["expires_in"] == -1,
    "expires_in_null": lambda new: new["expires_in"] is None,
    "expires_in_string": lambda new: new["expires_in"] == "100",
    "expires_in_words": lambda new: new["expires_in"] == "in an hour",
    "no_access_token": lambda new: "access_token" not in new,
    "no_token_type": lambda new: "token_type" not in new,
    "json_array": lambda new: isinstance(new, list),
    "simplejwt": lambda new: new.keys() == {"access", "refresh"},
}


@pytest.mark.parametrize("shape", FIELDS)
def test_odd_fields(server, shape):
    """Committed, with one thing odd; an error goes through unharmed."""
    server.fail("shape", shape=shape, times=2)
    assert FIELDS[shape](refresh(server, server.issue()).json)
    assert server.counts.refreshes == 1
    assert "invalid_grant" in refresh(server, {"refresh_token": "x"}).body.decode()


WRITINGS = {
    "bom": lambda body: body.startswith(b"\xef\xbb\xbf{"),
    "form_encoded": lambda body: body.startswith(b"access_token=at-"),
    "latin1": lambda body: b"Zo\xeb" in body,
    "not_json": lambda body: body.startswith(b"OK access_token=at-"),
}


@pytest.mark.parametrize("shape", WRITINGS)
def test_odd_writings(server, shape):
    """Committed, and written in another way."""
    server.fail("shape", shape=shape)
    assert WRITINGS[shape](refresh(server, server.issue()).body)
    assert server.counts.refreshes == 1


def test_every_shape_is_tested_here():
    """A new shape needs a line in one of the tables above."""
    others = {"no_refresh_token", "empty_refresh_token", "same_refresh_token"}
    others |= {"invalid_request_for_dead"}
    assert set(SHAPES) == ERRORS.keys() | FIELDS.keys() | WRITINGS.keys() | others
    assert "shape" in FaultName.__args__


# --------------------------------------------------------------------------------------------------------- its life


def threads():
    """The server's threads that are alive."""
    return [each for each in threading.enumerate() if each.name.startswith("oauth-")]


def test_nothing_is_left_after_closing():
    """No thread and no socket, whatever clients still hold open."""
    with AuthorizationServer() as server, contextlib.ExitStack() as stack:
        where = ("127.0.0.1", urlsplit(server.url).port)
        idle = stack.enter_context(socket.create_connection(where))
        half = stack.enter_context(socket.create_connection(where))
        half.sendall(b"POST /token HTTP/1.1\r\nContent-Length: 10\r\n\r\n123")
        assert is_live(server, server.issue())
        server.close()
        assert idle.recv(1) == b""
        assert half.recv(1) == b""
        assert threads() == []
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(where)
        server.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_keeps_nothing_open():
    """Its copies of the sockets neither keep clients connected nor the port taken."""
    reader, writer = os.pipe()
    with AuthorizationServer() as server:
        where = ("127.0.0.1", urlsplit(server.url).port)
        with socket.create_connection(where, 10) as idle:
            assert is_live(server, server.issue())
            child = os.fork()
            if child == 0:
                os.close(writer)
                os.read(reader, 1)
                os._exit(0)
            try:
                server.close()
                assert idle.recv(1) == b""
                with pytest.raises(ConnectionRefusedError):
                    socket.create_connection(where)
                server.start()
                assert is_live(server, server.issue())
            finally:
                os.close(writer)
                os.close(reader)
                assert os.waitpid(child, 0)[1] == 0


def test_it_can_be_down_for_a_while():
    """After a close it starts on the same port, and the grants are still in the book."""
    with AuthorizationServer() as server:
        url, tokens = server.url, server.issue()
        server.close()
        with pytest.raises(ConnectionRefusedError):
            refresh(server, tokens)
        server.start()
        assert server.url == url
        assert refresh(server, tokens).status == 200


def test_misuse_is_told():
    """No URL before the start, no second start, no taken port."""
    server = AuthorizationServer()
    with pytest.raises(RuntimeError, match="start the server"):
        _ = server.url
    with server, pytest.raises(RuntimeError, match="listens already"):
        server.start()
    with server, pytest.raises(OSError, match="in use"):
        AuthorizationServer().start(urlsplit(server.url).port)


def test_closing_lets_held_requests_go(make):
    """A test that failed inside `hold` must not hang in its teardown."""
    server = make()
    server.gate.shut("before")
    with ThreadPoolExecutor(1) as pool:
        racer = pool.submit(refresh, server, server.issue())
        server.arrived()
        server.close()
        racer.exception(10)  # answered or cut off: whoever was faster
    assert threads() == []


def test_a_hook_that_never_returns_is_named(make):
    """close() says what it waits for, instead of hanging."""
    server = make()
    stuck = threading.Event()
    server.before_commit = lambda: stuck.wait(30)
    with ThreadPoolExecutor(1) as pool:
        racer = pool.submit(refresh, server, server.issue())
        server.arrived()
        with pytest.raises(RuntimeError, match="hook"):
            server.close(timeout=0.05)
        stuck.set()
        assert racer.exception(10)


@pytest.mark.parametrize(
    "noise",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01" + b"x" * 70_000,
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ],
    ids=["not http", "too long", "no number"],
)
def test_noise_is_hung_up_on(server, noise):
    """And the next client is served."""
    where = ("127.0.0.1", urlsplit(server.url).port)
    with socket.create_connection(where, 10) as client, contextlib.suppress(ConnectionError):
        client.sendall(noise)
        assert client.recv(1) == b""
    assert is_live(server, server.issue())


def test_many_connections_at_once(server):
    """Two hundred clients are connected and each is answered."""
    token = server.issue()["access_token"]
    request = f"GET /api HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    where = ("127.0.0.1", urlsplit(server.url).port)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(where, 10)) for _ in range(200)]
        for _ in range(2):
            for client in clients:
                client.sendall(request)
            assert all(client.recv(4096).startswith(b"HTTP/1.1 200 ") for client in clients)
    assert server.counts.api_requests == 400


# --------------------------------------------------------------------------------------------- from other processes


def control(server, switch, **arguments):
    """Throw a switch by HTTP."""
    return call(f"{server.url}/_control/{switch}", "POST", body=json.dumps(arguments))


def test_every_switch_by_http(server):
    """The same switches, with the same effect."""
    tokens = control(server, "issue", scope="read").json
    assert is_live(server, tokens)
    control(server, "expire")
    assert not is_live(server, tokens)
    control(server, "fail", fault="503", retry_after=3)
    assert refresh(server, tokens).headers["Retry-After"] == "3"
    control(server, "fail", fault="503", times=None)
    control(server, "heal")
    control(server, "set", access_lifetime=5, challenge=None)
    assert refresh(server, tokens).json["expires_in"] == 5
    assert "WWW-Authenticate" not in call(server.api_url).headers
    assert control(server, "log").json[-1]["target"] == "/api"
    assert control(server, "counts").json["refreshes"] == 1
    assert call(f"{server.url}/_control/counts").json["token_requests"] == 2
    control(server, "reset")
    assert set(control(server, "counts").json.values()) == {0}
    control(server, "revoke")
    assert server.counts.revocations == 1


def test_holding_by_http(server):
    """A race can be forced from another process."""
    tokens = server.issue()
    control(server, "hold", committed=True)
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(refresh, server, tokens)
        assert control(server, "arrived", count=1).status == 200
        assert not reply.done()
        control(server, "release")
        assert reply.result(10).status == 200
    assert control(server, "arrived", count=1, timeout=0.01).status == 400


def test_a_wrong_switch_says_what_there_is(server):
    """404 with the names; 400 with the reason."""
    assert "expire" in control(server, "explode").json["switches"]
    assert "explode" in control(server, "fail", fault="explode").json["error"]
    assert control(server, "issue", colour="red").status == 400
    assert "acess_lifetime" in control(server, "set", acess_lifetime=1).json["error"]


def test_it_runs_in_the_foreground():
    """`python -m tokenlatch.testing` says when it is ready, with a grant to seed from, and ends at SIGTERM."""
    command = [sys.executable, "-m", "tokenlatch.testing", "--access-lifetime", "7", "--no-rotate"]
    with subprocess.Popen(
        [*command, "--client", "phone", "--scope", "read"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            word, _, ready = process.stdout.readline().partition(" ")
            assert word == "READY"
            ready = json.loads(ready)
            seed = ready["seed"]
            assert (seed["expires_in"], seed["scope"]) == (7, "read")
            assert (ready["client_id"], ready["client_secret"]) == ("phone", None)
            assert call(ready["api_url"], token=seed["access_token"]).status == 200
            form = {"grant_type": "refresh_token", "refresh_token": seed["refresh_token"]}
            new = post(ready["token_url"], client_id="phone", **form).json
            assert new["refresh_token"] == seed["refresh_token"]
            assert call(ready["control_url"] + "counts").json["refreshes"] == 1
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0


def test_the_fixture(oauth_server):
    """The plugin gives each test a server of its own."""
    assert is_live(oauth_server, oauth_server.issue())
    assert oauth_server.counts.api_requests == 1


def test_the_plugin_is_light():
    """Every pytest run of every project imports it: no HTTP client, and not even the server."""
    script = (
        "import sys, tokenlatch.testing.plugin;"
        "print(*sys.modules.keys() & {'requests', 'httpx', 'httpx2', 'tokenlatch.testing._server'})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.strip() == b""


def test_it_is_an_independent_witness():
    """The double works where the rest of tokenlatch does not exist."""
    script = (
        "import sys, types, pathlib, importlib.util as u\n"
        "package = types.ModuleType('tokenlatch')\n"
        "package.__path__ = u.find_spec('tokenlatch').submodule_search_locations\n"
        "sys.modules['tokenlatch'] = package\n"
        "from tokenlatch.testing import AuthorizationServer\n"
        "AuthorizationServer().start().close()\n"
        "ours = [m for m in sys.modules if m.startswith('tokenlatch.')]\n"
        "print(*[m for m in ours if not m.startswith('tokenlatch.testing')])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.strip() == b""
