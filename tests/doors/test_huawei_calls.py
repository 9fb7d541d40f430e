"""Huawei ID as a new user meets it: login, calls, refresh, refusals, over each client library."""

import dataclasses

import pytest

from tests.doors.platforms import CLIENTS, Clock, visit
from tokenlatch import AuthorizationCode, ClientCredentials, TokenSource, errors
from tokenlatch.providers import HUAWEI, Attach
from tokenlatch.testing import HuaweiServer

CALLBACK = "https://www.thirdwebdemo.com/redirect_url"
DAY = 86400.0


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def huawei(clock):
    with HuaweiServer(clock) as server:
        yield server


@pytest.fixture
def provider(huawei):
    page = dataclasses.replace(HUAWEI.authorize, url=huawei.authorize_url)
    return dataclasses.replace(
        HUAWEI, token_url=huawei.token_url, revoke_url=huawei.revoke_url, authorize=page
    )


@pytest.fixture
def login(provider):
    return AuthorizationCode(
        provider,
        client_id="107408391",
        client_secret="caa9b93ef209",
        redirect_uri=CALLBACK,
        scope="openid profile",
    )


@pytest.fixture
def source(login, clock):
    with TokenSource(login, clock=clock) as source:
        pending = login.begin()
        source.redeem(visit(pending.url), pending)
        yield source


def test_login_brings_both_tokens(source, clock):
    """Lines 19-107: consent, code, exchange; the code with + / = arrives whole; half a year from consent."""
    tokens = source.token()
    assert tokens.refresh_token
    assert tokens.expires_at == clock.at + 3600
    assert tokens.refresh_expires_at == clock.at + 180 * DAY
    assert tokens.scope == "openid profile"
    assert "id_token" in tokens.extra


def test_a_refresh_keeps_refresh_token_and_deadline(source, clock):
    """The answer to a refresh has no refresh token: the old one and its deadline stay."""
    first = source.token()
    clock.at += 3600
    second = source.token()
    assert second.access_token != first.access_token
    assert second.refresh_token == first.refresh_token
    assert second.refresh_expires_at == first.refresh_expires_at


def test_the_grant_ends_180_days_after_consent(source, clock):
    """However often it is refreshed."""
    consent = clock.at
    for day in range(0, 180, 20):
        clock.at = consent + day * DAY
        source.token()
    clock.at = consent + 180 * DAY - 1
    assert source.refresh()
    clock.at = consent + 180 * DAY + 3600
    with pytest.raises(errors.ReauthorizationRequired, match="deadline"):
        source.token()


@pytest.mark.parametrize("pkce", [False, True])
def test_pkce_is_offered(provider, clock, pkce):
    """JustAuth sends it; the seed does not."""
    login = AuthorizationCode(
        provider,
        client_id="107408391",
        client_secret="caa9b93ef209",
        redirect_uri=CALLBACK,
        pkce=pkce,
    )
    source, pending = TokenSource(login, clock=clock), login.begin()
    assert ("code_challenge_method=S256" in pending.url) == pkce
    assert source.redeem(visit(pending.url), pending).refresh_token


def test_a_code_works_once(login, clock):
    """Line 63: used up after one exchange; the error says what to do."""
    source, pending = TokenSource(login, clock=clock), login.begin()
    back = visit(pending.url)
    source.redeem(back, pending)
    with pytest.raises(errors.ReauthorizationRequired, match=r"1101/20156.*log in again"):
        source.redeem(back, pending)
    assert source.token(), "the first login is not lost by the second try"


def test_a_code_ends_after_five_minutes(login, clock):
    """Line 63."""
    source, pending = TokenSource(login, clock=clock), login.begin()
    back = visit(pending.url)
    clock.at += 300
    with pytest.raises(errors.ReauthorizationRequired, match="1101/20155"):
        source.redeem(back, pending)


def test_a_refused_login(huawei, login, clock):
    """Line 56: error 1107 behind a #."""
    huawei.consents = False
    source, pending = TokenSource(login, clock=clock), login.begin()
    with pytest.raises(errors.ReauthorizationRequired, match="1107: access denied") as refused:
        source.redeem(visit(pending.url), pending)
    assert refused.value.error == "1107"


def test_without_offline_there_is_no_refresh_token(provider, clock):
    """Line 23: access_type=offline is what asks for it."""
    page = dataclasses.replace(provider.authorize, extra={})
    login = AuthorizationCode(
        dataclasses.replace(provider, authorize=page),
        client_id="107408391",
        client_secret="caa9b93ef209",
        redirect_uri=CALLBACK,
    )
    source, pending = TokenSource(login, clock=clock), login.begin()
    assert source.redeem(visit(pending.url), pending).refresh_token is None


def test_an_app_gets_its_own_token(provider, clock):
    """Lines 109-123: client credentials, no refresh token."""
    grant = ClientCredentials(provider, client_id="107408391", client_secret="caa9b93ef209")
    tokens = TokenSource(grant, clock=clock).token()
    assert tokens.refresh_token is None
    assert tokens.expires_at == clock.at + 3600


def test_a_wrong_secret_is_for_the_developer(provider, clock):
    """1101/12304: nobody has to log in again for that."""
    grant = ClientCredentials(provider, client_id="107408391", client_secret="wrong")
    with pytest.raises(errors.ConfigurationError, match="1101/12304: invalid client_secret"):
        TokenSource(grant, clock=clock).token()


def test_a_revoked_grant_needs_a_login(huawei, source, clock):
    """1203/31204: password changed, consent withdrawn."""
    huawei.revoke_all()
    clock.at += 3600
    with pytest.raises(errors.ReauthorizationRequired, match="1203/31204"):
        source.token()


@CLIENTS
def test_new_apis_take_the_header_and_say_401(huawei, source, make):
    """A refused token is replaced, and the call repeated once."""
    with make(source, huawei.url) as client:
        assert client.get(f"{huawei.url}/v1/profile").json() == {"ok": True}
        huawei.expire_access()
        assert client.get(f"{huawei.url}/v1/profile").json() == {"ok": True}


@CLIENTS
def test_old_apis_take_a_form_field_and_say_no_in_a_header(huawei, source, make):
    """rest.php answers 200 in any case: NSP_STATUS 6 is what tells."""
    with make(source, huawei.url, attach=Attach("form", "access_token")) as client:
        call = {"nsp_svc": "GOpen.User.getInfo", "text": "ä & b"}
        first = client.post(f"{huawei.url}/rest.php", data=call)
        huawei.expire_access()
        second = client.post(f"{huawei.url}/rest.php", data=call)
    assert first.json() == second.json() == {"displayName": "demo"}
    *_, last = huawei.requests
    assert last.form["nsp_svc"] == "GOpen.User.getInfo"
    assert last.form["text"] == "ä & b"
    assert last.form["access_token"] == source.token().access_token
    assert "authorization" not in last.headers


@CLIENTS
def test_a_revoked_token_is_seen_in_the_header(huawei, source, make):
    """NSP_STATUS 31204: the refresh is refused too, so the caller hears that a login is needed."""
    huawei.revoke_all()
    with (
        make(source, huawei.url, attach=Attach("form", "access_token")) as client,
        pytest.raises(errors.ReauthorizationRequired, match="1203/31204"),
    ):
        client.post(f"{huawei.url}/rest.php", data={"nsp_svc": "GOpen.User.getInfo"})
