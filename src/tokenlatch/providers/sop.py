"""SOP, the Simple Open Platform by tanghc: a framework that every operator runs, and may change.

Sources: [S] doc/docs/files/10097_应用授权.md; [C] the source of SOP 4.1 (github.com/yanjingyun/SOP at 8515bb57);
[I] inferred. Nothing here was seen on the wire of a real gateway.
"""

from collections.abc import Mapping
from typing import Final

from tokenlatch._gateway import Gateway
from tokenlatch._meaning import ErrorClass
from tokenlatch._signing import SignType
from tokenlatch.providers._parts import Attach, Authorize, Rejection
from tokenlatch.providers._record import Provider

TOKEN_REJECTED: Final = (  # [C] all under code 20001
    "aop.invalid-app-auth-token",
    "aop.app-auth-token-time-out",
    "aop.invalid-auth-token",
    "aop.auth-token-time-out",
)

_ERRORS: Final[Mapping[str, ErrorClass]] = {  # [C] codes, [I] classes
    # Errors of the token service, which the gateway wraps as a success with code 10000.
    "invalid_token": "grant_dead",  # refresh token unknown or used
    "invalid_request": "code_dead",  # code bad, used or expired
    "expired_token": "config",  # refresh token empty
    "invalid_grant": "config",  # grant_type is neither value
    "isv.service-busy": "rate_limited",
    "isp.unknown-error": "retry",
    "isp.service-not-available": "retry",
    **dict.fromkeys(TOKEN_REJECTED, "grant_dead"),
    "aop.invalid-app-auth-token-no-api": "config",  # needs another consent or contract
    "aop.no-product-reg-by-partner": "config",
    "isv.invalid-timestamp": "clock",  # more than 5 minutes late, by the gateway's own clock
    "isv.invalid-signature": "signature",
    "20000": "retry",
    "20001": "config",
    "40001": "config",
    "40002": "config",
    "40004": "config",
    "40006": "config",
}


def sop(
    gateway_url: str,
    *,
    authorize_url: str | None = None,
    platform_key: str | None = None,
    token_method: str = "open.auth.token.app",  # noqa: S107 - a method's name
    token_param: str = "app_auth_token",  # noqa: S107 - a parameter's name
    utc_offset: float = 8 * 3600.0,
    sign_type: SignType = "RSA2",
    names: Mapping[str, str] | None = None,
) -> Provider:
    """Return the provider behind an operator's SOP gateway.

    A grant for it has the AppId as ``client_id`` and the developer's private key as ``client_secret``
    (PKCS#8 or PKCS#1, PEM or bare base64): the key signs, and never travels.

    Example:
        >>> sop("https://gateway.example.com/")
        Provider('https://gateway.example.com/')

    Args:
        gateway_url: Where all requests go: ``/``, in older installations ``/api``.
        authorize_url: The page where a person consents, such as
            ``https://openauth.example.com/oauth2/appToAppAuth``.
        platform_key: The gateway's public key. With it, answers must be signed.
        token_method: The method that answers with tokens.
        token_param: The parameter with the user's token (SOP's own Python SDK: ``access_token``).
        utc_offset: Seconds by which the gateway's clock is ahead of UTC.
        sign_type: ``RSA2`` or ``RSA``.
        names: Further parameter names that the operator changed.

    Raises:
        ConfigurationError: A URL is plain http to another machine.
    """
    gateway = Gateway(
        token_method=token_method,
        utc_offset=utc_offset,
        sign_type=sign_type,
        platform_key=platform_key,
        names={"app_auth_token": token_param, **(names or {})},
    )
    node = f"{token_method.replace('.', '_')}_response"
    page = None
    if authorize_url:
        page = Authorize(  # [S]
            authorize_url,
            names={"client_id": "app_id", "scope": None, "response_type": None},
            state=False,  # [C] only app_id and redirect_uri survive the login form
            pkce="never",
        )
    return Provider(
        gateway_url,
        client_auth="signed",
        gateway=gateway,
        authorize=page,
        param_names={"redirect_uri": None, "scope": None},
        root=(node, "error_response", "result", "data"),  # the last: SOP 5
        fields={  # [S]
            "access_token": "app_auth_token",
            "refresh_token": "app_refresh_token",
            "refresh_expires_in": "re_expires_in",
        },
        success={"code": ("10000", "0")},  # 0: SOP 5 [C]
        error_fields={
            "code": ("error", "code"),
            "sub_code": "sub_code",
            "description": ("sub_msg", "error_description", "msg"),
        },
        error_classes=_ERRORS,
        rotation="required",  # [C] the old refresh token is deleted at once
        old_access_lifetime=600.0,  # [S] ten minutes
        keep_extra=("user_id",),  # [S]
        attach=Attach("signed", token_param),
        rejected_when=Rejection(body=(("sub_code",), TOKEN_REJECTED)),
        notes="Tokens live for ever unless the operator says otherwise: they are never refreshed on a schedule.",
    )
