"""Each row of the catalogue against the shapes that its source documents: what is sent, what is read."""

import json
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from tokenlatch import AuthorizationCode, ClientCredentials, RefreshToken, TokenSet, errors
from tokenlatch._attach import Draft, manner_of
from tokenlatch._wire import Answer
from tokenlatch.providers.catalogue import CATALOGUE

NOW = 1_767_225_600.0
OLD = TokenSet("old-access", refresh_token="old-refresh")
BLANKS = {
    "host": "host.example",
    "shop": "acme.myshopify.com",
    "tenant": "common",
    "domain": "acme.example",
    "server": "default",
    "account": "acme",
    "installation": "1",
    "dc": "com",
}


@dataclass(frozen=True)
class Row:
    """What the documents show of one provider.

    sent: what a refresh (or, for an app's own token, the request) has among its fields; "" as a value: it must not
    be there. got: the answer. expires, refresh_expires: seconds from now.
    """

    got: object
    sent: dict = field(default_factory=dict)
    app: bool = False
    access: str = "AT"
    refresh: str | None = "RT"
    expires: float | None = None
    refresh_expires: float | None = None
    refused: object = None
    kind: type = errors.ReauthorizationRequired


PLAIN = {"access_token": "AT", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "RT"}
REFRESH = {"grant_type": "refresh_token", "refresh_token": "old-refresh"}
BODY = {**REFRESH, "client_id": "id", "client_secret": "s"}
BASIC = {**REFRESH, "client_secret": ""}
DEAD = (400, {"error": "invalid_grant"})
PROVIDER = errors.ProviderError


def plain(sent, **changes):
    """Return a row that answers as RFC 6749 says."""
    return Row(**{"got": PLAIN, "sent": sent, "expires": 3600, "refused": DEAD, **changes})


def without(*names, **more):
    return {name: value for name, value in PLAIN.items() if name not in names} | more


def app(**more):
    return {"access_token": "AT", "expires_in": 7200, **more}


