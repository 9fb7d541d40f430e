"""The ways to get a token: what each asks for, and what it can spend.

Law: pure; a grant builds the request and reads the answer, and the source does the rest.
"""

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias, get_args

from tokenlatch._asking import Client, read_answer, token_ask
from tokenlatch._dpop import Dpop, wants_nonce
from tokenlatch._jwt import Assertion
from tokenlatch._state import Identity, Secret, TokenSet
from tokenlatch._wire import Answer, Ask
from tokenlatch.errors import AuthError, ConfigurationError
from tokenlatch.providers import ClientAuth, Provider

ClientSecret: TypeAlias = str | Callable[[], str]
Send: TypeAlias = Callable[[Ask], Answer]


class Grant(Protocol):
    """What the source needs of a grant.

    Attributes:
        identity: Whose tokens these are; a store refuses those of another.
        repeatable: A new token can be had any time, so a lost answer costs nothing.
        grace: Seconds in which the provider answers a spent refresh token again.
    """

    @property
    def identity(self) -> Identity: ...
    @property
    def repeatable(self) -> bool: ...
    @property
    def grace(self) -> float: ...

    def spend(self, tokens: TokenSet | None) -> str | None:
        """Return the refresh token that the next exchange would send, or None."""

    def exchange(self, tokens: TokenSet | None, send: Send, now: float) -> TokenSet | AuthError:
        """Get the next token set: one call of ``send``, and one more where a nonce was asked for."""


class ClientGrant:
    """A client at one token endpoint: what ClientCredentials and RefreshToken have in common."""

    _grant_type: str
    _asks_scope = True
    repeatable = False

    def __init__(
        self,
        provider: str | Provider,
        *,
        client_id: str,
        client_secret: ClientSecret | None = None,
        scope: str | None = None,
        client_auth: ClientAuth | None = None,
        resource: str | None = None,
        params: Mapping[str, str] | None = None,
        assertion: Assertion | None = None,
        dpop: ClientSecret | None = None,
    ) -> None:
        self.provider = Provider(provider) if isinstance(provider, str) else provider
        self.client_id = client_id
        self.scope = scope
        self.resource = resource
        self.params = dict(params or {})
        self.assertion = assertion
        self.dpop = Dpop(dpop) if dpop is not None else None
        self._secret = Secret(client_secret) if isinstance(client_secret, str) else client_secret
        default = self.provider.client_auth if client_secret is not None else "none"
        self.client_auth: ClientAuth = client_auth or default
        if not client_id:
            raise ConfigurationError("client_id is empty: pass the id your provider gave you.")
        if self.client_auth not in get_args(ClientAuth):
            words = "', '".join(get_args(ClientAuth))
            raise ConfigurationError(f"client_auth={self.client_auth!r}: use one of '{words}'.")
        if "{" in self.provider.token_url.replace("{client_id}", "").replace("{refresh_token}", ""):
            message = f"{self.provider!r} has blanks in its URL: fill them in with .at(name=value)."
            raise ConfigurationError(message)
        if (self.client_auth == "signed") != (self.provider.gateway is not None):
            raise ConfigurationError(
                f"client_auth={self.client_auth!r} does not fit {self.provider!r}."
            )
        if (self.client_auth == "none") != (client_secret is None):
            message = (
                f"client_auth={self.client_auth!r} and client_secret do not fit: "
                "pass both, or 'none' and no secret."
            )
            raise ConfigurationError(message)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.provider.token_url!r}, client_id={self.client_id!r})"

    @property
    def identity(self) -> Identity:
        """Whose tokens these are."""
        return Identity(
            self.provider.token_url, self.client_id, self._grant_type, self.scope, self.resource
        )

    @property
    def grace(self) -> float:
        """Seconds in which the provider answers a spent refresh token again."""
        return self.provider.refresh_retry_grace

    def spend(self, tokens: TokenSet | None) -> str | None:
        """Return the refresh token that the next exchange would send."""
        raise NotImplementedError

    def exchange(self, tokens: TokenSet | None, send: Send, now: float) -> TokenSet | AuthError:
        """Get the next token set from the token endpoint."""
        answer = self._sent(lambda: self._ask(tokens, now), send, now)
        spends_refresh = self.provider.exchange_source == "refresh_token"
        spent = self.spend(tokens) if spends_refresh else None
        return read_answer(self.provider, self.client, answer, now, tokens, spent=spent)

    def _sent(self, make: Callable[[], Ask], send: Send, now: float) -> Answer:
        """Send a token request, with a proof where tokens are bound to a key (RFC 9449 section 5)."""
        if self.dpop is None:
            return send(make())
        ask = make()
        proof = self.dpop.proof(ask.method, ask.url, now)
        answer = send(ask.having(headers={**ask.headers, "DPoP": proof}))
        if self.dpop.learn(ask.url, answer.headers) and wants_nonce(answer):
            ask = make()  # nothing was spent (RFC 9449 section 8); an assertion works once
            proof = self.dpop.proof(ask.method, ask.url, now)
            answer = send(ask.having(headers={**ask.headers, "DPoP": proof}))
        return answer

    @property
    def client(self) -> Client:
        """Who asks, and how it proves itself."""
        return Client(self.client_id, self.client_auth, self._secret, self.assertion)

    def _ask(self, tokens: TokenSet | None, now: float = 0.0) -> Ask:
        fields = {}
        if self.scope and self._asks_scope:
            fields["scope"] = self.provider.scope_join.join(self.scope.split())
        if self.resource:
            fields["resource"] = self.resource  # RFC 8707 section 2
        token = self.spend(tokens)
        if token:
            fields["refresh_token"] = token
        fields |= self._proof(now) | self.params
        return token_ask(self.provider, self.client, self._grant_type, fields, now)

    def _proof(self, now: float) -> dict[str, str]:  # noqa: ARG002 - for assertions
        """Return the fields by which this grant is proven, besides its refresh token."""
        return {}


