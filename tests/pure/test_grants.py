"""What a grant asks for: forms, client authentication, what is spent; and that no secret shows or travels."""

import copy
import pickle
from urllib.parse import parse_qsl

import pytest

from tokenlatch import ClientCredentials, Custom, Env, Provider, RefreshToken, TokenSet
from tokenlatch._wire import Answer
from tokenlatch.errors import ConfigurationError, ReauthorizationRequired

URL = "https://idp.example/token"
STORED = TokenSet("at-1", refresh_token="rt-stored")


def sent(grant, tokens=None):
    """The form and headers that the grant sends."""
    asked = []

    def send(ask):
        asked.append(ask)
        return Answer(200, {}, b'{"access_token": "at-2"}')

    fresh = grant.exchange(tokens, send, 1000.0)
    assert fresh.access_token == "at-2"
    assert len(asked) == 1
    assert asked[0].url == URL
    return dict(parse_qsl(asked[0].body().decode(), keep_blank_values=True)), asked[0].headers


def user(**changes):
    """A user's grant with a secret."""
    named = {"client_id": "app", "client_secret": "s3same", "refresh_token": "rt-first"}
    return RefreshToken(URL, **named | changes)


# ------------------------------------------------------------------------------------------------------ what is sent


def test_client_credentials_ask():
    """RFC 6749 section 4.4.2."""
    grant = ClientCredentials(URL, client_id="app", client_secret="s3same", scope="read  write")
    form, headers = sent(grant)
    assert form == {"grant_type": "client_credentials", "scope": "read write"}
    assert headers == {"Authorization": "Basic YXBwOnMzc2FtZQ=="}


def test_a_refresh_asks():
    """RFC 6749 section 6; no scope unless named, no secret in the form."""
    form, headers = sent(user(), STORED)
    assert form == {"grant_type": "refresh_token", "refresh_token": "rt-stored"}
    assert headers == {"Authorization": "Basic YXBwOnMzc2FtZQ=="}


@pytest.mark.parametrize(
    ("changes", "fields", "header"),
    [
        pytest.param({}, {}, True, id="basic is the default"),
        pytest.param({"client_auth": "basic"}, {}, True, id="basic"),
        pytest.param(
            {"client_auth": "body"},
            {"client_id": "app", "client_secret": "s3same"},
            False,
            id="body",
        ),
        pytest.param({"client_secret": None}, {"client_id": "app"}, False, id="public by default"),
        pytest.param(
            {"client_secret": None, "client_auth": "none"}, {"client_id": "app"}, False, id="none"
        ),
    ],
)
def test_ways_to_prove_oneself(changes, fields, header):
    """In one way at a time (RFC 6749 section 2.3)."""
    form, headers = sent(user(**changes), STORED)
    assert {k: v for k, v in form.items() if k.startswith("client")} == fields
    assert ("Authorization" in headers) == header


def test_a_providers_default_counts():
    """Named by the grant, it is overruled."""
    provider = Provider(URL, client_auth="body")
    named = {"client_id": "app", "client_secret": "s3same"}
    assert "client_secret" in sent(ClientCredentials(provider, **named))[0]
    assert "client_secret" not in sent(ClientCredentials(provider, client_auth="basic", **named))[0]


def test_further_fields():
    """A resource (RFC 8707), an audience, a scope."""
    form, _ = sent(
        user(resource="https://api.example", params={"audience": "a"}, scope="x y"), STORED
    )
    assert form["resource"] == "https://api.example"
    assert (form["audience"], form["scope"]) == ("a", "x y")


def test_a_secret_may_be_asked_for_at_each_use(monkeypatch):
    """From a callable or the environment, so that it can change while we run."""
    secrets = iter(["one", "two"])
    grant = user(client_secret=lambda: next(secrets), client_auth="body")
    assert [sent(grant, STORED)[0]["client_secret"] for _ in "ab"] == ["one", "two"]
    monkeypatch.setenv("ACME_SECRET", "three")
    grant = user(client_secret=Env("ACME_SECRET"), client_auth="body")
    assert sent(grant, STORED)[0]["client_secret"] == "three"
    monkeypatch.delenv("ACME_SECRET")
    with pytest.raises(ConfigurationError, match="ACME_SECRET"):
        sent(grant, STORED)


# -------------------------------------------------------------------------------------------------------- what is spent


def test_the_stores_refresh_token_wins():
    """The one given is the first seed only."""
    assert user().spend(None) == "rt-first"
    assert user().spend(STORED) == "rt-stored"
    assert user().spend(TokenSet("at")) is None
    assert user(refresh_token=None).spend(None) is None


