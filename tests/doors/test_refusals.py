"""A 401: look at the store first, refresh once, send again once; and whatever is not about the token is left alone."""

import gzip

import pytest

from tests.doors.conftest import Door, refusing, sent_to, statuses
from tokenlatch import FileStore, MemoryStore
from tokenlatch.errors import ProviderError, ReauthorizationRequired
from tokenlatch.testing._http import Response


def bearer(tokens):
    """The header for these tokens."""
    return f"Bearer {tokens.access_token}"


def test_a_valid_token_is_attached(door, server, source):
    """The request carries it; nobody asks the provider."""
    answer = door.send(door.auth(source, server.url), "GET", server.api_url)
    assert answer.status_code == 200
    assert sent_to(server) == [bearer(source.token())]
    assert server.counts.token_requests == 0


def test_an_expired_token_is_refreshed_before_it_is_sent(door, server, source, clock):
    """The API sees no 401."""
    clock.advance(95)
    assert door.send(door.auth(source, server.url), "GET", server.api_url).status_code == 200
    assert (server.counts.refreshes, server.counts.api_unauthorized) == (1, 0)


def test_a_refusal_refreshes_once_and_sends_again(door, server, source):
    """The token died early: one 401, one refresh, one more request, and the caller sees 200."""
    old = bearer(source.token())
    server.expire_now()
    answer = door.send(door.auth(source, server.url), "GET", server.api_url)
    assert answer.status_code == 200
    assert sent_to(server, "/api") == [old, bearer(source.token())]
    assert [each.status_code for each in answer.history] == [401]
    assert (server.counts.refreshes, server.counts.replays) == (1, 0)


def test_a_refusal_adopts_what_another_worker_has_refreshed(door, server, make):
    """Servers that kill the old token at a refresh: one 401, a look at the store, no second refresh."""
    server.book.kill_old_access = True
    store = MemoryStore()
    ours = make(store=store)
    other = make(ours._view.grant, store=store)
    old = ours.token()
    other.refresh()
    answer = door.send(door.auth(ours, server.url), "GET", server.api_url)
    assert answer.status_code == 200
    assert sent_to(server, "/api") == [bearer(old), bearer(other.token())]
    assert (server.counts.refreshes, server.counts.replays) == (1, 0)


def test_an_api_that_refuses_everything_costs_one_refresh_in_30_seconds(
    door, server, source, clock
):
    """One refresh and one more try; then its 401 is the caller's, until half a minute has passed."""
    auth, url = door.auth(source, server.url), f"{server.url}/always401"
    calls = [("GET", url, {})] * 3
    assert [each.status_code for each in door.send_all(auth, calls)] == [401] * 3
    assert (server.counts.refreshes, server.counts.api_requests) == (1, 4)
    clock.advance(29.9)
    door.send(auth, "GET", url)
    assert (server.counts.refreshes, server.counts.api_requests) == (1, 5)
    clock.advance(0.1)
    door.send(auth, "GET", url)
    assert (server.counts.refreshes, server.counts.api_requests) == (2, 7)


def test_a_token_that_was_accepted_once_is_refreshed_however_young(door, server, source):
    """Four tokens die within one instant, each after one good answer: each is worth a refresh."""
    auth = door.auth(source, server.url)
    for _ in range(4):
        server.expire_now()
        assert door.send(auth, "GET", server.api_url).status_code == 200
    assert (server.counts.refreshes, server.counts.api_unauthorized) == (4, 4)


@pytest.mark.parametrize("status", [204, 302, 404, 500])
def test_any_answer_but_401_proves_a_token(sync_door, server, source, route, status):
    """An API that says 404 has taken the token."""
    url = route("/other", refusing(server, answer=Response(status, {"Location": "/x"})))
    auth = sync_door.auth(source, server.url)
    for _ in range(3):
        server.expire_now()
        assert sync_door.send(auth, "GET", url).status_code == status
    assert server.counts.refreshes == 3