ROWS = {
    "wechat_app": Row(
        app(),
        {"grant_type": "client_credential", "appid": "id", "secret": "s", "client_id": ""},
        app=True,
        refresh=None,
        expires=7200,
        refused={"errcode": 40013, "errmsg": "invalid appid"},
        kind=PROVIDER,
    ),
    "wechat_login": Row(
        {**PLAIN, "refresh_token": "old-refresh", "openid": "o", "scope": "snsapi_login"},
        {**REFRESH, "appid": "id", "secret": ""},
        refresh="old-refresh",
        expires=3600,
        refused={"errcode": 40030, "errmsg": "invalid refresh_token"},
    ),
    "wecom": Row(
        app(errcode=0, errmsg="ok"),
        {"corpid": "id", "corpsecret": "s", "grant_type": ""},
        app=True,
        refresh=None,
        expires=7200,
        refused={"errcode": 40001, "errmsg": "invalid credential"},
        kind=PROVIDER,
    ),
    "dingtalk_app": Row(
        app(errcode=0, errmsg="ok"),
        {"appkey": "id", "appsecret": "s", "grant_type": ""},
        app=True,
        refresh=None,
        expires=7200,
        refused={"errcode": 40089, "errmsg": "no such key"},
        kind=PROVIDER,
    ),
    "dingtalk": Row(
        {"accessToken": "AT", "refreshToken": "RT", "expireIn": 7200, "corpId": "c"},
        {
            "clientId": "id",
            "clientSecret": "s",
            "grantType": "refresh_token",
            "refreshToken": "old-refresh",
            "grant_type": "",
        },
        expires=7200,
        refused=(400, {"code": "invalid.refreshToken", "message": "bad"}),
        kind=PROVIDER,
    ),
    "feishu_tenant": Row(
        {"code": 0, "msg": "ok", "tenant_access_token": "AT", "expire": 7200},
        {"app_id": "id", "app_secret": "s", "grant_type": ""},
        app=True,
        refresh=None,
        expires=7200,
        refused={"code": 10003, "msg": "invalid param"},
        kind=PROVIDER,
    ),
    "feishu": Row(
        {**PLAIN, "code": 0, "refresh_token_expires_in": 604800},
        BODY,
        expires=3600,
        refresh_expires=604800,
        refused=(400, {"code": 20037, "error": "invalid_grant"}),
    ),
    "douyin": Row(
        {
            "message": "success",
            "data": {
                "access_token": "AT",
                "refresh_token": "RT",
                "expires_in": "86400",
                "refresh_expires_in": 2592000,
                "open_id": "o",
                "error_code": 0,
                "description": "",
            },
        },
        {**REFRESH, "client_key": "id", "client_secret": "", "client_id": ""},
        expires=86400,
        refresh_expires=2592000,
        refused={"message": "error", "data": {"error_code": 10010, "description": "expired"}},
        kind=PROVIDER,
    ),
    "kuaishou": Row(
        {"result": 1, **PLAIN, "refresh_token_expires_in": 15552000, "scopes": ["a", "b"]},
        {**REFRESH, "app_id": "id", "app_secret": "s"},
        expires=3600,
        refresh_expires=15552000,
        refused={"result": 100200100, "error_msg": "bad"},
        kind=PROVIDER,
    ),
    "baidu": plain(BODY, got={**PLAIN, "session_key": "k", "expires_in": 2592000}, expires=2592000),
    "weibo": Row(
        {"access_token": "AT", "expires_in": 157679999, "remind_in": "157679999", "uid": "1"},
        BODY,
        refresh="old-refresh",
        expires=157679999,
        refused=DEAD,
    ),
    "jd": plain(
        {**REFRESH, "app_key": "id", "app_secret": "s"},
        refused={"error_response": {"code": "19", "zh_desc": "无效"}},
        kind=PROVIDER,
    ),
    "pinduoduo": plain(BODY, refused={"error_response": {"error_code": 10019}}, kind=PROVIDER),
    "taobao": plain(BODY, got={**PLAIN, "re_expires_in": 86400}, refresh_expires=86400),
    "alibaba_1688": plain({**REFRESH, "need_refresh_token": "true"}),
    "xiaomi": plain(BODY, got="&&&START&&&" + json.dumps({**PLAIN, "mac_key": "k", "openId": "o"})),
    "qq": plain(BODY, got="access_token=AT&expires_in=3600&refresh_token=RT"),
    "esign": Row(
        {
            "code": 0,
            "message": "成功",
            "data": {"token": "AT", "refreshToken": "RT", "expiresIn": str(int(NOW + 7200) * 1000)},
        },
        {
            "grantType": "refresh_token",
            "refreshToken": "old-refresh",
            "appId": "id",
            "secret": "s",
        },
        expires=7200,
        refused={"code": 401, "message": "bad"},
        kind=PROVIDER,
    ),
    "line": plain(BODY, got={**PLAIN, "id_token": "i"}),
    "github": plain(
        BODY, got={**PLAIN, "refresh_token_expires_in": 15811200}, refresh_expires=15811200
    ),
    "slack": plain(
        BODY, got={"ok": True, **PLAIN}, refused={"ok": False, "error": "invalid_grant"}
    ),
    "slack_user": plain(
        BODY,
        got={"ok": True, "authed_user": {"id": "U", **PLAIN}},
        refused={"ok": False, "error": "invalid_grant"},
    ),
    "salesforce": plain(
        BODY,
        got=without("expires_in", instance_url="https://x.example", issued_at="1767225600000"),
        expires=None,
    ),
    "facebook": Row(
        {"access_token": "AT", "token_type": "bearer", "expires_in": 5183944},
        {
            "grant_type": "fb_exchange_token",
            "fb_exchange_token": "old-access",
            "client_id": "id",
            "client_secret": "s",
        },
        refresh="old-refresh",
        expires=5183944,
        refused=(400, {"error": {"message": "Error validating access token", "code": 190}}),
        kind=PROVIDER,
    ),
    "instagram": Row(
        {"access_token": "AT", "token_type": "bearer", "expires_in": 5183944},
        {"grant_type": "ig_refresh_token", "access_token": "old-access", "client_id": ""},
        refresh="old-refresh",
        expires=5183944,
    ),
    "threads": Row(
        {"access_token": "AT", "token_type": "bearer", "expires_in": 5183944},
        {"grant_type": "th_refresh_token", "access_token": "old-access", "client_id": ""},
        refresh="old-refresh",
        expires=5183944,
    ),
    "linkedin": plain(
        BODY, got={**PLAIN, "refresh_token_expires_in": 86400}, refresh_expires=86400
    ),
    "fitbit": plain(
        BASIC,
        got={**PLAIN, "expires_in": 28800, "user_id": "U"},
        expires=28800,
        refused=(
            400,
            {"errors": [{"errorType": "invalid_grant", "message": "bad"}], "success": False},
        ),
    ),
    "zoom": plain(BASIC, refused=(401, {"error": "invalid_grant", "reason": "Invalid Token!"})),
    "intuit": plain(
        BASIC, got={**PLAIN, "x_refresh_token_expires_in": 8726400}, refresh_expires=8726400
    ),
    "xero": plain(BASIC, got={**PLAIN, "expires_in": 1800}, expires=1800),
    "hubspot": plain(
        BODY,
        got={**PLAIN, "expires_in": 1800},
        expires=1800,
        refused=(400, {"status": "BAD_REFRESH_TOKEN", "message": "missing or invalid"}),
        kind=PROVIDER,
    ),
    "tiktok": plain(
        {**REFRESH, "client_key": "id", "client_secret": "s", "client_id": ""},
        got={**PLAIN, "expires_in": 7200, "refresh_expires_in": 31536000, "open_id": "o"},
        expires=7200,
        refresh_expires=31536000,
        refused=(400, {"error": "invalid_grant", "error_description": "bad", "log_id": "1"}),
    ),
    "tiktok_merchant": plain(
        {"client_key": "id"}, got={**PLAIN, "expires_in": NOW + 86400}, expires=86400
    ),
    "shopify": plain(
        {**BODY, "expiring": "1"},
        got={**PLAIN, "refresh_token_expires_in": 7776000},
        refresh_expires=7776000,
    ),
    "stripe": plain(BASIC, got=without("expires_in"), expires=3600),
    "dropbox": plain(BODY, got=without("refresh_token"), refresh="old-refresh"),
    "google": plain(BODY, got=without("refresh_token"), refresh="old-refresh"),
    "microsoft": plain(
        BODY, got={**PLAIN, "expires_in": "3599", "ext_expires_in": "3599"}, expires=3599
    ),
    "okta": plain(BASIC),
    "auth0": plain(BODY, refused=(403, {"error": "invalid_grant"})),
    "cognito": plain(BASIC, got=without("refresh_token"), refresh="old-refresh"),
    "atlassian": plain(
        BODY,
        refused=(
            403,
            {"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."},
        ),
    ),
    "snowflake": plain(
        BASIC, got=without("refresh_token", expires_in=600), refresh="old-refresh", expires=600
    ),
    "databricks": Row(
        app(),
        {"grant_type": "client_credentials", "scope": "all-apis"},
        app=True,
        refresh=None,
        expires=7200,
    ),
    "reddit": plain(BASIC, got=without("refresh_token"), refresh="old-refresh"),
    "strava": plain(
        BODY,
        got={**PLAIN, "expires_at": NOW + 21600, "expires_in": 21600},
        expires=21600,
        refused=(400, {"message": "Bad Request", "errors": [{"code": "invalid"}]}),
        kind=PROVIDER,
    ),
    "spotify": plain(BASIC, got=without("refresh_token"), refresh="old-refresh"),
    "twitch": plain(
        BODY,
        got={**PLAIN, "scope": ["a", "b"]},
        refused=(400, {"status": 400, "message": "Invalid refresh token"}),
        kind=PROVIDER,
    ),
    "discord": plain(BASIC, got={**PLAIN, "expires_in": 604800}, expires=604800),
    "zoho": plain(
        BODY,
        got=without("refresh_token", api_domain="https://www.zohoapis.com"),
        refresh="old-refresh",
    ),
    "mercado_libre": plain(BODY, got={**PLAIN, "user_id": 1}),
    "ebay": plain(
        BASIC,
        got=without("refresh_token", token_type="User Access Token"),
        refresh="old-refresh",
    ),
    "clover": Row(
        {
            "access_token": "AT",
            "access_token_expiration": NOW + 1800,
            "refresh_token": "RT",
            "refresh_token_expiration": NOW + 86400,
        },
        {"client_id": "id", "client_secret": "", "refresh_token": "old-refresh", "grant_type": ""},
        expires=1800,
        refresh_expires=86400,
        refused=(401, {"message": "Unauthorized"}),
        kind=PROVIDER,
    ),
    "sentry": Row(
        (201, {"token": "AT", "refreshToken": "RT", "expiresAt": "2026-01-01T08:00:00.000Z"}),
        BODY,
        expires=8 * 3600,
        refused=DEAD,
    ),
    "coros": Row(
        {"result": "0000", "message": "OK"},
        BODY,
        access="old-access",
        refresh="old-refresh",
        expires=30 * 86400,
        refused={"result": "1019", "message": "Access token is invalid"},
        kind=PROVIDER,
    ),
    "ringcentral": plain(BASIC),
}