class ClientCredentials(ClientGrant):
    """A client's own grant (RFC 6749 section 4.4).

    Example:
        >>> ClientCredentials("https://idp.example/token", client_id="app", client_secret="...")
        ClientCredentials('https://idp.example/token', client_id='app')

    Args:
        provider: The token endpoint's URL, or a ``Provider``.
        client_id: The client's id.
        client_secret: Its secret: text, or a callable such as ``Env("NAME")`` asked at each use.
        scope: Space-separated scope to ask for.
        client_auth: How the client proves itself (``providers.ClientAuth``): ``"basic"``, ``"body"``,
            ``"none"``...; default: the provider's, ``"none"`` without a secret.
        resource: The API the token is for (RFC 8707).
        params: Further form fields, such as ``{"audience": "..."}``.
        assertion: How assertions are signed, where ``client_auth`` is ``"private_key_jwt"`` or
            ``"client_secret_jwt"``; the key is ``client_secret``.
        dpop: Private key, PEM or JWK, that tokens are to be bound to (RFC 9449); text or a callable.

    Raises:
        ConfigurationError: A value cannot be meant.
    """

    _grant_type = "client_credentials"
    repeatable = True

    def spend(self, tokens: TokenSet | None) -> None:
        """Return None: nothing is spent."""


class RefreshToken(ClientGrant):
    """A user's grant that came from elsewhere, kept alive by its refresh token (RFC 6749 section 6).

    Example:
        >>> RefreshToken(
        ...     "https://idp.example/token", client_id="app", refresh_token="tGzv3JOkF0XG5Qx2TlKWIA"
        ... )
        RefreshToken('https://idp.example/token', client_id='app')

    Args:
        provider: The token endpoint's URL, or a ``Provider``.
        client_id: The client's id.
        client_secret: Its secret, if it has one: text, or a callable asked at each use.
        refresh_token: The first seed only: once the store holds a token set, the store's is used.
            Who removes the store's state begins with the seed again, which may long be spent.
        scope: Scope to ask for; default: what was granted.
        client_auth: As for ``ClientCredentials``.
        resource: The API the token is for (RFC 8707).
        params: Further form fields.
        assertion: As for ``ClientCredentials``.
        dpop: As for ``ClientCredentials``; all who share the grant need the same key.

    Raises:
        ConfigurationError: A value cannot be meant.
    """

    _grant_type = "refresh_token"

    def __init__(
        self,
        provider: str | Provider,
        *,
        client_id: str,
        client_secret: ClientSecret | None = None,
        refresh_token: str | None = None,
        scope: str | None = None,
        client_auth: ClientAuth | None = None,
        resource: str | None = None,
        params: Mapping[str, str] | None = None,
        assertion: Assertion | None = None,
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
        self._first = Secret(refresh_token) if refresh_token else None

    def __getstate__(self) -> dict[str, object]:
        """Keep the settings; the seed is in the store by then."""
        return {**self.__dict__, "_first": None}

    def spend(self, tokens: TokenSet | None) -> str | None:
        """Return the store's refresh token; the seed only before the first token set."""
        if tokens and self.provider.exchange_source == "access_token":
            return tokens.access_token
        return tokens.refresh_token if tokens else self._first


class Custom:
    """A login endpoint that is not OAuth: the same single flight, lock and store for any callable.

    Example:
        >>> def log_in(old: TokenSet | None) -> TokenSet:
        ...     return TokenSet("session-token", expires_at=1767225600.0)
        >>> Custom(log_in)
        Custom(log_in)

    Args:
        fetch: Called with the token set before (None at first) under the lock, by one worker at
            a time; returns the next token set. What it raises is remembered for a cooldown.
        name: What tells this login from others that share a store; default: the function's name.
    """

    repeatable = True
    grace = 0.0

    def __init__(
        self, fetch: Callable[[TokenSet | None], TokenSet], *, name: str | None = None
    ) -> None:
        self._fetch = fetch
        self._name = name or str(getattr(fetch, "__qualname__", type(fetch).__qualname__))

    def __repr__(self) -> str:
        return f"Custom({self._name})"

    @property
    def identity(self) -> Identity:
        """Whose tokens these are."""
        return Identity("", self._name, "custom")

    def spend(self, tokens: TokenSet | None) -> str | None:
        """Return the old refresh token, which ``fetch`` may spend."""
        return tokens.refresh_token if tokens else None

    def exchange(self, tokens: TokenSet | None, send: Send, now: float) -> TokenSet | AuthError:  # noqa: ARG002 - a fetch sends by itself
        """Call ``fetch``."""
        fresh = self._fetch(tokens)
        if not isinstance(fresh, TokenSet):
            kind = type(fresh).__name__
            return ConfigurationError(f"{self!r} returned a {kind}: return a tokenlatch.TokenSet.")
        return fresh