@pytest.mark.parametrize(
    ("challenge", "refreshes"),
    [
        pytest.param('Bearer error="invalid_token"', 1, id="invalid_token"),
        pytest.param("Bearer error=invalid_token", 1, id="without quotes"),
        pytest.param('bearer ERROR="invalid_token"', 1, id="another case"),
        pytest.param('error="invalid_token"', 1, id="no scheme"),
        pytest.param('Bearer realm="x, error=y", error="invalid_token"', 1, id="a comma in quotes"),
        pytest.param('Basic realm="a", Bearer error="invalid_token"', 1, id="two challenges"),
        pytest.param(None, 1, id="no header"),
        pytest.param("Bearer", 1, id="no parameters"),
        pytest.param("", 1, id="empty"),
        pytest.param('Bearer error="insufficient_scope", scope="admin"', 0, id="scope"),
        pytest.param('Bearer error="invalid_request"', 0, id="request"),
        pytest.param('DPoP error="use_dpop_nonce"', 0, id="another scheme's nonce"),
    ],
)
def test_what_a_challenge_says(sync_door, server, source, challenge, refreshes):
    """Only a token that is said to be bad, or a 401 that says nothing, is refreshed."""
    server.challenge = challenge
    server.expire_now()
    answer = sync_door.send(sync_door.auth(source, server.url), "GET", server.api_url)
    assert answer.status_code == (200 if refreshes else 401)
    assert server.counts.refreshes == refreshes


def test_a_lack_of_scope_is_not_cured_by_a_refresh(door, server, source):
    """403 goes to the caller."""
    answer = door.send(door.auth(source, server.url), "GET", f"{server.url}/forbidden")
    assert answer.status_code == 403
    assert (server.counts.token_requests, server.counts.api_requests) == (0, 1)


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(Response(401), id="empty"),
        pytest.param(Response(401, {"Content-Type": "text/html"}, b"<h1>No</h1>"), id="html"),
        pytest.param(Response(401, {"Content-Encoding": "gzip"}, gzip.compress(b"no")), id="gzip"),
        pytest.param(Response(401, {"Content-Type": "text/plain"}, b"no" * 50_000), id="100 kB"),
    ],
)
def test_any_body_of_a_refusal_is_read_and_released(door, server, source, route, refusal):
    """Whatever the 401 brings, the next request goes out."""
    url = route("/odd", refusing(server, refusal))
    server.expire_now()
    assert door.send(door.auth(source, server.url), "GET", url).status_code == 200
    assert statuses(server, "/odd") == [401, 200]


def test_a_chunked_refusal_is_released(door, server, source, route):
    """Its length is unknown."""

    def refuse(request):
        return refusing(server, Response(401, {}, iter([b"n", b"o"])))(request)

    url = route("/odd", refuse)
    server.expire_now()
    assert door.send(door.auth(source, server.url), "GET", url).status_code == 200


def test_a_refused_head_request(door, server, source):
    """It has a length but no body."""
    server.expire_now()
    answer = door.send(door.auth(source, server.url), "HEAD", server.api_url)
    assert answer.status_code == 200
    assert server.counts.refreshes == 1


def test_a_dead_grant_is_an_error_not_a_401(door, server, source):
    """The person must log in again; the second call fails without asking anybody."""
    auth = door.auth(source, server.url)
    server.revoke_now()
    for _ in range(2):
        with pytest.raises(ReauthorizationRequired):
            door.send(auth, "GET", server.api_url)
    assert server.counts.token_requests == 1


def test_a_sick_provider_is_an_error_for_a_refused_token(door, server, source):
    """All callers hear when to come back, and nobody asks again before."""
    auth = door.auth(source, server.url)
    server.expire_now()
    server.fail("503", retry_after=7)
    for _ in range(3):
        with pytest.raises(ProviderError) as caught:
            door.send(auth, "GET", server.api_url)
        assert caught.value.retry_after == pytest.approx(7)
    assert server.counts.token_requests == 1


def test_a_refusal_after_the_retry_is_the_callers(door, server, source, route):
    """There is one retry, whatever the second answer is."""
    url = route("/no", Response(401, {"WWW-Authenticate": "Bearer"}))
    assert door.send(door.auth(source, server.url), "GET", url).status_code == 401
    assert statuses(server, "/no") == [401, 401]


def test_a_refusal_with_a_broken_body_is_still_answered(server, source, route):
    """In requests; httpx insists on reading the body, and fails."""
    broken = Response(401, {"Content-Encoding": "gzip"}, b"this is no gzip")
    url = route("/odd", refusing(server, broken))
    server.expire_now()
    door = Door("requests", "sync")
    assert door.send(door.auth(source, server.url), "GET", url).status_code == 200


def test_another_workers_refresh_is_noticed_before_the_next_request(door, server, make, tmp_path):
    """Over a file, servers that kill the old token at a refresh cost not even one 401."""
    server.book.kill_old_access = True
    ours = make(store=FileStore(tmp_path / "token"))
    other = make(ours._view.grant, store=FileStore(tmp_path / "token"))
    auth = door.auth(ours, server.url)
    for _ in range(3):
        other.refresh()
        assert door.send(auth, "GET", server.api_url).status_code == 200
    assert (server.counts.refreshes, server.counts.api_unauthorized) == (3, 0)
