"""Sina Cloud as a new user meets it: login, calls, refresh, refusals."""

import dataclasses

import pytest

from tests.doors.platforms import CLIENTS, Clock, visit
from tokenlatch import AuthorizationCode, TokenSource, errors
from tokenlatch.providers import SINA_CLOUD
from tokenlatch.testing import SinaCloudServer

DAY = 86400.0


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def sina(clock):
    with SinaCloudServer(clock) as server:
        yield server


@pytest.fixture
def login(sina):
    page = dataclasses.replace(SINA_CLOUD.authorize, url=sina.authorize_url)
    provider = dataclasses.replace(SINA_CLOUD, token_url=sina.token_url, authorize=page)
    return AuthorizationCode(provider, client_id="CLIENT_ID", client_secret="CLIENT_SECRET")


@pytest.fixture
def source(login, clock):
    with TokenSource(login, clock=clock) as source:
        pending = login.begin()
        source.redeem(visit(pending.url), pending)
        yield source


def test_login_brings_a_week_and_a_day(source, sina, clock):
    """Lines 33-67 and 75: 604800 s, scope null, the refresh token one day longer; four fields are sent."""
    tokens = source.token()
    assert tokens.expires_at == clock.at + 7 * DAY
    assert tokens.refresh_expires_at == clock.at + 8 * DAY
    assert tokens.scope is None
    assert set(sina.requests[-1].form) == {"code", "client_id", "client_secret", "grant_type"}


def test_each_refresh_token_works_once(source, sina, clock):
    """Line 109: the next one is in the answer, with a deadline of its own."""
    first = source.token()
    clock.at += 7 * DAY
    second = source.token()
    assert second.refresh_token != first.refresh_token
    assert second.refresh_expires_at == clock.at + 8 * DAY
    assert set(sina.requests[-1].form) == {
        "refresh_token",
        "client_id",
        "client_secret",
        "grant_type",
    }
    clock.at += 7 * DAY
    assert source.token().access_token != second.access_token


@pytest.mark.parametrize(
    ("late", "works"), [(-1.0, True), (0.0, False)], ids=["just before", "a day after expiry"]
)
def test_the_day_after_expiry_still_refreshes(source, clock, late, works):
    """Line 75: within one day after the access token's end; then a person has to log in."""
    clock.at += 8 * DAY + late
    if works:
        assert source.token()
    else:
        with pytest.raises(errors.ReauthorizationRequired, match="deadline"):
            source.token()


def test_the_grant_is_refreshed_a_day_before_its_end(source, clock):
    """Line 71: "when it is about to expire"; a day leaves time to repair what went wrong."""
    old = source.token()
    clock.at += 6 * DAY - 10
    assert source.token() == old
    clock.at += 0.5 * DAY
    source.token()
    source.close()  # waits for the refresh in the background
    assert source.token().access_token != old.access_token


def test_without_the_right_to_refresh_the_token_stays_in_use(source, sina, clock):
    """Lines 5, 71 and 113-118: unauthorized_client is permanent for the app, and no reason to stop."""
    sina.may_refresh = False
    old = source.token()
    with pytest.raises(errors.ReauthorizationRequired, match="does not let this client refresh"):
        source.refresh()
    asked = len(sina.requests)
    clock.at += 7 * DAY - 3600
    assert source.token() == old
    clock.at += 3600
    with pytest.raises(errors.ReauthorizationRequired, match="unauthorized_client"):
        source.token()
    assert len(sina.requests) == asked, "it is not asked again"


def test_a_stranger_is_told(login, sina, clock):
    """Line 23: only the creator may authorize; the page says so and nothing comes back."""
    sina.is_creator = False
    source, pending = TokenSource(login, clock=clock), login.begin()
    page = visit(pending.url)
    assert page == "This API can only be invoked by the creator."
    with pytest.raises(errors.ReauthorizationRequired, match="neither code nor error"):
        source.redeem(page, pending)


@CLIENTS
def test_calls_carry_a_bearer_header(source, sina, make):
    """Inferred: RFC 6750; a refused token is replaced, and the call repeated once."""
    with make(source, sina.url) as client:
        assert client.get(f"{sina.url}/api").json() == {"ok": True}
        sina.expire_access()
        assert client.get(f"{sina.url}/api").json() == {"ok": True}