def test_an_answer_without_a_refresh_token_keeps_the_one_that_was_sent():
    """The seed too, although no token set held it yet."""
    answer = Answer(200, {}, b'{"access_token": "at-2"}')
    assert user().exchange(None, lambda _: answer, 0.0).refresh_token == "rt-first"
    assert user().exchange(STORED, lambda _: answer, 0.0).refresh_token == "rt-stored"


def test_client_credentials_spend_nothing():
    """They can be repeated any time."""
    grant = ClientCredentials(URL, client_id="app", client_secret="s")
    assert (grant.spend(STORED), grant.repeatable) == (None, True)
    assert user().repeatable is False


def test_an_error_is_returned_not_raised():
    """No traceback holds a frame with the form in it."""
    refusal = Answer(400, {}, b'{"error": "invalid_grant"}')
    assert isinstance(user().exchange(STORED, lambda _: refusal, 0.0), ReauthorizationRequired)


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": "other"},
        {"scope": "other"},
        {"resource": "https://other.example"},
    ],
    ids=repr,
)
def test_identities_differ(change):
    """A store of one grant is refused to another; a new secret or seed is the same grant."""
    assert user(**change).identity != user().identity
    assert user(client_secret="other", refresh_token="other").identity == user().identity
    credentials = ClientCredentials(URL, client_id="app", client_secret="s3same")
    assert credentials.identity != user().identity


# ------------------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"client_id": ""}, id="no client id"),
        pytest.param({"client_auth": "none"}, id="none with a secret"),
        pytest.param({"client_auth": "basic", "client_secret": None}, id="basic without a secret"),
        pytest.param({"client_auth": "body", "client_secret": None}, id="body without a secret"),
        pytest.param({"client_auth": "Basic"}, id="misspelt"),
    ],
)
def test_what_cannot_be_meant(changes):
    """At once, not at the first request; and the message shows no secret."""
    with pytest.raises(ConfigurationError) as caught:
        user(**changes)
    assert "s3same" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://idp.example/token", "idp.example/token", "https://u:s3same@idp.example/token", ""],
)
def test_a_token_url_is_confidential(url):
    """Plain http to another machine would show secret and tokens to all on the way."""
    with pytest.raises(ConfigurationError) as caught:
        RefreshToken(url, client_id="app", refresh_token="rt-first")
    assert "s3same" not in str(caught.value)
    RefreshToken("http://127.0.0.1:8080/token", client_id="app")


# ------------------------------------------------------------------------------------------------------ shown, copied


@pytest.mark.parametrize(
    "grant",
    [user(), ClientCredentials(URL, client_id="app", client_secret="s3same")],
    ids=["refresh token", "client credentials"],
)
def test_nothing_secret_is_shown(grant):
    """Neither by the grant nor by what it is made of."""
    for shown in (
        repr(grant),
        str(grant),
        repr(vars(grant)),
        repr(grant.client),
        repr(grant.provider),
    ):
        assert "s3same" not in shown
        assert "rt-first" not in shown
    assert URL in repr(grant)


def test_a_pickle_drops_the_seed():
    """It is in the store by then; a copy with a seed of its own would spend it twice. The secret travels."""
    data = pickle.dumps(user())
    assert b"rt-first" not in data
    assert b"s3same" in data
    twin = pickle.loads(data)
    assert (twin.spend(None), twin.identity) == (None, user().identity)
    assert sent(twin, STORED) == sent(user(), STORED)
    assert copy.deepcopy(user()).spend(None) is None


def test_a_secret_from_the_environment_does_not_travel(monkeypatch):
    """Only its name does."""
    monkeypatch.setenv("ACME_SECRET", "s3same")
    data = pickle.dumps(user(client_secret=Env("ACME_SECRET")))
    assert b"s3same" not in data
    assert b"ACME_SECRET" in data


# -------------------------------------------------------------------------------------------------------------- Custom


def log_in(old):
    """Log in somewhere."""
    return TokenSet("session", refresh_token=old.refresh_token if old else None)


def test_custom_calls_its_function():
    """With the old tokens, or None at first."""
    grant = Custom(log_in)
    assert grant.exchange(None, None, 0.0) == TokenSet("session")
    assert grant.exchange(STORED, None, 0.0).refresh_token == "rt-stored"
    assert repr(grant) == "Custom(log_in)"
    assert pickle.loads(pickle.dumps(grant)).identity == grant.identity


def test_custom_is_told_apart_by_name():
    """Two logins must not share a store."""
    assert Custom(log_in).identity != Custom(lambda _: TokenSet("a")).identity
    assert Custom(log_in, name="a").identity != Custom(log_in, name="b").identity


@pytest.mark.parametrize("wrong", [None, "token", {"access_token": "a"}])
def test_custom_must_return_tokens(wrong):
    """Or the developer hears of it."""
    error = Custom(lambda _: wrong).exchange(None, None, 0.0)
    assert isinstance(error, ConfigurationError)
    assert type(wrong).__name__ in str(error)
