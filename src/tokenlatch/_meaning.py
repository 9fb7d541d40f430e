"""What an error code of a token endpoint means: who must act, and what they are told.

Law: pure tables; which code was said is read in ``_shape``.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from tokenlatch.errors import (
    AuthError,
    ConfigurationError,
    ProviderError,
    ReauthorizationRequired,
    UnreadableAnswerError,
)

ErrorClass: TypeAlias = Literal[
    "grant_dead",
    "maybe_dead",
    "code_dead",
    "app_not_allowed",
    "config",
    "clock",
    "signature",
    "retry",
    "rate_limited",
]

ERROR_CLASSES: Final[Mapping[str, ErrorClass]] = {
    # RFC 6749 section 5.2
    "invalid_grant": "grant_dead",
    "invalid_client": "config",
    "unauthorized_client": "config",
    "unsupported_grant_type": "config",
    "invalid_scope": "config",
    "invalid_request": "maybe_dead",  # some servers say it of a dead refresh token
    "invalid_target": "config",  # RFC 8707 section 2
    # RFC 6749 section 4.1.2.1, sent by token endpoints too
    "server_error": "retry",
    "temporarily_unavailable": "retry",
    "slow_down": "retry",
}

MEANING: Final[Mapping[str, tuple[type[AuthError], str]]] = {
    "grant_dead": (
        ReauthorizationRequired,
        "The provider refused the grant ({said}): log in again.",
    ),
    "maybe_dead": (
        ReauthorizationRequired,
        "The provider refused the request ({said}): log in again, or check the client's settings.",
    ),
    "code_dead": (
        ReauthorizationRequired,
        "The provider refused the code ({said}): it works once and soon ends, so log in again.",
    ),
    "app_not_allowed": (
        ReauthorizationRequired,
        "The provider does not let this client refresh ({said}): apply for that right, then log in again.",
    ),
    "config": (
        ConfigurationError,
        "The provider refused the client ({said}): check client id, secret, client_auth and scope.",
    ),
    "clock": (
        ConfigurationError,
        "The provider refused the timestamp ({said}): set this machine's clock, or the gateway's utc_offset.",
    ),
    "signature": (
        ConfigurationError,
        "The provider refused the signature ({said}): check the private key, and its public half there.",
    ),
    "retry": (
        ProviderError,
        "The provider failed with HTTP {status} ({said}): it is asked again later.",
    ),
    "rate_limited": (
        ProviderError,
        "The provider was asked too often, HTTP {status} ({said}): it is asked again later.",
    ),
    "unknown": (
        ProviderError,
        "The provider answered an error it does not explain, HTTP {status} ({said}).",
    ),
    "unreadable": (
        UnreadableAnswerError,
        "The token endpoint's answer is no token answer ({what}): check its URL.",
    ),
}
