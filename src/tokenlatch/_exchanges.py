"""Grants that buy a token with another proof: a signed assertion (RFC 7523), or another token (RFC 8693).

Law: pure; both can be repeated at any time, so nothing of them is spent.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from tokenlatch import _jwt
from tokenlatch._grants import ClientGrant, ClientSecret
from tokenlatch._jwt import Assertion
from tokenlatch._state import Identity, Secret, TokenSet
from tokenlatch.errors import ConfigurationError
from tokenlatch.providers import ClientAuth, Provider

JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a grant's name
ACCESS_TOKEN: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a type's name

Proof: TypeAlias = str | Callable[[], str]
"""A token or assertion from elsewhere: text, or a callable asked at each use."""


class JWTBearer(ClientGrant):
    """A grant for whoever an assertion names (RFC 7523 section 2.1), such as a service account.

    Example:
        >>> JWTBearer(
        ...     "https://oauth2.googleapis.com/token",
        ...     client_id="robot@project.iam.gserviceaccount.com",
        ...     key=Env("ROBOT_KEY"),
        ...     claims={"scope": "https://www.googleapis.com/auth/devstorage.read_only"},
        ... )
        JWTBearer('https://oauth2.googleapis.com/token', client_id='robot@project.iam.gserviceaccount.com')

    Args:
        provider: The token endpoint's URL, or a ``Provider``.
        client_id: ``iss`` of the assertion.
        key: Private key as PEM or JWK, or a shared secret; text or a callable. Either this,
        signed: or a callable that returns an assertion made elsewhere.
        subject: ``sub``; default: the client itself.
        claims: Further claims.
        assertion: How to sign; ``assertion.audience`` is ``aud``, by default the token endpoint.
        client_secret: If the client has to prove itself as well.
        client_auth: As for ``ClientCredentials``.
        scope: Space-separated scope to ask for.
        resource: The API the token is for (RFC 8707).
        params: Further form fields.
        dpop: As for ``ClientCredentials``.

    Raises:
        ConfigurationError: A value cannot be meant.
    """

    _grant_type = JWT_BEARER
    repeatable = True

    def __init__(
        self,
        provider: str | Provider,
        *,
        client_id: str,
        key: ClientSecret | None = None,
        signed: Proof | None = None,
        subject: str | None = None,
        claims: Mapping[str, object] | None = None,
        assertion: Assertion | None = None,
        client_secret: ClientSecret | None = None,
        client_auth: ClientAuth | None = None,
        scope: str | None = None,
        resource: str | None = None,
        params: Mapping[str, str] | None = None,
        dpop: ClientSecret | None = None,
    ) -> None:
        super().__init__(
            provider,
            client_id=client_id,
            client_secret=client_secret,
            scope=scope,
            client_auth=client_auth,
            resource=resource,
            params=params,
            assertion=assertion,
            dpop=dpop,
        )
        if (key is None) == (signed is None):
            raise ConfigurationError("JWTBearer needs either a key to sign with, or signed=.")
        self.subject = subject or client_id
        self.claims = dict(claims or {})
        self._key, self._signed = _kept(key), _kept(signed)

    @property
    def identity(self) -> Identity:
        """Whose tokens these are: another subject's are others."""
        return super().identity.having(grant=f"{JWT_BEARER} {self.subject}")

    def spend(self, tokens: TokenSet | None) -> None:
        """Return None: nothing is spent."""

    def _proof(self, now: float) -> dict[str, str]:
        if self._signed is not None:
            return {"assertion": _read(self._signed)}
        how = self.assertion or Assertion()
        claims = {
            "iss": self.client_id,
            "sub": self.subject,
            "aud": how.audience or self.provider.token_url,
            **self.claims,
        }
        return {"assertion": _jwt.signed(claims, _read(self._key), how, now)}


class TokenExchange(ClientGrant):
    """A token for another audience, or in another's name, bought with a token (RFC 8693).

    Example:
        >>> TokenExchange(
        ...     "https://idp.example/token",
        ...     client_id="gateway",
        ...     client_secret="...",
        ...     subject_token=lambda: user_source.token().access_token,
        ...     audience="billing",
        ... )
        TokenExchange('https://idp.example/token', client_id='gateway')

    Args:
        provider: The token endpoint's URL, or a ``Provider``.
        client_id: The client's id.
        subject_token: The token to exchange: text, or a callable such as another source's.
        subject_token_type: What it is.
        actor_token: The token of whoever acts in the subject's name.
        actor_token_type: What that is.
        requested_token_type: What to get; default: an access token.
        audience: Whom the new token is for.
        client_secret: As for ``ClientCredentials``.
        client_auth: As for ``ClientCredentials``.
        scope: Space-separated scope to ask for.
        resource: The API the token is for (RFC 8707).
        params: Further form fields.
        assertion: As for ``ClientCredentials``.
        dpop: As for ``ClientCredentials``.
        name: What tells this subject from others that share a store.

    Raises:
        ConfigurationError: A value cannot be meant.
    """

    _grant_type = TOKEN_EXCHANGE
    repeatable = True

    def __init__(
        self,
        provider: str | Provider,
        *,
        client_id: str,
        subject_token: Proof,
        subject_token_type: str = ACCESS_TOKEN,
        actor_token: Proof | None = None,
        actor_token_type: str = ACCESS_TOKEN,
        requested_token_type: str | None = None,
        audience: str | None = None,
        client_secret: ClientSecret | None = None,
        client_auth: ClientAuth | None = None,
        scope: str | None = None,
        resource: str | None = None,
        params: Mapping[str, str] | None = None,
        assertion: Assertion | None = None,
        dpop: ClientSecret | None = None,
        name: str = "",
    ) -> None:
        super().__init__(
            provider,
            client_id=client_id,
            client_secret=client_secret,
            scope=scope,
            client_auth=client_auth,
            resource=resource,
            params=params,
            assertion=assertion,
            dpop=dpop,
        )
        self.audience, self.name = audience, name
        self._types = {
            "subject_token_type": subject_token_type,
            **({"actor_token_type": actor_token_type} if actor_token is not None else {}),
            **({"requested_token_type": requested_token_type} if requested_token_type else {}),
        }
        self._subject, self._actor = _kept(subject_token), _kept(actor_token)

    @property
    def identity(self) -> Identity:
        """Whose tokens these are: those for another audience or subject are others."""
        words = (TOKEN_EXCHANGE, self.audience, self.name)
        return super().identity.having(grant=" ".join(word for word in words if word))

    def spend(self, tokens: TokenSet | None) -> None:
        """Return None: nothing is spent."""

    def _proof(self, now: float) -> dict[str, str]:  # noqa: ARG002 - nothing is stamped
        fields = {"subject_token": _read(self._subject), **self._types}
        if self._actor is not None:
            fields["actor_token"] = _read(self._actor)
        return fields | ({"audience": self.audience} if self.audience else {})


def _kept(proof: Proof | None) -> Proof | None:
    return Secret(proof) if isinstance(proof, str) else proof


def _read(proof: Proof | None) -> str:
    return proof() if callable(proof) else proof or ""
