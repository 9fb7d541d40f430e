"""Every URL, request, answer and lifetime of "获取AccessToken" of Sina Cloud, by line (S)."""

import json
from urllib.parse import parse_qsl, urlsplit

import pytest

from tokenlatch import AuthorizationCode, RefreshToken, errors
from tokenlatch._state import TokenSet
from tokenlatch._wire import Answer, read_tokens
from tokenlatch.providers import SINA_CLOUD

DAY = 86400.0
FIRST = """{
	"access_token": "07954cabf0ee9bff284509dfb602478521dff450",
	"expires_in": 604800,
	"token_type": "Bearer",
	"scope": null,
	"refresh_token": "abfd84bf376d88da4efb6e13b853c339b08c7fd9"
}"""  # S 55-61
SECOND = """{
	"access_token": "077ec980aab5bedf1853374474801c34e7b28230",
	"expires_in": 604800,
	"token_type": "Bearer",
	"scope": null,
	"refresh_token": "ecf8df3d8454b41fe3442332c4d73b8df1ecd371"
}"""  # S 99-105
REFUSED = """{
	"error": "unauthorized_client",
	"error_description": "The grant type is unauthorized for this client_id"
}"""  # S 115-118


def login():
    return AuthorizationCode(SINA_CLOUD, client_id="CLIENT_ID", client_secret="KEY")


def read(body, status=200, old=None):
    return read_tokens(Answer(status, {}, body.encode()), 1000.0, old, SINA_CLOUD)


def test_the_authorization_url():
    """S 13, letter by letter: no redirect_uri, no scope."""
    example = (
        "https://api.sinaapp.com/oauth2/authorize?response_type=code&client_id=CLIENT_ID&state=1"
    )
    assert login().begin(state="1").url == example


def test_a_redirect_uri_is_not_sent_even_if_given():
    """The callback is "set in the system" (S 21); a listener on this machine has to know it all the same."""
    grant = AuthorizationCode(
        SINA_CLOUD, client_id="CLIENT_ID", client_secret="KEY", redirect_uri="https://x/cb"
    )
    query = dict(parse_qsl(urlsplit(grant.begin(state="1").url).query))
    assert query == {"response_type": "code", "client_id": "CLIENT_ID", "state": "1"}


def test_a_scope_is_refused_by_name():
    """S 13: there is none; to drop it in silence would promise what nobody gives."""
    with pytest.raises(errors.ConfigurationError, match="leave scope out"):
        AuthorizationCode(SINA_CLOUD, client_id="a", client_secret="b", scope="all")


def test_the_redirect():
    """S 29: code and state come back."""
    back = "http://death.sinaapp.com/sae_callback.php?code=1ac849866e7ccca8ed69fc179223aba112e2a531&state=1"
    code = login().read(back, login().begin(state="1"))
    assert code == "1ac849866e7ccca8ed69fc179223aba112e2a531"


def test_the_code_exchange():
    """S 37-49: POST, four fields."""
    asks = []

    def send(ask):
        asks.append(ask)
        return Answer(200, {}, FIRST.encode())

    tokens = login().redeem({"code": "1ac8", "state": "1"}, login().begin(state="1"), send, 0.0)
    assert tokens.access_token == "07954cabf0ee9bff284509dfb602478521dff450"
    (ask,) = asks
    assert (ask.method, ask.url) == ("POST", "https://api.sinaapp.com/oauth2/access_token")
    assert dict(parse_qsl(ask.body().decode())) == {
        "code": "1ac8",
        "client_id": "CLIENT_ID",
        "client_secret": "KEY",
        "grant_type": "authorization_code",
    }


def test_the_first_answer():
    """S 55-67, 75: a week, the refresh token a day longer; null is no scope."""
    tokens = read(FIRST)
    assert tokens.expires_at == 1000 + 7 * DAY
    assert tokens.refresh_expires_at == 1000 + 8 * DAY
    assert tokens.scope is None
    assert tokens.token_type == "Bearer"
    assert tokens.refresh_token == "abfd84bf376d88da4efb6e13b853c339b08c7fd9"


def test_the_refresh():
    """S 79-105: POST, four fields; a new pair with a deadline of its own."""
    old, asks = read(FIRST), []

    def send(ask):
        asks.append(ask)
        return Answer(200, {}, SECOND.encode())

    new = login().exchange(old, send, 5000.0)
    assert dict(parse_qsl(asks[0].body().decode())) == {
        "refresh_token": "abfd84bf376d88da4efb6e13b853c339b08c7fd9",
        "client_id": "CLIENT_ID",
        "client_secret": "KEY",
        "grant_type": "refresh_token",
    }
    assert new.refresh_token == "ecf8df3d8454b41fe3442332c4d73b8df1ecd371"
    assert new.refresh_expires_at == 5000 + 8 * DAY


def test_a_spent_refresh_token_is_never_kept():
    """S 109: it works once, so an answer without a new one leaves none."""
    old = TokenSet("A", refresh_token="R")
    new = read(json.dumps({"access_token": "B", "expires_in": 604800}), old=old)
    assert new.refresh_token is None


@pytest.mark.parametrize("status", [400, 401, 403, 200])
def test_no_right_to_refresh(status):
    """S 113-118, which names no status: a login helps, a retry does not."""
    refusal = read(REFUSED, status)
    assert type(refusal) is errors.ReauthorizationRequired
    assert "apply for that right" in str(refusal)
    assert refusal.error == "unauthorized_client"


@pytest.mark.parametrize(
    ("error", "description", "kind"),
    [
        ("invalid_grant", "Invalid refresh token", errors.ReauthorizationRequired),
        ("invalid_grant", "Refresh token has expired", errors.ReauthorizationRequired),
        (
            "invalid_grant",
            "Authorization code doesn't exist or is invalid for the client",
            errors.ReauthorizationRequired,
        ),
        ("invalid_client", "The client credentials are invalid", errors.ConfigurationError),
        (
            "invalid_request",
            'Missing parameter: "code" is required',
            errors.ReauthorizationRequired,
        ),
    ],
)
def test_what_the_library_behind_it_says(error, description, kind):
    """Inferred: the texts of bshaffer/oauth2-server-php, with HTTP 400."""
    refusal = read(json.dumps({"error": error, "error_description": description}), 400)
    assert type(refusal) is kind


def test_a_days_warning():
    """S 71, 75: refreshed when a day is left, unless the user's policy says otherwise."""
    assert SINA_CLOUD.refresh_ahead == DAY


def test_there_is_no_pkce():
    """Nothing in the document would carry it: asking for it is refused."""
    with pytest.raises(errors.ConfigurationError, match="PKCE"):
        AuthorizationCode(SINA_CLOUD, client_id="a", client_secret="b", pkce=True)


def test_a_grant_from_elsewhere_is_the_same_grant():
    """A worker with RefreshToken shares the store of the login."""
    worker = RefreshToken(SINA_CLOUD, client_id="CLIENT_ID", client_secret="KEY")
    assert worker.identity == login().identity
