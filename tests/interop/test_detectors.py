"""The servers do what the other tests rely on; seen with plain requests, without tokenlatch."""

import time

import pytest
import requests

from tests.interop.real_servers import DJANGO, OIDC_PROVIDER

pytestmark = pytest.mark.interop
both_servers = pytest.fixture(
    scope="module", params=[OIDC_PROVIDER, DJANGO], ids=lambda kind: kind.name
)


@both_servers
def server(serve, request):
    return serve(request.param, ACCESS_TOKEN_SECONDS=60)


@both_servers
def hasty_server(serve, request):
    return serve(request.param, ACCESS_TOKEN_SECONDS=3)


@pytest.fixture(scope="module")
def forgiving_django(serve):
    return serve(DJANGO, ACCESS_TOKEN_SECONDS=60, GRACE=10)


def test_a_replayed_refresh_token_kills_the_grant(server):
    """One refresh token spent twice: every token of the grant is dead, also the newest."""
    first = server.new_grant()
    second = server.refresh(first["refresh_token"]).json()
    assert server.api_status(second["access_token"]) == 200

    assert server.refresh(first["refresh_token"]).json()["error"] == "invalid_grant"

    assert server.api_status(second["access_token"]) == 401
    assert server.refresh(second["refresh_token"]).json()["error"] == "invalid_grant"


def test_an_access_token_lives_no_longer_than_it_says(hasty_server):
    """Nothing is lenient about expiry, so a client that trusts a dead token is found out."""
    asked_at, grant = time.monotonic(), hasty_server.new_grant()
    while hasty_server.api_status(grant["access_token"]) == 200 and time.monotonic() < asked_at + 6:
        time.sleep(0.05)  # polled: the moment of expiry is the server's
    assert grant["expires_in"] == 3
    # oidc-provider rounds the start down to a whole second: 2 to 3 s
    assert 1.9 < time.monotonic() - asked_at < 4


def test_only_django_kills_the_old_access_token_at_a_refresh(server):
    """What other processes meet after one of them refreshed: on django a 401."""
    first = server.new_grant()
    server.refresh(first["refresh_token"]).raise_for_status()
    assert server.api_status(first["access_token"]) == (401 if server.kind is DJANGO else 200)


def test_the_proxy_sees_a_replay(server, proxy):
    """The second detector, for servers whose own count nobody can read."""
    spent = server.new_grant()["refresh_token"]
    form = {"grant_type": "refresh_token", "refresh_token": spent}
    client = (server.client_id, server.client_secret)
    answers = [requests.post(proxy.url, data=form, auth=client, timeout=10) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 400]
    assert (len(proxy.calls), proxy.replays) == (2, 1)


def test_django_repeats_its_answer_within_the_grace_period(forgiving_django):
    """The same refresh token gives the same new tokens again."""
    spent = forgiving_django.new_grant()["refresh_token"]
    first, second = (forgiving_django.refresh(spent).json() for _ in range(2))
    assert first["refresh_token"] == second["refresh_token"]
    assert forgiving_django.api_status(second["access_token"]) == 200
