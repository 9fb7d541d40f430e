"""Every URL, request, answer and lifetime of SOP's 10097_应用授权.md (S), and what its source says of errors (C)."""

import json
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from tokenlatch import AuthorizationCode, RefreshToken, TokenSet, errors
from tokenlatch._wire import Answer
from tokenlatch.providers import Provider, sop

KEYS = json.loads((Path(__file__).parents[1] / "vectors" / "sop_test_keys.json").read_text())
APP_ID = "2019032617262200001"
PROVIDER = sop(
    "https://gateway.yourdomain.com/",
    authorize_url="http://openauth.yourdomain.com/oauth2/appToAppAuth",
)
ANSWER = {
    "open_auth_token_app_response": {
        "code": "10000",
        "msg": "Success",
        "app_auth_token": "88e68196d2359667f0dc8136e6c86803",
        "app_refresh_token": "856faf8d77d3b985c1073557ce6ea724",
        "expires_in": -1,
        "re_expires_in": -3,
        "user_id": "1",
    },
    "sign": "xxx",
}


def login(redirect_uri="http://localhost:8087/oauth2callback"):
    return AuthorizationCode(
        PROVIDER,
        client_id=APP_ID,
        client_secret=KEYS["app_private_pkcs8_b64"],
        redirect_uri=redirect_uri,
    )


def exchanged(body, status=200, old=None, asks=None):
    """Return what an answer to a refresh means."""

    def send(ask):
        if asks is not None:
            asks.append(ask)
        return Answer(status, {}, (body if isinstance(body, str) else json.dumps(body)).encode())

    old = old or TokenSet("A", refresh_token="R")
    return login().exchange(old, send, 1000.0)


def node(**fields):
    return {"open_auth_token_app_response": fields}


def test_the_authorization_url():
    """S, first step: app_id and redirect_uri, nothing else."""
    example = (
        "http://openauth.yourdomain.com/oauth2/appToAppAuth?app_id=2019032617262200001"
        "&redirect_uri=http%3a%2f%2flocalhost%3a8087%2foauth2callback"
    )
    ours = login().begin(state="").url
    assert ours.lower() == example.lower()


def test_a_nonce_travels_inside_redirect_uri():
    """C: a state would be lost in the login form."""
    query = dict(parse_qsl(urlsplit(login().begin(state="n once").url).query))
    assert query == {
        "app_id": APP_ID,
        "redirect_uri": "http://localhost:8087/oauth2callback?state=n+once",
    }


def test_a_nonce_needs_a_redirect_uri_to_travel_in():
    """Without one every redirect would be refused for its state, and nobody would know why."""
    with pytest.raises(errors.ConfigurationError, match="redirect_uri is missing"):
        login(redirect_uri=None).begin()


def test_a_scope_is_refused_by_name():
    """S: app_id and redirect_uri are all there is."""
    key = KEYS["app_private_pkcs8_b64"]
    with pytest.raises(errors.ConfigurationError, match="leave scope out"):
        AuthorizationCode(PROVIDER, client_id=APP_ID, client_secret=key, scope="read")


def test_the_callback():
    """S, second step: app_id and code come back."""
    grant = AuthorizationCode(
        PROVIDER,
        client_id="2015101400446982",
        client_secret="k",
        redirect_uri="http://www.xxx.com/",
    )
    back = "http://www.xxx.com/oauth2callback?app_id=2015101400446982&code=ca34ea491e7146cc87d25fca24c4cD11"
    assert grant.read(back, grant.begin(state="")) == "ca34ea491e7146cc87d25fca24c4cD11"


def test_the_code_exchange():
    """S, third step: open.auth.token.app with grant_type and code in biz_content."""
    asks = []

    def send(ask):
        asks.append(ask)
        return Answer(200, {}, json.dumps(ANSWER).encode())

    grant, code = login(), "bf67d8d5ed754af297f72cc482287X62"
    tokens = grant.redeem({"code": code, "app_id": APP_ID}, grant.begin(state=""), send, 0.0)
    assert tokens.access_token == "88e68196d2359667f0dc8136e6c86803"
    (ask,) = asks
    form = dict(parse_qsl(ask.body().decode()))
    assert (ask.method, ask.url) == ("POST", "https://gateway.yourdomain.com/")
    assert form["method"] == "open.auth.token.app"
    assert json.loads(form["biz_content"]) == {"grant_type": "authorization_code", "code": code}
    assert set(form) == {
        "app_id",
        "method",
        "format",
        "charset",
        "sign_type",
        "sign",
        "timestamp",
        "version",
        "biz_content",
    }
    assert KEYS["app_private_pkcs8_b64"] not in ask.body().decode()


def test_the_refresh():
    """S, last: grant_type and refresh_token in biz_content, under that name."""
    asks = []
    exchanged(
        ANSWER, asks=asks, old=TokenSet("A", refresh_token="856faf8d77d3b985c1073557ce6ea724")
    )
    business = json.loads(dict(parse_qsl(asks[0].body().decode()))["biz_content"])
    assert business == {
        "grant_type": "refresh_token",
        "refresh_token": "856faf8d77d3b985c1073557ce6ea724",
    }


def test_the_answer():
    """S: negative lifetimes are for ever; user_id is kept."""
    tokens = exchanged(ANSWER)
    assert tokens.access_token == "88e68196d2359667f0dc8136e6c86803"
    assert tokens.refresh_token == "856faf8d77d3b985c1073557ce6ea724"
    assert (tokens.expires_at, tokens.refresh_expires_at) == (None, None)
    assert tokens.extra["user_id"] == "1"


