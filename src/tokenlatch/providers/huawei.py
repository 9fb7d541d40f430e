"""Huawei ID (HMS, HarmonyOS).

Sources: [S] "Web应用怎样获取Access Token", Huawei developer blog, 2022-12-27; [D] developer.huawei.com,
harmonyos-references/account-api-obtain-refresh-token and account-server-error-code; [C] JustAuth's
AuthHuaweiV3Request; [I] inferred.
"""

from collections.abc import Mapping
from typing import Final

from tokenlatch._meaning import ErrorClass
from tokenlatch.providers._parts import Authorize, Rejection
from tokenlatch.providers._record import Provider

_HOST = "https://oauth-login.cloud.huawei.com/oauth2/v3"

# [D] codes; [I] classes. Matched by sub_error first: the same one comes under several error codes.
_ERRORS: Final[Mapping[str, ErrorClass]] = {
    "11205": "grant_dead",  # refresh token expired: 180 days
    "31204": "grant_dead",  # revoked: password changed, consent withdrawn
    "31202": "grant_dead",  # cannot be parsed
    "31218": "grant_dead",  # bad format
    "20192": "config",  # refresh token in a bad format: encoded twice?
    "20191": "config",  # refresh token empty
    "20154": "config",  # code or refresh token of another client
    "12304": "config",  # wrong client_secret, under 1101 and 1203 alike
    "12303": "config",  # no such client
    "20002": "config",
    "20003": "config",
    "20023": "config",  # redirect_uri differs
    "20024": "config",
    "20085": "config",  # client_secret empty or malformed
    "20171": "config",
    "20172": "config",
    "20181": "config",  # grant_type empty or wrong
    "20182": "config",
    "20041": "config",  # scope bad, or not in the grant
    "20042": "config",
    "20152": "code_dead",  # bad format: encoded twice?
    "20153": "code_dead",
    "20155": "code_dead",  # expired: 5 minutes
    "20156": "code_dead",  # used
    "20158": "code_dead",  # revoked
    "20222": "config",  # token to revoke in a bad format
    "500": "retry",  # internal error
    "100300": "retry",
    "1107": "code_dead",  # the person said no
}

HUAWEI: Final = Provider(
    f"{_HOST}/token",
    client_auth="body",  # [S]
    revoke_url=f"{_HOST}/revoke",  # [D]
    revoke_with_client=False,  # [D]
    issuer="https://accounts.huawei.com",  # [D] of id_tokens
    authorize=Authorize(
        f"{_HOST}/authorize",
        extra={"access_type": "offline"},  # [S] else there is no refresh token
        pkce="offered",  # [C]
    ),
    error_fields={"code": "error", "sub_code": "sub_error"},  # [D] both integers
    error_classes=_ERRORS,
    # [S] half a year, [D] 180 days from consent; [D] a refresh brings no new refresh token.
    refresh_lifetime=180 * 86400.0,
    refresh_retry_grace=float("inf"),
    # [D] old rest.php APIs answer 200: 6 expired, 102 invalid, 31204 revoked.
    rejected_when=Rejection(header=("NSP_STATUS", ("6", "102", "31204"))),
    notes=(
        "client_credentials: at most 1000 calls in 5 minutes per client; user tokens: 10000 an hour per "
        "app. An id_token is signed with RS256 unless params={'supportAlg': 'PS256'}."
    ),
)
"""Huawei ID: a user's grant lives 180 days from consent; ``client_id`` is the APP ID.

The old ``rest.php`` APIs take the token as a form field: ``BearerAuth(..., attach=Attach("form", "access_token"))``.
"""
