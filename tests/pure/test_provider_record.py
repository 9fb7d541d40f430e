"""The record: RFC 6749 by default, wrong combinations refused by name, rules that are no knobs."""

import dataclasses
import json
import pickle

import pytest

from tokenlatch import Provider, RefreshPolicy, RefreshToken, TokenSet, TokenSource, errors
from tokenlatch._shape import AnswerShape, find, instant
from tokenlatch._wire import Answer, read_tokens
from tokenlatch.providers import HUAWEI, SINA_CLOUD, Attach, Authorize, Gateway, Rejection, sop

URL = "https://idp.example/token"
NOW = 1_767_225_600.0


def read(body, provider=None, old=None, status=200):
    body = body if isinstance(body, str) else json.dumps(body)
    return read_tokens(Answer(status, {}, body.encode()), NOW, old, provider or AnswerShape())


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"token_url": "http://idp.example/token"}, "plain http"),
        ({"token_url": "idp.example"}, "absolute"),
        ({"refresh_url": "http://idp.example"}, "refresh URL"),
        ({"revoke_url": "http://idp.example"}, "revoke URL"),
        ({"introspect_url": "ftp://idp.example"}, "introspect URL"),
        ({"device_url": "http://idp.example"}, "device URL"),
        ({"method": "PUT"}, "method"),
        ({"method": "GET"}, "encoding"),
        ({"encoding": "xml"}, "encoding"),
        ({"client_auth": "digest"}, "client_auth"),
        ({"client_auth": "signed"}, "gateway"),
        ({"gateway": sop("https://g.example/").gateway}, "gateway"),
        ({"attach": Attach("signed", "token")}, "attach"),
        ({"exchange_source": "id_token"}, "exchange_source"),
        ({"rotation": "sometimes"}, "rotation"),
        ({"rotation": "prolonged"}, "default_lifetime"),
        ({"expires_kind": "minutes"}, "expires_kind"),
        ({"refresh_expires_kind": "minutes"}, "refresh_expires_kind"),
        ({"refresh_retry_grace": -1}, "refresh_retry_grace"),
        ({"refresh_lifetime": float("nan")}, "refresh_lifetime"),
        ({"refresh_lifetime": 1.0, "refresh_outlives_access": 1.0}, "refresh_lifetime"),
        ({"refresh_lifetime": 1.0, "refresh_deadline_inherited": True}, "refresh_lifetime"),
        ({"refresh_lifetime": "180 days"}, "refresh_lifetime"),
        ({"fields": {"acces_token": "token"}}, "acces_token"),
        ({"error_fields": {"kode": "errcode"}}, "kode"),
        ({"error_classes": {"40030": "dead"}}, "40030"),
        ({"success": {"code": "0"}}, "success"),
        ({"keep_extra": "user_id"}, "keep_extra"),
        (
            {"gateway": sop("https://g.example/").gateway, "client_auth": "signed"}
            | {"encoding": "json"},
            "gateway",
        ),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else value,
)
def test_what_cannot_be_meant_is_refused_by_name(wrong, named):
    """At construction, so that nobody finds out at the first expiry."""
    with pytest.raises(errors.ConfigurationError, match=named):
        Provider(**{"token_url": URL, **wrong})


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: Attach("cookie", "token"), "place"),
        (lambda: Attach("header", ""), "name"),
        (lambda: Rejection(statuses=401), "statuses"),
        (lambda: Rejection(header=("NSP_STATUS", "6")), "header"),
        (lambda: Rejection(body=("errcode", ("40001",))), "body"),
        (lambda: Authorize("idp.example"), "authorize"),
        (lambda: Authorize("https://idp.example/", pkce="perhaps"), "pkce"),
        (lambda: Gateway(names={"appid": "app_key"}), "appid"),
    ],
)
def test_a_part_that_cannot_be_meant_is_refused_by_name(make, named):
    """A text in the place of a tuple, too: its letters would be looked for."""
    with pytest.raises(errors.ConfigurationError, match=named):
        make()


@pytest.mark.parametrize("provider", [Provider(URL), HUAWEI, SINA_CLOUD, sop("https://g.example/")])
def test_records_travel(provider):
    """They pickle, hash, compare and can be changed a field at a time."""
    twin = pickle.loads(pickle.dumps(provider))
    assert twin == provider
    assert hash(twin) == hash(provider)
    assert dataclasses.replace(provider, notes="x") != provider


def test_blanks_are_filled_in():
    """In every URL, the login page's too."""
    provider = Provider(
        "https://{tenant}.example/token",
        revoke_url="https://{tenant}.example/revoke",
        issuer="https://{tenant}.example",
        authorize=Authorize("https://{tenant}.example/login"),
    ).at(tenant="acme")
    assert provider.token_url == "https://acme.example/token"
    assert provider.revoke_url == "https://acme.example/revoke"
    assert provider.issuer == "https://acme.example"
    assert provider.authorize.url == "https://acme.example/login"


def test_a_blank_cannot_make_a_url_insecure():
    """What is filled in is checked again."""
    with pytest.raises(errors.ConfigurationError, match="plain http"):
        Provider("{scheme}://idp.example/token").at(scheme="http")


