"""Providers in China."""

from typing import Final

from tokenlatch.providers import Attach, Authorize, Provider, Rejection

_IN_QUERY: Final = Attach("query", "access_token")
_ERRCODE: Final = {"code": "errcode", "description": "errmsg"}
_ERRCODE_0: Final = {"errcode": ("0", None)}

WECHAT_APP: Final = Provider(
    "https://api.weixin.qq.com/cgi-bin/stable_token",
    encoding="json",
    client_auth="body",
    param_names={"client_id": "appid", "client_secret": "secret"},
    grant_values={"client_credentials": "client_credential"},
    success=_ERRCODE_0,
    error_fields=_ERRCODE,
    old_access_lifetime=300.0,
    attach=_IN_QUERY,
    rejected_when=Rejection(body=(("errcode",), ("40001", "40014", "42001"))),
    notes="D, P. The same token is given until its last five minutes; force_refresh at most 20 times a day.",
)
WECHAT_LOGIN: Final = Provider(
    "https://api.weixin.qq.com/sns/oauth2/access_token",
    refresh_url="https://api.weixin.qq.com/sns/oauth2/refresh_token",
    method="GET",
    encoding="query",
    client_auth="body",
    secret_on_refresh=False,
    param_names={"client_id": "appid", "client_secret": "secret", "redirect_uri": None},
    authorize=Authorize(
        "https://open.weixin.qq.com/connect/qrconnect",
        names={"client_id": "appid"},
        fragment="wechat_redirect",
        pkce="never",
    ),
    success=_ERRCODE_0,
    error_fields=_ERRCODE,
    error_classes={"40030": "grant_dead"},
    refresh_lifetime=30 * 86400.0,
    refresh_retry_grace=float("inf"),
    keep_extra=("openid", "unionid"),
    attach=Attach("query", "access_token", companions={"openid": "openid"}),
    notes="D, J, P. A refresh prolongs the same access token; the refresh token lives 30 days.",
)
WECOM: Final = Provider(
    "https://qyapi.weixin.qq.com/cgi-bin/gettoken",
    method="GET",
    encoding="query",
    client_auth="body",
    param_names={"client_id": "corpid", "client_secret": "corpsecret"},
    grant_values={"client_credentials": None},
    success={"errcode": ("0",)},
    error_fields=_ERRCODE,
    attach=_IN_QUERY,
    notes="J. App tokens only.",
)
DINGTALK_APP: Final = Provider(
    "https://oapi.dingtalk.com/gettoken",
    method="GET",
    encoding="query",
    client_auth="body",
    param_names={"client_id": "appkey", "client_secret": "appsecret"},
    grant_values={"client_credentials": None},
    success={"errcode": ("0",)},
    error_fields=_ERRCODE,
    attach=_IN_QUERY,
    notes="D. Asked again while valid, it gives the same token with a longer life.",
)
DINGTALK: Final = Provider(
    "https://api.dingtalk.com/v1.0/oauth2/userAccessToken",
    encoding="json",
    client_auth="body",
    param_names={
        "client_id": "clientId",
        "client_secret": "clientSecret",
        "grant_type": "grantType",
        "refresh_token": "refreshToken",
        "redirect_uri": None,
        "scope": None,
    },
    authorize=Authorize(
        "https://login.dingtalk.com/oauth2/auth",
        extra={"prompt": "consent"},
        code_param="authCode",
        pkce="never",
    ),
    fields={
        "access_token": "accessToken",
        "refresh_token": "refreshToken",
        "expires_in": "expireIn",
    },
    error_fields={"code": "code", "description": "message"},
    attach=Attach("header", "x-acs-dingtalk-access-token"),
    notes="J, P. A user's token; the redirect brings authCode.",
)
FEISHU_TENANT: Final = Provider(
    "https://open.feishu.cn/open-apis/auth/v3/tenant_access_token/internal",
    encoding="json",
    client_auth="body",
    param_names={"client_id": "app_id", "client_secret": "app_secret"},
    grant_values={"client_credentials": None},
    success={"code": ("0",)},
    fields={"access_token": "tenant_access_token", "expires_in": "expire"},
    error_fields={"code": "code", "description": "msg"},
    refresh_ahead=600.0,
    notes="C, P. The same token until less than 30 minutes are left; the old one stays good.",
)
FEISHU: Final = Provider(
    "https://open.feishu.cn/open-apis/authen/v2/oauth/token",
    encoding="json",
    client_auth="body",
    success={"code": ("0", None)},
    error_fields={"code": ("error", "code"), "description": ("error_description", "msg")},
    rotation="required",
    notes="D. Needs scope offline_access; a refresh token works once.",
)
DOUYIN: Final = Provider(
    "https://open.douyin.com/oauth/access_token/",
    refresh_url="https://open.douyin.com/oauth/refresh_token/",
    client_auth="body",
    secret_on_refresh=False,
    param_names={"client_id": "client_key", "redirect_uri": None},
    root="data",
    success={"message": ("success",), "error_code": ("0", None)},
    error_fields={"code": "error_code", "description": "description"},
    keep_extra=("open_id",),
    notes="C, J. A refresh does not renew the refresh token (30 days): renew_refresh_token does, at most 5 times.",
)
KUAISHOU: Final = Provider(
    "https://open.kuaishou.com/oauth2/access_token",
    refresh_url="https://open.kuaishou.com/oauth2/refresh_token",
    method="GET",
    encoding="query",
    client_auth="body",
    param_names={"client_id": "app_id", "client_secret": "app_secret", "redirect_uri": None},
    grant_values={"authorization_code": "code"},
    success={"result": ("1",)},
    fields={"scope": ("scopes", "scope")},
    error_fields={"code": ("error", "result"), "description": ("error_msg", "error_description")},
    refresh_deadline_inherited=True,
    keep_extra=("open_id",),
    attach=_IN_QUERY,
    notes="D (mirror), C. A new refresh token ends when the first would have.",
)
BAIDU: Final = Provider(
    "https://openapi.baidu.com/oauth/2.0/token",
    encoding="query",
    client_auth="body",
    error_fields={
        "code": ("error", "error_code"),
        "description": ("error_description", "error_msg"),
    },
    rotation="required",
    attach=_IN_QUERY,
    notes="D, J, P. A refresh that fails voids the refresh token, too: log in again.",
)
WEIBO: Final = Provider(
    "https://api.weibo.com/oauth2/access_token",
    client_auth="body",
    authorize=Authorize("https://api.weibo.com/oauth2/authorize", pkce="never"),
    keep_extra=("uid",),
    attach=_IN_QUERY,
    notes="D, P, R. Answers have no token_type.",
)
JD: Final = Provider(
    "https://open-oauth.jd.com/oauth2/access_token",
    refresh_url="https://open-oauth.jd.com/oauth2/refresh_token",
    client_auth="body",
    param_names={"client_id": "app_key", "client_secret": "app_secret"},
    error_fields={
        "code": ("error_response.code", "error"),
        "description": ("error_response.zh_desc", "error_description"),
    },
    keep_extra=("open_id", "uid"),
    notes="J. API calls go through a signed gateway of its own, which is not built in.",
)
PINDUODUO: Final = Provider(
    "https://open-api.pinduoduo.com/oauth/token",
    encoding="json",
    client_auth="body",
    error_fields={
        "code": ("error_response.error_code", "error_response", "error"),
        "description": "error_response.error_msg",
    },
    notes="C. API calls go through a signed gateway of its own, which is not built in.",
)
TAOBAO: Final = Provider(
    "https://oauth.taobao.com/token",
    client_auth="body",
    fields={"refresh_expires_in": "re_expires_in"},
    rotation="required",
    notes="C, J. API calls carry a signed parameter session, which is not built in.",
)
ALIBABA_1688: Final = Provider(
    "https://gw.open.1688.com/openapi/http/1/system.oauth2/getToken/{client_id}",
    client_auth="body",
    extra_params={"need_refresh_token": "true"},
    notes="C. The app key is part of the path.",
)
XIAOMI: Final = Provider(
    "https://account.xiaomi.com/oauth2/token",
    method="GET",
    encoding="query",
    client_auth="body",
    strip_prefix="&&&START&&&",
    keep_extra=("openId",),
    attach=Attach("query", "token"),
    notes="C, J. A refresh wants redirect_uri as well: params={'redirect_uri': ...}.",
)
QQ: Final = Provider(
    "https://graph.qq.com/oauth2.0/token",
    method="GET",
    encoding="query",
    client_auth="body",
    error_fields={
        "code": ("error", "code"),
        "description": ("error_description", "msg"),
    },
    attach=Attach("query", "access_token", companions={"openid": "openid"}),
    notes="J, P. Answers as a form; calls want oauth_consumer_key and openid, too.",
)
ESIGN: Final = Provider(
    "https://{host}/v1/oauth2/access_token",
    refresh_url="https://{host}/v1/oauth2/refresh_token",
    method="GET",
    encoding="query",
    client_auth="body",
    param_names={
        "client_id": "appId",
        "client_secret": "secret",
        "grant_type": "grantType",
        "refresh_token": "refreshToken",
    },
    success={"code": ("0",)},
    root="data",
    fields={
        "access_token": "token",
        "refresh_token": "refreshToken",
        "expires_in": "expiresIn",
    },
    expires_kind="epoch_ms",
    error_fields={"code": "code", "description": "message"},
    old_access_lifetime=300.0,
    notes="D. expiresIn is an instant in milliseconds, as a text; old and new token live side by side for 5 minutes.",
)
