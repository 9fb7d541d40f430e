"""Every URL, request and error of Huawei's "Web应用怎样获取Access Token" (S, by line) and its error page (D)."""

import json
from urllib.parse import parse_qsl, urlsplit

import pytest

from tokenlatch import AuthorizationCode, ClientCredentials, PendingLogin, RefreshToken, errors
from tokenlatch._policy import RefreshPolicy, Terms, is_in_doubt
from tokenlatch._state import TokenSet
from tokenlatch._wire import Answer, read_tokens
from tokenlatch.providers import HUAWEI

# The document's own example.
SECRET = "caa9b93ef209bcb8f754a5742b7d617d5db2bd5901ae8656b60e79cca93825f8"
CALLBACK = "https://www.thirdwebdemo.com/redirect_url"
ENCODED = (  # S 89
    "DwEEABlWuXdOMrHWphJ7ixKxqkMiTfdoFX11KIcY0CP8gL2Qq5b5MNZpGtPWHKK5KBHm6u6KDP1BXq8JRunU4xIz4DV2zbdGCzEPCbuRaDz%2F"
    "zgbzWV6ty2K1TcbToSEdDszr1to17JbGiI5yM7oUx5kEf200rCvVBEGWy8a%2BBCADZ8%2BWPAAEd2O%2BUnjqoAhDSjs2s3ate0heX3DFAUrt"
    "wIOcZLCK%2FWby%2BU2oD2eaXX0CXhBNY5PE0nzBLxr4%2B5%2BYH%2BFh8%2BSssOl3repWjH0bxni8iQ%3D%3D"
)
REFRESH = (  # S 106, encoded
    "DAECANR5QD9Ta3YKIn2Pwpmq8g6CyOGcsz3iNsxq8YXBpZs6EGlqb%2FM8Iyc%2FXVORdoqb%2FaZXKs9jqz72kQCmp9Om%2B7%2Fp7ff6QfH"
    "%2FKN32GwsE9xq%2BTbDT"
)


def grant(kind=RefreshToken, **more):
    return kind(HUAWEI, client_id="107408391", client_secret=SECRET, **more)


def login(**more):
    return grant(AuthorizationCode, redirect_uri=CALLBACK, scope="openid profile", **more)


def sent(act):
    """Return the one request that an exchange sends."""
    asks = []

    def send(ask):
        asks.append(ask)
        return Answer(200, {}, b'{"access_token":"DgEAAN7qd","expires_in":3600}')

    act(send)
    (ask,) = asks
    return ask


def answered(body, status=200, old=None):
    return read_tokens(Answer(status, {}, json.dumps(body).encode()), 1000.0, old, HUAWEI)


def test_the_authorization_url():
    """S 38: response_type, access_type, client_id, scope with a plus, redirect_uri; no more."""
    example = (
        "https://oauth-login.cloud.huawei.com/oauth2/v3/authorize?response_type=code&access_type=offline"
        "&client_id=107408391&scope=openid+profile&redirect_uri=https://www.thirdwebdemo.com/redirect_url"
    )
    ours = login().begin(state="").url
    assert ours.partition("?")[0] == example.partition("?")[0]
    assert dict(parse_qsl(urlsplit(ours).query)) == dict(parse_qsl(urlsplit(example).query))
    assert "scope=openid+profile" in ours


def test_the_authorization_url_with_a_state():
    """S 24: state is passed through."""
    ours = login().begin(state="state_parameter_passthrough_value").url
    assert "state=state_parameter_passthrough_value" in ours


def test_a_redirect_without_state_is_believed_only_when_none_was_sent():
    """S 50: the example has none; with one sent, it has to come back."""
    bare = f"{CALLBACK}?code={ENCODED}"
    assert login().read(bare, login().begin(state=""))
    with pytest.raises(errors.ReauthorizationRequired, match="state"):
        login().read(bare, login().begin())


def test_the_code_is_decoded_once():
    """S 73: 308 letters become 284, with + and / and = in them."""
    code = login().read(f"{CALLBACK}?code={ENCODED}", login().begin(state=""))
    assert (len(ENCODED), len(code)) == (308, 284)
    assert "+" in code
    assert " " not in code


def test_a_code_that_a_framework_decoded_is_not_decoded_again():
    """Parameters as a mapping are taken as they are: + stays +."""
    pending = login().begin(state="")
    code = login().read(f"{CALLBACK}?code={ENCODED}", pending)
    assert login().read({"code": str(code)}, pending) == code


@pytest.mark.parametrize(
    ("back", "error", "words"),
    [
        (
            f"{CALLBACK} #error=1107&error_description=access+denied",
            "1107",
            "access denied",
        ),  # S 56
        (f"{CALLBACK}#error=1107&error_description=access+denied", "1107", "access denied"),
        (f"{CALLBACK}?error=access_denied", "access_denied", "access_denied"),  # D, Health Kit
        (f"{CALLBACK}?error=1107&error_description=access+denied", "1107", "access denied"),
        (CALLBACK, "access_denied", "neither code nor error"),  # a # never reaches a server
    ],
    ids=["seed", "seed without its space", "text in the query", "number in the query", "bare"],
)
def test_a_refusal_is_read_wherever_it_stands(back, error, words):
    """The person said no: begin again."""
    with pytest.raises(errors.ReauthorizationRequired, match=words) as refused:
        login().read(back, login().begin(state=""))
    assert refused.value.error == error