@pytest.mark.parametrize(
    ("value", "kind", "end"),
    [
        (3600, "seconds", NOW + 3600),
        ("3600", "seconds", NOW + 3600),
        (3600.5, "seconds", NOW + 3600.5),
        (3_600_000, "ms", NOW + 3600),
        (NOW + 60, "epoch_s", NOW + 60),
        (str(int(NOW + 60) * 1000), "epoch_ms", NOW + 60),
        ("2026-01-01T00:01:00Z", "iso", NOW + 60),
        ("2026-01-01T08:01:00+08:00", "iso", NOW + 60),
        ("2026-01-01T00:01:00", "iso", NOW + 60),
        ("20260101080100000+0800", "%Y%m%d%H%M%S%f%z", NOW + 60),
        ("2026-01-01 00:01:00", "%Y-%m-%d %H:%M:%S", NOW + 60),
        (-1, "seconds", None),
        (0, "seconds", None),
        ("-3", "seconds", None),
        (None, "seconds", None),
        (True, "seconds", None),
        ("soon", "seconds", None),
        ("soon", "iso", None),
        ([], "seconds", None),
        (float("nan"), "seconds", None),
        (1e400, "seconds", None),
        (10**12, "seconds", None),
        (0, "epoch_s", None),
        (-1, "epoch_ms", None),
    ],
)
def test_every_unit_ends_when_it_should(value, kind, end):
    """What is missing, not positive or beyond a century is for ever; nothing raises."""
    assert instant(value, NOW, kind) == end


@pytest.mark.parametrize(
    ("node", "path", "found"),
    [
        ({"a": {"b": 1}}, "a.b", 1),
        ({"a": [{"b": 2}]}, "a.0.b", 2),
        ({"a": []}, "a.0.b", None),
        ({"a": "text"}, "a.b", None),
        ([], "a", None),
        ({"a": 1}, "", {"a": 1}),
    ],
)
def test_a_path_finds_or_does_not(node, path, found):
    """Whatever shape comes."""
    assert find(node, path) == found


@pytest.mark.parametrize("scope", [None, [], ["a", "b"], "a b"])
def test_a_scope_may_be_anything(scope):
    """null, a list, a text or missing: never an error."""
    tokens = read({"access_token": "A", "scope": scope})
    assert tokens.scope in {None, "", "a b"}


@pytest.mark.parametrize("refresh", [None, ""])
def test_an_empty_refresh_token_is_none(refresh):
    """And leaves the old one in use."""
    old = TokenSet("A", refresh_token="R", refresh_expires_at=5.0)
    new = read({"access_token": "B", "refresh_token": refresh}, old=old)
    assert (new.refresh_token, new.refresh_expires_at) == ("R", 5.0)


def test_the_same_refresh_token_keeps_its_deadline():
    """Given back unchanged, it is no younger for that."""
    record = Provider(URL, refresh_lifetime=100.0)
    old = TokenSet("A", refresh_token="R", refresh_expires_at=NOW + 1)
    assert (
        read({"access_token": "B", "refresh_token": "R"}, record, old).refresh_expires_at == NOW + 1
    )
    assert (
        read({"access_token": "B", "refresh_token": "S"}, record, old).refresh_expires_at
        == NOW + 100
    )


def test_an_inherited_deadline_is_the_first_one():
    """However often the refresh token changes."""
    record = Provider(URL, refresh_deadline_inherited=True)
    old = TokenSet("A", refresh_token="R", refresh_expires_at=NOW + 1)
    assert (
        read({"access_token": "B", "refresh_token": "S"}, record, old).refresh_expires_at == NOW + 1
    )


def test_a_missing_lifetime_is_the_records():
    """One that is said counts more."""
    record = Provider(URL, default_lifetime=60.0)
    assert read({"access_token": "B"}, record).expires_at == NOW + 60
    assert read({"access_token": "B", "expires_in": 5}, record).expires_at == NOW + 5
    assert read({"access_token": "B", "expires_in": -1}, record).expires_at is None


@pytest.mark.parametrize("zero", [0, "0", None, "", False])
def test_an_error_code_of_zero_is_none(zero):
    """Errcode 0 beside a token is a success."""
    record = Provider(URL, error_fields={"code": "errcode"})
    assert read({"access_token": "B", "errcode": zero}, record).access_token == "B"


def test_codes_are_matched_from_fine_to_coarse():
    """code/sub_code, then sub-code, then code; the record before RFC 6749."""
    record = Provider(
        URL,
        error_fields={"sub_code": "sub"},
        error_classes={"a/1": "retry", "1": "config", "a": "grant_dead", "invalid_grant": "retry"},
    )
    for code, sub, kind in [
        ("a", "1", errors.ProviderError),
        ("b", "1", errors.ConfigurationError),
        ("a", "2", errors.ReauthorizationRequired),
        ("invalid_grant", None, errors.ProviderError),
        ("invalid_client", None, errors.ConfigurationError),
        ("b", "2", errors.ProviderError),
    ]:
        assert type(read({"error": code, "sub": sub}, record, status=400)) is kind


def test_advice_gives_way_to_the_users_policy():
    """refresh_ahead is used where RefreshPolicy(ahead=...) says nothing."""
    grant = RefreshToken(SINA_CLOUD, client_id="a", client_secret="b")
    assert TokenSource(grant)._view.policy.ahead == 86400
    assert TokenSource(grant, policy=RefreshPolicy(early=3))._view.policy.ahead == 86400
    assert TokenSource(grant, policy=RefreshPolicy(early=3))._view.policy.early == 3
    assert TokenSource(grant, policy=RefreshPolicy(ahead=5))._view.policy.ahead == 5


def test_the_client_id_may_be_part_of_the_path():
    """And is escaped there."""
    provider = Provider("https://idp.example/{client_id}/token", client_auth="body")
    grant = RefreshToken(provider, client_id="a/b", client_secret="s", refresh_token="R")
    ask = grant._ask(None)
    assert ask.url == "https://idp.example/a%2Fb/token"
    assert "client_id" not in ask.form
