"""Sina Cloud (SAE) OpenAPI.

Sources: [S] http://document.applinzi.com/openapi/access-token.html; [I] inferred from bshaffer/oauth2-server-php,
whose error texts and field order the answers have letter for letter: statuses, and how API calls carry the token.
"""

from typing import Final

from tokenlatch.providers._parts import Authorize
from tokenlatch.providers._record import Provider

SINA_CLOUD: Final = Provider(
    "https://api.sinaapp.com/oauth2/access_token",  # [S]
    client_auth="body",  # [S]
    param_names={"redirect_uri": None, "scope": None},  # [S] the callback is "set in the system"
    authorize=Authorize(
        "https://api.sinaapp.com/oauth2/authorize",  # [S]
        names={"redirect_uri": None, "scope": None},
        pkce="never",
    ),
    rotation="required",  # [S] "refresh token can be used only once"
    refresh_outlives_access=86400.0,  # [S] "one day longer than the access token"
    # [S] the app may not refresh at all: the access token stays in use, then a person logs in again.
    error_classes={"unauthorized_client": "app_not_allowed"},
    refresh_ahead=86400.0,  # [S] "when it is about to expire"; [I] a day leaves time to repair
    notes=(
        "The right to refresh is applied for separately. A grant that nobody refreshes for 8 days is "
        "dead: let something run at least weekly. Only the API's creator may authorize, unless applied for."
    ),
)
"""Sina Cloud: tokens of 7 days, each refresh token works once and ends one day after its access token."""
