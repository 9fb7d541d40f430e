"""Providers elsewhere."""

from typing import Final

from tokenlatch.providers import Attach, Authorize, Provider

_FOREVER: Final = float("inf")
_HOUR: Final = 3600.0
_DAY: Final = 86400.0

LINE: Final = Provider("https://api.line.me/oauth2/v2.1/token", client_auth="body", notes="P.")
GITHUB: Final = Provider(
    "https://github.com/login/oauth/access_token",
    client_auth="body",
    authorize=Authorize("https://github.com/login/oauth/authorize"),
    rotation="required",
    old_access_lifetime=0.0,
    notes="D. With expiring tokens: a refresh ends the old pair at once. Errors come with HTTP 200.",
)
SLACK: Final = Provider(
    "https://slack.com/api/oauth.v2.access",
    client_auth="body",
    scope_join=",",
    success={"ok": ("true",)},
    authorize=Authorize("https://slack.com/oauth/v2/authorize", pkce="offered"),
    notes="D, N, R. The bot's token; the user's, under authed_user, is another grant.",
)
SLACK_USER: Final = Provider(
    "https://slack.com/api/oauth.v2.access",
    client_auth="body",
    scope_join=",",
    root="authed_user",
    success={"ok": ("true",)},
    notes="D, N. The user's token of the same answer.",
)
SALESFORCE: Final = Provider(
    "https://{host}/services/oauth2/token",
    revoke_url="https://{host}/services/oauth2/revoke",
    client_auth="body",
    authorize=Authorize("https://{host}/services/oauth2/authorize"),
    keep_extra=("instance_url", "id"),
    notes="C (revocation), D, N. No lifetime is told; APIs live at instance_url. host: login.salesforce.com",
)
FACEBOOK: Final = Provider(
    "https://graph.facebook.com/oauth/access_token",
    method="GET",
    encoding="query",
    client_auth="body",
    exchange_source="access_token",
    grant_values={"refresh_token": "fb_exchange_token"},
    param_names={"refresh_token": "fb_exchange_token"},
    notes="N, R. There is no refresh token: the access token is exchanged for one that lives longer.",
)
INSTAGRAM: Final = Provider(
    "https://graph.instagram.com/refresh_access_token",
    method="GET",
    encoding="query",
    exchange_source="access_token",
    grant_values={"refresh_token": "ig_refresh_token"},
    param_names={"refresh_token": "access_token", "client_id": None},
    notes="N. As Facebook.",
)
THREADS: Final = Provider(
    "https://graph.threads.net/refresh_access_token",
    method="GET",
    encoding="query",
    exchange_source="access_token",
    grant_values={"refresh_token": "th_refresh_token"},
    param_names={"refresh_token": "access_token", "client_id": None},
    notes="N. As Facebook.",
)
LINKEDIN: Final = Provider(
    "https://www.linkedin.com/oauth/v2/accessToken",
    client_auth="body",
    authorize=Authorize("https://www.linkedin.com/oauth/v2/authorization", pkce="never"),
    notes="N.",
)
FITBIT: Final = Provider(
    "https://api.fitbit.com/oauth2/token",
    error_fields={
        "code": ("errors.0.errorType", "error"),
        "description": ("errors.0.message", "error_description"),
    },
    rotation="required",
    keep_extra=("user_id",),
    notes="D, N, R.",
)
ZOOM: Final = Provider(
    "https://zoom.us/oauth/token",
    scope_join=",",
    authorize=Authorize("https://zoom.us/oauth/authorize"),
    error_fields={"description": ("error_description", "reason")},
    rotation="required",
    notes="D, N.",
)
INTUIT: Final = Provider(
    "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer",
    fields={"refresh_expires_in": "x_refresh_token_expires_in"},
    notes="D, N. The refresh token changes about once a day; realmId comes with the redirect.",
)
XERO: Final = Provider(
    "https://identity.xero.com/connect/token",
    refresh_retry_grace=1800.0,
    notes="D, N. A refresh token whose answer was lost may be used again for 30 minutes. Calls want xero-tenant-id.",
)
HUBSPOT: Final = Provider(
    "https://api.hubapi.com/oauth/v1/token",
    client_auth="body",
    error_fields={"code": ("error", "status"), "description": ("error_description", "message")},
    notes="N.",
)
TIKTOK: Final = Provider(
    "https://open.tiktokapis.com/v2/oauth/token/",
    client_auth="body",
    param_names={"client_id": "client_key"},
    scope_join=",",
    rotation="required",
    keep_extra=("open_id",),
    notes="D, P.",
)
TIKTOK_MERCHANT: Final = Provider(
    "https://open.tiktokapis.com/merchant/oauth/token/",
    client_auth="body",
    param_names={"client_id": "client_key"},
    expires_kind="epoch_s",
    notes="D. expires_in is an instant.",
)
SHOPIFY: Final = Provider(
    "https://{shop}/admin/oauth/access_token",
    client_auth="body",
    extra_params={"expiring": "1"},
    scope_join=",",
    authorize=Authorize("https://{shop}/admin/oauth/authorize", pkce="never"),
    refresh_retry_grace=30 * _DAY,
    attach=Attach("header", "X-Shopify-Access-Token"),
    notes="D, N. The old refresh token is good until the new one is used, at most 30 days.",
)
STRIPE: Final = Provider(
    "https://api.stripe.com/v1/oauth/token",
    client_auth="secret_as_user",
    default_lifetime=_HOUR,
    notes="N. No lifetime is told: an hour, by rule.",
)
DROPBOX: Final = Provider(
    "https://api.dropboxapi.com/oauth2/token",
    client_auth="body",
    authorize=Authorize(
        "https://www.dropbox.com/oauth2/authorize", extra={"token_access_type": "offline"}
    ),
    notes="N.",
)
GOOGLE: Final = Provider(
    "https://oauth2.googleapis.com/token",
    revoke_url="https://oauth2.googleapis.com/revoke",
    revoke_with_client=False,
    client_auth="body",
    issuer="https://accounts.google.com",
    authorize=Authorize(
        "https://accounts.google.com/o/oauth2/v2/auth",
        extra={"access_type": "offline", "prompt": "consent"},
    ),
    refresh_retry_grace=_FOREVER,
    notes="C (revocation), N. A refresh token comes at the first consent only, and no refresh brings another.",
)
MICROSOFT: Final = Provider(
    "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
    device_url="https://login.microsoftonline.com/{tenant}/oauth2/v2.0/devicecode",
    client_auth="body",
    authorize=Authorize("https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize"),
    refresh_retry_grace=_FOREVER,
    notes="C (device), D. A new refresh token each time; the old one is not revoked.",
)
OKTA: Final = Provider(
    "https://{domain}/oauth2/{server}/v1/token",
    revoke_url="https://{domain}/oauth2/{server}/v1/revoke",
    introspect_url="https://{domain}/oauth2/{server}/v1/introspect",
    authorize=Authorize("https://{domain}/oauth2/{server}/v1/authorize"),
    refresh_retry_grace=30.0,
    notes="C (endpoints), D. Rotation is a choice; its grace is 0 to 60 s, 30 unless set.",
)
AUTH0: Final = Provider(
    "https://{domain}/oauth/token",
    client_auth="body",
    authorize=Authorize("https://{domain}/authorize"),
    notes="D. Rotation is a choice; its overlap is 0 unless set.",
)
COGNITO: Final = Provider(
    "https://{domain}/oauth2/token",
    authorize=Authorize("https://{domain}/oauth2/authorize"),
    notes="D. Rotation is a choice; its grace is 0 to 60 s.",
)
ATLASSIAN: Final = Provider(
    "https://auth.atlassian.com/oauth/token",
    encoding="json",
    client_auth="body",
    authorize=Authorize(
        "https://auth.atlassian.com/authorize",
        extra={"audience": "api.atlassian.com", "prompt": "consent"},
        pkce="never",
    ),
    notes="D, N. A dead refresh token is answered with HTTP 403. Needs scope offline_access.",
)
SNOWFLAKE: Final = Provider(
    "https://{account}.snowflakecomputing.com/oauth/token-request",
    authorize=Authorize("https://{account}.snowflakecomputing.com/oauth/authorize"),
    refresh_retry_grace=_FOREVER,
    notes="D (mirror), N. Not rotated unless OAUTH_SINGLE_USE_REFRESH_TOKENS_REQUIRED.",
)
DATABRICKS: Final = Provider(
    "https://{host}/oidc/v1/token",
    extra_params={"scope": "all-apis"},
    notes="N. For client credentials.",
)
REDDIT: Final = Provider(
    "https://www.reddit.com/api/v1/access_token",
    authorize=Authorize(
        "https://www.reddit.com/api/v1/authorize", extra={"duration": "permanent"}, pkce="never"
    ),
    notes="N.",
)
STRAVA: Final = Provider(
    "https://www.strava.com/api/v3/oauth/token",
    client_auth="body",
    scope_join=",",
    fields={"expires_in": "expires_at"},
    expires_kind="epoch_s",
    error_fields={"code": ("error", "errors.0.code"), "description": "message"},
    notes="D, N. The refresh token may change with a refresh; the old one is void then.",
)
SPOTIFY: Final = Provider("https://accounts.spotify.com/api/token", notes="N.")
TWITCH: Final = Provider(
    "https://id.twitch.tv/oauth2/token",
    client_auth="body",
    error_fields={"code": ("error", "status"), "description": "message"},
    notes="N. scope is a list; calls want Client-Id, too.",
)
DISCORD: Final = Provider("https://discord.com/api/oauth2/token", notes="N.")
ZOHO: Final = Provider(
    "https://accounts.zoho.{dc}/oauth/v2/token",
    encoding="query",
    client_auth="body",
    refresh_retry_grace=_FOREVER,
    refresh_interval=60.0,
    keep_extra=("api_domain",),
    notes="D, N. At most 10 access tokens in 10 minutes for one refresh token. dc: com, eu, in...",
)
MERCADO_LIBRE: Final = Provider(
    "https://api.mercadolibre.com/oauth/token",
    client_auth="body",
    keep_extra=("user_id",),
    notes="C, D (of Mercado Pago). A new pair with each refresh.",
)
EBAY: Final = Provider(
    "https://api.ebay.com/identity/v1/oauth2/token", notes="N, R. Names its own token_type."
)
CLOVER: Final = Provider(
    "https://{host}/oauth/v2/token",
    refresh_url="https://{host}/oauth/v2/refresh",
    encoding="json",
    client_auth="body",
    secret_on_refresh=False,
    grant_values={"refresh_token": None, "authorization_code": None},
    fields={
        "expires_in": "access_token_expiration",
        "refresh_expires_in": "refresh_token_expiration",
    },
    expires_kind="epoch_s",
    notes="N.",
)
SENTRY: Final = Provider(
    "https://sentry.io/api/0/sentry-app-installations/{installation}/authorizations/",
    encoding="json",
    client_auth="body",
    fields={
        "access_token": "token",
        "refresh_token": "refreshToken",
        "expires_in": "expiresAt",
    },
    expires_kind="iso",
    notes="N. Answers with HTTP 201.",
)
COROS: Final = Provider(
    "https://{host}/oauth2/accesstoken",
    refresh_url="https://{host}/oauth2/refresh-token",
    client_auth="body",
    success={"result": ("0000", None)},
    error_fields={"code": ("error", "result"), "description": "message"},
    rotation="prolonged",
    default_lifetime=30 * _DAY,
    refresh_retry_grace=_FOREVER,
    notes="N. A refresh prolongs the same tokens by 30 days.",
)
RINGCENTRAL: Final = Provider(
    "https://platform.ringcentral.com/restapi/oauth/token",
    refresh_retry_grace=10.0,
    old_access_lifetime=0.0,
    notes="C (tylerlong/ringcentral-token-refresh-experiment). A repeated refresh gets the same answer.",
)