def test_the_code_exchange():
    """S 83-89: the very body of the example, field by field and letter by letter."""
    pending = PendingLogin("", CALLBACK)
    back = f"{CALLBACK}?code={ENCODED}"
    ask = sent(lambda send: login().redeem(back, pending, send, 0.0))
    assert (ask.method, ask.url) == ("POST", "https://oauth-login.cloud.huawei.com/oauth2/v3/token")
    assert ask.all_headers()["Content-Type"] == "application/x-www-form-urlencoded"
    example = (
        f"grant_type=authorization_code&code={ENCODED}&client_id=107408391&client_secret={SECRET}"
        "&redirect_uri=https%3A%2F%2Fwww.thirdwebdemo.com%2Fredirect_url"
    )
    assert set(ask.body().decode().split("&")) == set(example.split("&"))


def test_the_refresh():
    """S 100-106: the refresh token is encoded once more on its way out; no redirect_uri, no scope."""
    (_, token) = parse_qsl(f"refresh_token={REFRESH}")[0]
    ask = sent(lambda send: login().exchange(TokenSet("A", refresh_token=token), send, 0.0))
    example = f"grant_type=refresh_token&client_id=107408391&client_secret={SECRET}&refresh_token={REFRESH}"
    assert set(ask.body().decode().split("&")) == set(example.split("&"))


def test_the_apps_own_token():
    """S 117-123."""
    ask = sent(lambda send: grant(ClientCredentials).exchange(None, send, 0.0))
    example = f"grant_type=client_credentials&client_id=107408391&client_secret={SECRET}"
    assert set(ask.body().decode().split("&")) == set(example.split("&"))


def test_lifetimes():
    """S 94: an hour, and half a year (D: 180 days) from consent."""
    tokens = answered({"access_token": "A", "refresh_token": "R", "expires_in": 3600})
    assert (tokens.expires_at, tokens.refresh_expires_at) == (4600.0, 1000.0 + 180 * 86400)


def test_a_refresh_answer_keeps_what_it_does_not_say():
    """D: no refresh_token in it; a null or empty one is none either; the deadline stays."""
    old = TokenSet("A", refresh_token="R", refresh_expires_at=77.0, scope="openid profile")
    for absent in ({}, {"refresh_token": None}, {"refresh_token": ""}):
        new = answered({"access_token": "B", "expires_in": 3600, **absent}, old=old)
        assert (new.refresh_token, new.refresh_expires_at, new.scope) == (
            "R",
            77.0,
            "openid profile",
        )


def test_a_first_refresh_from_elsewhere_keeps_its_token():
    """A refresh token that was passed in is not lost because the first answer has none."""
    elsewhere = grant(refresh_token="R")
    answer = Answer(200, {}, b'{"access_token":"B","expires_in":3600}')
    assert elsewhere.exchange(None, lambda _: answer, 0.0).refresh_token == "R"


DEAD, CONFIG = errors.ReauthorizationRequired, errors.ConfigurationError
ERRORS = [
    (1203, 11205, DEAD),
    (1203, 31204, DEAD),
    (1203, 31202, DEAD),
    (1203, 31218, DEAD),
    (1101, 20192, CONFIG),
    (1102, 20191, CONFIG),
    (1101, 20154, CONFIG),
    (1101, 12304, CONFIG),
    (1203, 12304, CONFIG),
    (1203, 12303, CONFIG),
    (1101, 20002, CONFIG),
    (1101, 20003, CONFIG),
    (1101, 20085, CONFIG),
    (1101, 20171, CONFIG),
    (1101, 20172, CONFIG),
    (1101, 20155, DEAD),
    (1101, 20156, DEAD),
    (1101, 20158, DEAD),
    (1101, 20152, DEAD),
    (1103, 20153, DEAD),
    (1101, 20182, CONFIG),
    (1102, 20181, CONFIG),
    (1101, 20041, CONFIG),
    (1101, 20042, CONFIG),
    (1203, 500, errors.ProviderError),
    (1203, 100300, errors.ProviderError),
    (1101, 99999, errors.ProviderError),
]


@pytest.mark.parametrize(("error", "sub_error", "kind"), ERRORS)
def test_integer_errors_are_told_apart(error, sub_error, kind):
    """D: two integers, HTTP 400; the finer one decides, the text never."""
    said = {"sub_error": sub_error, "error_description": "whatever", "error": error}
    refusal = answered(said, 400)
    assert type(refusal) is kind
    assert refusal.error == f"{error}/{sub_error}"
    assert refusal.status == 400
    assert not is_in_doubt(refusal)


@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_policy_or_a_wrong_address_is_no_end_of_the_grant(status):
    """D: 403 is the caller's network policy, 404 and 405 a wrong address."""
    refusal = read_tokens(Answer(status), 0.0, None, HUAWEI)
    assert type(refusal) is errors.UnreadableAnswerError


@pytest.mark.parametrize("status", [500, 502, 503, 504, 590])
def test_sick_servers_are_asked_again(status):
    """D: 503 is flow control, 590 is of their own."""
    assert type(read_tokens(Answer(status), 0.0, None, HUAWEI)) is errors.ProviderError


def test_a_lost_answer_costs_nothing():
    """No rotation: the same refresh token may be sent again at any time."""
    terms = Terms(RefreshPolicy(), spend="R", grace=grant().grace)
    assert terms.grace == float("inf")
