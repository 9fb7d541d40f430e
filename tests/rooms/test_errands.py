"""What a source does at the provider besides refreshing: codes, devices, revocation, introspection."""

import dataclasses
import json

import pytest

from tokenlatch import (
    AuthorizationCode,
    ClientCredentials,
    Custom,
    DeviceCode,
    FileStore,
    Provider,
    RefreshToken,
    TokenSet,
    TokenSource,
    _errands,
    errors,
)
from tokenlatch._wire import Answer
from tokenlatch.providers import HUAWEI, Authorize
from tokenlatch.testing import AuthorizationServer, HuaweiServer

SECRET = "app-secret"


@pytest.fixture
def server():
    with AuthorizationServer() as server:
        yield server


@pytest.fixture
def provider(server):
    return Provider(
        server.token_url,
        revoke_url=f"{server.url}/revoke",
        introspect_url=f"{server.url}/introspect",
        authorize=Authorize("https://idp.example/authorize"),
    )


@pytest.fixture
def source(server, provider, tmp_path):
    grant = RefreshToken(provider, client_id="app", client_secret=SECRET)
    with TokenSource(grant, store=FileStore(tmp_path / "token.json")) as source:
        given = server.issue(scope="read")
        source.seed(TokenSet(given["access_token"], refresh_token=given["refresh_token"]))
        yield source


def test_revocation_ends_the_grant_on_both_sides(server, source, tmp_path):
    """RFC 7009: the server forgets it, the store too, and the next token needs a login."""
    old = source.token()
    source.revoke()
    assert server.counts.revocations > 0
    assert source.status().has_token is False
    with pytest.raises(errors.ReauthorizationRequired, match="log in"):
        source.token()
    content = (tmp_path / "token.json").read_text()
    assert old.access_token not in content
    assert old.refresh_token not in content


def test_revocation_of_nothing_is_no_error(server, source):
    """Twice is as good as once; the second asks nobody."""
    source.revoke()
    asked = len(server.log)
    source.revoke()
    assert len(server.log) == asked


def test_a_failed_revocation_keeps_the_tokens(source, provider):
    """A wrong secret: the developer hears of it, and nothing is lost."""
    broken = RefreshToken(provider, client_id="app", client_secret="wrong")
    other = TokenSource(broken, store=source._view.store)
    with pytest.raises(errors.ConfigurationError, match="invalid_client"):
        other.revoke()
    assert source.token()


def test_another_process_hears_of_the_revocation(source, provider):
    """The generation grows, so that nobody hands the dead token out."""
    other = TokenSource(
        RefreshToken(provider, client_id="app", client_secret=SECRET),
        store=FileStore(source._view.store.path),
    )
    assert other.token()
    source.revoke()
    with pytest.raises(errors.ReauthorizationRequired):
        other.token()


def test_introspection_tells_what_the_server_knows(source):
    """RFC 7662: active, and what the server likes to add."""
    said = source.introspect()
    assert said["active"] is True
    assert said["scope"] == "read"


def test_a_provider_without_these_endpoints_says_so(server):
    """Which field of the record is missing."""
    grant = ClientCredentials(server.token_url, client_id="app", client_secret=SECRET)
    source = TokenSource(grant)
    with pytest.raises(errors.ConfigurationError, match="revoke_url"):
        source.revoke()
    with pytest.raises(errors.ConfigurationError, match="introspect_url"):
        source.introspect()
    with pytest.raises(errors.ConfigurationError, match="no provider"):
        TokenSource(Custom(lambda _: TokenSet("a"))).revoke()


def test_a_wrong_kind_of_grant_is_told():
    """Redeem wants an AuthorizationCode, log_in a DeviceCode."""
    source = TokenSource(ClientCredentials("https://idp.example/token", client_id="app"))
    with pytest.raises(errors.ConfigurationError, match="AuthorizationCode"):
        source.redeem("?code=c", None)
    with pytest.raises(errors.ConfigurationError, match="DeviceCode"):
        source.log_in(print)