def test_user_id_stays_known():
    """An answer that does not repeat it changes nothing."""
    old = TokenSet("A", refresh_token="R", extra={"user_id": "1"})
    fields = {"code": "10000", "app_auth_token": "B", "app_refresh_token": "S"}
    assert exchanged(node(**fields), old=old).extra["user_id"] == "1"
    assert exchanged(node(**fields, user_id=None), old=old).extra["user_id"] == "1"


def test_positive_lifetimes_count():
    """C: an operator who sets 7200 answers 21600 for the refresh token."""
    fields = {"code": "10000", "app_auth_token": "B", "app_refresh_token": "S"}
    tokens = exchanged(node(**fields, expires_in=7200, re_expires_in="21600"))
    assert (tokens.expires_at, tokens.refresh_expires_at) == (8200.0, 22600.0)


@pytest.mark.parametrize(
    "body",
    [
        {"error_response": {"code": "10000", "app_auth_token": "B"}},
        {"result": {"code": "10000", "app_auth_token": "B"}},
        {"data": {"code": "10000", "app_auth_token": "B"}},
        {"code": "10000", "app_auth_token": "B"},
        {
            "code": "0",
            "msg": "success",
            "data": {"app_auth_token": "B"},
            "sub_code": "",
            "sub_msg": "",
        },
        {"code": 0, "data": {"app_auth_token": "B"}},
    ],
    ids=["no method", "fixed name result", "fixed name data", "no envelope", "SOP 5", "a number"],
)
def test_envelopes_that_operators_choose(body):
    """C: CustomDataNameBuilder, mergeResult=false, SOP 5.x."""
    assert exchanged(body).access_token == "B"


DEAD, CONFIG = errors.ReauthorizationRequired, errors.ConfigurationError


@pytest.mark.parametrize(
    ("fields", "kind", "error"),
    [
        ({"code": "10000", "error": "invalid_token"}, DEAD, "invalid_token"),
        ({"code": "10000", "error": "invalid_request"}, DEAD, "invalid_request"),
        ({"code": "10000", "error": "expired_token"}, CONFIG, "expired_token"),
        ({"code": "10000", "error": "invalid_grant"}, CONFIG, "invalid_grant"),
        ({"code": "10000", "error": "invalid_token", "app_auth_token": "B"}, DEAD, "invalid_token"),
        ({"code": "20000", "sub_code": "isp.unknown-error"}, errors.ProviderError, None),
        ({"code": "20000", "sub_code": "isp.service-not-available"}, errors.ProviderError, None),
        ({"code": "20000", "sub_code": "isv.service-busy"}, errors.ProviderError, None),
        ({"code": "20001", "sub_code": "aop.invalid-app-auth-token"}, DEAD, None),
        ({"code": "20001", "sub_code": "aop.invalid-app-auth-token-no-api"}, CONFIG, None),
        ({"code": "40001", "sub_code": "isv.missing-signature"}, CONFIG, None),
        ({"code": "40002", "sub_code": "isv.invalid-signature"}, CONFIG, None),
        ({"code": "40002", "sub_code": "isv.invalid-timestamp"}, CONFIG, None),
        ({"code": "40002", "sub_code": "isv.brand-new"}, CONFIG, None),
        ({"code": "40004", "sub_code": "business"}, CONFIG, None),
        ({"code": "40006", "sub_code": "isv.ip-forbidden"}, CONFIG, None),
        ({"code": "99999"}, errors.ProviderError, "99999"),
        ({"app_auth_token": "B"}, errors.ProviderError, "code=None"),
        (
            {"code": "10000", "sub_code": "isv.odd", "app_auth_token": "B"},
            errors.ProviderError,
            "isv.odd",
        ),
    ],
)
def test_failures_come_with_http_200(fields, kind, error):
    """C: ErrorEnum and OAuth2ServiceImpl; success is code, no sub_code, no error, and a token."""
    refusal = exchanged(node(**fields))
    assert type(refusal) is kind
    assert refusal.error == (error or f"{fields['code']}/{fields['sub_code']}")


def test_success_without_a_token_is_none():
    """10000 alone does not do."""
    assert type(exchanged(node(code="10000", msg="Success"))) is errors.UnreadableAnswerError


def test_the_error_is_matched_by_code_never_by_text():
    """C: msg and sub_msg follow Accept-Language."""
    for text in ("Invalid signature", "无效签名"):
        refusal = exchanged(node(code="40002", sub_code="isv.invalid-signature", sub_msg=text))
        assert type(refusal) is CONFIG
        assert text in str(refusal)


def test_a_grant_without_the_key_is_refused():
    """The key signs; without it nothing can be asked."""
    with pytest.raises(errors.ConfigurationError):
        RefreshToken(PROVIDER, client_id=APP_ID)


@pytest.mark.parametrize("auth", ["body", "basic", "none"])
def test_another_proof_does_not_fit_the_gateway(auth):
    """And would send the private key away."""
    with pytest.raises(errors.ConfigurationError):
        RefreshToken(PROVIDER, client_id=APP_ID, client_secret="k", client_auth=auth)


def test_a_signature_needs_a_gateway():
    """client_auth="signed" for a plain provider is a mistake."""
    with pytest.raises(errors.ConfigurationError, match="gateway"):
        Provider("https://idp.example/token", client_auth="signed")
    with pytest.raises(errors.ConfigurationError, match="does not fit"):
        RefreshToken(
            "https://idp.example/token", client_id="a", client_secret="b", client_auth="signed"
        )


@pytest.mark.parametrize(
    ("sub_code", "advice"),
    [("isv.invalid-timestamp", "utc_offset"), ("isv.invalid-signature", "private key")],
)
def test_a_refused_timestamp_or_signature_says_what_to_look_at(sub_code, advice):
    """The two mistakes that everybody makes first."""
    refusal = exchanged(node(code="40002", sub_code=sub_code))
    assert type(refusal) is CONFIG
    assert advice in str(refusal)
