"""How a provider deviates from RFC 6749, as data.

Law: a record says what a provider does; the code that does it is in ``_wire`` and ``_grants``.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, TypeAlias

from tokenlatch._origins import require_confidential
from tokenlatch._wire import ERROR_CLASSES, ErrorClass

__all__ = ["ClientAuth", "Provider"]

ClientAuth: TypeAlias = Literal["basic", "body", "none"]


@dataclass(frozen=True, slots=True)
class Provider:
    """One authorization server, with the defaults of RFC 6749.

    Example:
        >>> Provider("https://idp.example/token", client_auth="body")
        Provider('https://idp.example/token')

    Attributes:
        token_url: The token endpoint (RFC 6749 section 3.2): https, or http on loopback.
        client_auth: How the client proves itself: ``basic`` header, ``body`` fields, or ``none``
            for a public client (RFC 6749 section 2.3.1).
        refresh_retry_grace: Seconds after a refresh in which the spent refresh token is answered
            once more; 0: never; ``inf``: refresh tokens are not single-use.
        error_classes: Meaning of error codes beyond RFC 6749's.

    Raises:
        ConfigurationError: A field cannot be meant.
    """

    token_url: str
    _: KW_ONLY
    client_auth: ClientAuth = "basic"
    refresh_retry_grace: float = 0.0
    error_classes: Mapping[str, ErrorClass] = field(
        default_factory=lambda: ERROR_CLASSES, hash=False
    )

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        require_confidential(self.token_url, "token URL")

    def __repr__(self) -> str:
        return f"Provider({self.token_url!r})"
