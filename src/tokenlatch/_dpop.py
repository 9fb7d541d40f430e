"""Tokens that only the holder of a key can use: a proof with each request (RFC 9449).

Law: pure but for what is remembered of servers' nonces, each per origin; a lost nonce costs one more request.
"""

import hashlib
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from tokenlatch import _jwt
from tokenlatch._origins import origin_of
from tokenlatch._state import Secret
from tokenlatch._wire import Answer, read_fields

Key: TypeAlias = str | Callable[[], str]

WANTS_NONCE: Final = "use_dpop_nonce"


class Dpop:
    """The key that tokens are bound to. All who share a grant need the same one.

    Args:
        key: Private key as PEM or JWK; text or a callable.
    """

    def __init__(self, key: Key) -> None:
        self._key = Secret(key) if isinstance(key, str) else key
        self._nonces: dict[object, str] = {}

    def proof(self, method: str, url: str, now: float, token: str | None = None) -> str:
        """Return the DPoP header of one request (RFC 9449 section 4.2).

        Args:
            method: Its HTTP method.
            url: Its URL.
            now: Seconds since the epoch.
            token: The access token that it carries, or None at the token endpoint.

        Raises:
            ConfigurationError: The key cannot sign.
        """
        claims = {"htm": method, "htu": urlsplit(url)._replace(query="", fragment="").geturl()}
        if token:
            digest = hashlib.sha256(token.encode()).digest()
            claims["ath"] = urlsafe_b64encode(digest).rstrip(b"=").decode()
        nonce = self._nonces.get(origin_of(url))
        if nonce:
            claims["nonce"] = nonce
        return _jwt.dpop_proof(claims, self._key() if callable(self._key) else self._key, now)

    def learn(self, url: str, headers: Mapping[str, str]) -> bool:
        """Remember a server's nonce; tell whether it is a new one (RFC 9449 sections 8 and 9)."""
        nonce, origin = headers.get("dpop-nonce"), origin_of(url)
        if not nonce or self._nonces.get(origin) == nonce:
            return False
        self._nonces[origin] = nonce
        return True


def wants_nonce(answer: Answer) -> bool:
    """Tell whether a token endpoint refused a request only because its proof had no good nonce."""
    return answer.status in {400, 401} and (read_fields(answer) or {}).get("error") == WANTS_NONCE