def grant_of(name):
    provider = CATALOGUE[name].at(**BLANKS)
    secret = None if name in {"instagram", "threads"} else "s"
    kind = ClientCredentials if ROWS[name].app else RefreshToken
    return kind(provider, client_id="id", client_secret=secret)


def exchange(name, got):
    """Return the request that is sent, and what its answer means."""
    asks = []
    status, said = got if isinstance(got, tuple) else (200, got)
    body = said if isinstance(said, str) else json.dumps(said)

    def send(ask):
        asks.append(ask)
        return Answer(status, {}, body.encode())

    old = None if ROWS[name].app else OLD
    result = grant_of(name).exchange(old, send, NOW)
    return asks[0], result


def fields_of(ask):
    query = dict(parse_qsl(urlsplit(ask.url).query))
    body = ask.body().decode()
    return query | (json.loads(body) if ask.as_json else dict(parse_qsl(body)))


def test_every_row_is_tested():
    """And every test has its row; the catalogue is as long as it claims."""
    assert set(ROWS) == set(CATALOGUE)
    assert len(CATALOGUE) >= 25


@pytest.mark.parametrize("name", ROWS)
def test_what_is_sent(name):
    """Names, places and the client's proof are the provider's."""
    ask, _ = exchange(name, ROWS[name].got)
    sent = fields_of(ask)
    for field_name, value in ROWS[name].sent.items():
        assert sent.get(field_name, "") == value, field_name
    provider = CATALOGUE[name]
    assert ask.method == provider.method
    assert (
        provider.client_auth in {"basic", "secret_as_user"} and bool(grant_of(name)._secret)
    ) == ("Authorization" in ask.headers)
    assert "{" not in ask.url