def test_huaweis_pair_is_revoked_without_a_secret():
    """D: only the token is sent; revoking one kills the other, and twice is no error."""
    with HuaweiServer() as huawei:
        record = dataclasses.replace(
            HUAWEI, token_url=huawei.token_url, revoke_url=huawei.revoke_url
        )
        settings = {"client_id": "107408391", "client_secret": "caa9b93ef209"}
        source = TokenSource(ClientCredentials(record, **settings))
        token = source.token().access_token
        source.revoke()
        assert huawei.requests[-1].form == {"token": token}


# --------------------------------------------------------------------------------------------- codes and devices


def answering(*answers):
    """Return a sender that gives these answers, one after the other."""
    left = list(answers)

    def send(_):
        status, body = left.pop(0)
        return Answer(status, {}, json.dumps(body).encode())

    return send


TOKENS = {"access_token": "A", "refresh_token": "R", "expires_in": 3600}


def test_a_code_is_not_spent_when_its_tokens_could_not_be_saved(provider, tmp_path, monkeypatch):
    """The room for the answer is claimed first: a full disk costs no login."""
    login = AuthorizationCode(provider, client_id="app", client_secret=SECRET)
    store, asked = FileStore(tmp_path / "token.json"), []
    source = TokenSource(login, store=store, sender=asked.append)

    def full(*_):
        raise errors.StoreError("The disk is full.")

    with store.transaction(1) as transaction:
        monkeypatch.setattr(type(transaction), "reserve", full)
    pending = login.begin()
    with pytest.raises(errors.StoreError):
        source.redeem({"code": "c", "state": pending.state}, pending)
    assert not asked


def test_a_new_login_clears_what_went_wrong(provider, tmp_path):
    """The remembered failure was about the old refresh token."""
    login = AuthorizationCode(provider, client_id="app", client_secret=SECRET)
    sender = answering((400, {"error": "invalid_grant"}), (200, TOKENS))
    source = TokenSource(login, store=FileStore(tmp_path / "token.json"), sender=sender)
    source.seed(TokenSet("old", refresh_token="spent", expires_at=1.0))
    with pytest.raises(errors.ReauthorizationRequired):
        source.token()
    pending = login.begin()
    source.redeem({"code": "c", "state": pending.state}, pending)
    assert source.token().access_token == "A"
    assert source.status().failure is None


def test_a_failed_redemption_leaves_no_trace(provider, tmp_path):
    """The old tokens stay, and the store is as good as before."""
    login = AuthorizationCode(provider, client_id="app", client_secret=SECRET)
    sender = answering((400, {"error": "invalid_grant"}))
    source = TokenSource(login, store=FileStore(tmp_path / "token.json"), sender=sender)
    source.seed(TokenSet("old", refresh_token="R"))
    pending = login.begin()
    with pytest.raises(errors.ReauthorizationRequired):
        source.redeem({"code": "c", "state": pending.state}, pending)
    again = TokenSource(login, store=FileStore(tmp_path / "token.json"))
    assert again.token().access_token == "old"
    assert source.status().failure is None


def test_a_device_login_waits_as_it_is_told():
    """RFC 8628: five seconds, then ten, then done."""
    grant = DeviceCode(
        Provider("https://idp.example/token", device_url="https://idp.example/device"),
        client_id="tv",
    )
    prompt = {"device_code": "d", "user_code": "WDJB", "verification_uri": "https://idp.example/go"}
    source = TokenSource(
        grant,
        sender=answering(
            (200, prompt),
            (400, {"error": "authorization_pending"}),
            (400, {"error": "slow_down"}),
            (200, TOKENS),
        ),
    )
    shown, waited = [], []
    tokens = _errands.log_in_elsewhere(
        source._view, source._dance, grant, shown.append, waited.append
    )
    assert waited == [5, 5, 10]
    assert [each.user_code for each in shown] == ["WDJB"]
    assert tokens.refresh_token == "R"