@pytest.mark.parametrize("name", ROWS)
def test_what_is_read(name):
    """Tokens and their ends, whatever they are called and measured in."""
    row = ROWS[name]
    _, tokens = exchange(name, row.got)
    assert isinstance(tokens, TokenSet), tokens
    assert (tokens.access_token, tokens.refresh_token) == (row.access, row.refresh)
    ends = tuple(each and each - NOW for each in (tokens.expires_at, tokens.refresh_expires_at))
    assert ends == (row.expires, row.refresh_expires)


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.refused])
def test_what_is_a_refusal(name):
    """A failure is one whatever its status, and says whose turn it is."""
    row = ROWS[name]
    _, refusal = exchange(name, row.refused)
    assert type(refusal) is row.kind or (row.kind is PROVIDER and isinstance(refusal, PROVIDER))


@pytest.mark.parametrize("name", ROWS)
def test_no_row_is_older_than_its_evidence(name):
    """The notes begin with where it was read; general knowledge (K) is none."""
    first = CATALOGUE[name].notes.split(" ")[0].strip(".,")
    assert first in {"C", "D", "J", "N", "P", "R"}


@pytest.mark.parametrize("name", [name for name, row in CATALOGUE.items() if row.authorize])
def test_every_login_page_makes_a_url(name):
    """https, with the client in it."""
    login = AuthorizationCode(
        CATALOGUE[name].at(**BLANKS),
        client_id="client 7",
        client_secret="s",
        redirect_uri="https://app.example/cb",
        scope="a b",
    )
    url = login.begin().url
    assert url.startswith("https://")
    assert "client+7" in url
    assert "{" not in url


def test_a_row_with_blanks_is_refused_until_they_are_filled_in():
    """With what to do."""
    with pytest.raises(errors.ConfigurationError, match=r"\.at\("):
        RefreshToken(CATALOGUE["shopify"], client_id="a", client_secret="b")


@pytest.mark.parametrize(
    ("name", "url", "headers"),
    [
        ("wechat_app", "https://api.example/x?a=1&access_token=AT", {}),
        ("wechat_login", "https://api.example/x?a=1&access_token=AT&openid=o", {}),
        ("weibo", "https://api.example/x?a=1&access_token=AT", {}),
        ("dingtalk", "https://api.example/x?a=1", {"x-acs-dingtalk-access-token": "AT"}),
        ("shopify", "https://api.example/x?a=1", {"X-Shopify-Access-Token": "AT"}),
    ],
)
def test_where_calls_carry_the_token(name, url, headers):
    """Query or header, as the provider wants it; an old token there is replaced."""
    manner = manner_of(grant_of(name), None)
    tokens = TokenSet("AT", extra={"openid": "o"})
    draft = Draft("https://api.example/x?a=1")
    dressed = manner.dress(draft, tokens, NOW)
    assert (dressed.url, dict(dressed.headers)) == (url, headers)
    again = manner.dress(replace(draft, url=dressed.url), tokens, NOW)
    assert again.url == dressed.url


def test_the_usual_way_is_no_manner():
    """So that it costs nothing."""
    assert manner_of(grant_of("google"), None) is None
