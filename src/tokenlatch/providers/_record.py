"""The record of one provider."""

from collections.abc import Mapping
from typing import Literal, Self, TypeAlias, get_args

from tokenlatch._frozen import KW_ONLY, field
from tokenlatch._gateway import Gateway
from tokenlatch._origins import require_confidential
from tokenlatch._shape import AnswerShape, Rotation, misfit
from tokenlatch.errors import ConfigurationError
from tokenlatch.providers._metadata import Send, read_metadata, record_fields
from tokenlatch.providers._parts import BEARER, BY_STATUS, Attach, Authorize, Rejection

ClientAuth: TypeAlias = Literal[
    "basic", "body", "none", "secret_as_user", "signed", "private_key_jwt", "client_secret_jwt"
]
"""How a client proves itself: by a ``basic`` header, by ``body`` fields (RFC 6749 section 2.3.1), not at all
(``none``: a public client, or one known by its TLS certificate, RFC 8705), with the secret as the user name of a
Basic header (``secret_as_user``: Stripe), by a signature over the whole form (``signed``: SOP), or by a signed
assertion (``private_key_jwt``, ``client_secret_jwt``: RFC 7523)."""


class Provider(AnswerShape):
    """One authorization server, with the defaults of RFC 6749.

    URLs may have blanks such as ``{tenant}``, to be filled in by ``at``; ``{client_id}`` and
    ``{refresh_token}`` are filled in at each request. What its answers look like is described in
    ``AnswerShape``, from which it inherits.

    Example:
        >>> Provider("https://idp.example/token", client_auth="body")
        Provider('https://idp.example/token')

    Attributes:
        token_url: The token endpoint (RFC 6749 section 3.2): https, or http on loopback.
        refresh_url: Where to refresh, if elsewhere.
        revoke_url: The revocation endpoint (RFC 7009), or None.
        introspect_url: The introspection endpoint (RFC 7662), or None.
        device_url: The device authorization endpoint (RFC 8628), or None.
        issuer: The issuer's identifier (RFC 8414, RFC 9207), or None.
        iss_required: Redirects name the issuer (RFC 9207 section 3): one that does not is refused.
        authorize: The page where a person logs in, or None.
        method: HTTP method of token requests.
        encoding: How token requests are written: ``form``, ``json`` or ``query``.
        client_auth: How the client proves itself by default.
        secret_on_refresh: Whether a refresh carries the client secret (WeChat, Clover: not).
        revoke_with_client: Whether a revocation carries the client's id and proof (Huawei: not).
        param_names: RFC 6749's parameter names -> the provider's; None: not to be sent.
        grant_values: RFC 6749's grant types -> the provider's words; None: no grant type is sent.
        extra_params: Further parameters of every token request.
        extra_headers: Further headers of every token request.
        exchange_source: Which token buys the next one (Facebook: the ``access_token``).
        gateway: The signed gateway that all requests go through (SOP), or None.
        refresh_retry_grace: Seconds after a refresh in which the spent refresh token is answered
            once more; 0: never; ``inf``: refresh tokens are not single-use.
        old_access_lifetime: Seconds that the old access token lives on after a refresh; None: to its
            own end. For people to know: nothing is decided by it, for all workers take over the new one.
        refresh_interval: Seconds between two refreshes of a grant: none is tried earlier, by whichever
            worker (Zoho: 60).
        refresh_ahead: Seconds before expiry from which on a refresh is advised; None: the policy's own.
        scope_join: What stands between two scopes in requests.
        attach: Where API requests carry the token.
        rejected_when: How APIs say that the token is bad.
        notes: What people should know: limits of rate, rights to apply for, sources.

    Raises:
        ConfigurationError: A field cannot be meant.
    """

    token_url: str
    _: KW_ONLY
    refresh_url: str | None = None
    revoke_url: str | None = None
    introspect_url: str | None = None
    device_url: str | None = None
    issuer: str | None = None
    iss_required: bool = False
    authorize: Authorize | None = None
    method: Literal["POST", "GET"] = "POST"
    encoding: Literal["form", "json", "query"] = "form"
    client_auth: ClientAuth = "basic"
    secret_on_refresh: bool = True
    revoke_with_client: bool = True
    param_names: Mapping[str, str | None] = field(default_factory=dict)
    grant_values: Mapping[str, str | None] = field(default_factory=dict)
    extra_params: Mapping[str, str] = field(default_factory=dict)
    extra_headers: Mapping[str, str] = field(default_factory=dict)
    exchange_source: Literal["refresh_token", "access_token"] = "refresh_token"
    gateway: Gateway | None = None
    refresh_retry_grace: float = 0.0
    old_access_lifetime: float | None = None
    refresh_interval: float = 0.0
    refresh_ahead: float | None = None
    scope_join: str = " "
    attach: Attach = BEARER
    rejected_when: Rejection = BY_STATUS
    notes: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name in ("token_url", "refresh_url", "revoke_url", "introspect_url", "device_url"):
            url = getattr(self, name)
            if url is not None and "{" not in url:
                require_confidential(url, name.replace("_url", " URL"))
        for name, choice in _CHOICES.items():
            if getattr(self, name) not in choice:
                self._refuse(name, f"use one of {', '.join(choice)}, not {getattr(self, name)!r}")
        for name, why in misfit(self):
            self._refuse(name, why)
        self._check_pairs()

    def _check_pairs(self) -> None:
        """Refuse fields that contradict each other."""
        for name in _NOT_NEGATIVE:
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and value >= 0):
                self._refuse(name, f"give seconds from 0 up, not {value!r}")
        ends = (self.refresh_lifetime, self.refresh_outlives_access)
        inherited = True if self.refresh_deadline_inherited else None
        if sum(each is not None for each in (*ends, inherited)) > 1:
            self._refuse(
                "refresh_lifetime", "a refresh token has one deadline: name one of the rules"
            )
        if self.rotation == "prolonged" and self.default_lifetime is None:
            self._refuse("default_lifetime", "tokens that are prolonged need one")
        if (self.client_auth == "signed") != (self.gateway is not None):
            self._refuse("gateway", "it and client_auth='signed' need each other")
        if self.attach.place == "signed" and self.gateway is None:
            self._refuse("attach", "a signed field needs a gateway")
        if self.method == "GET" and self.encoding != "query":
            self._refuse("encoding", "a GET has no body: use 'query'")
        if self.gateway and (self.method, self.encoding) != ("POST", "form"):
            self._refuse(
                "gateway", "it takes one signed form by POST: leave method and encoding out"
            )

    def _refuse(self, name: str, why: str) -> None:
        raise ConfigurationError(f"Provider({name}=...): {why}.")

    def __repr__(self) -> str:
        return f"Provider({self.token_url!r})"

    @classmethod
    def discover(cls, issuer: str, send: Send | None = None) -> Self:
        """Return the record that an issuer publishes of itself (RFC 8414, OpenID Connect Discovery).

        Args:
            issuer: Its identifier, exactly as it writes it: https, or http on loopback.
            send: Carries the requests; default: the usual sender. No redirect is followed.

        Raises:
            ConfigurationError: There is no description, or it is another issuer's.
            ProviderError: The server is sick.
            TransportError: It cannot be reached.
        """
        metadata = read_metadata(issuer, send)
        page = metadata.get("authorization_endpoint")
        authorize = Authorize(page) if isinstance(page, str) else None
        found = {"authorize": authorize, **record_fields(metadata)}
        return cls(**found)  # type: ignore[arg-type]  # __post_init__ checks the URLs

    def at(self, **blanks: str) -> Self:
        """Return the provider with blanks such as ``{tenant}`` filled in.

        Raises:
            ConfigurationError: The result is no URL that a secret may travel to.
        """

        def filled(url: str | None) -> str | None:
            for name, value in blanks.items():
                url = url and url.replace(f"{{{name}}}", value)
            return url

        urls = {name: filled(getattr(self, name)) for name in _URLS}
        page = self.authorize and self.authorize.having(url=filled(self.authorize.url) or "")
        return self.having(authorize=page, **urls)


_URLS = {"token_url", "refresh_url", "revoke_url", "introspect_url", "device_url", "issuer"}
_NOT_NEGATIVE = (
    "refresh_retry_grace",
    "old_access_lifetime",
    "refresh_interval",
    "refresh_ahead",
    "default_lifetime",
    "refresh_lifetime",
    "refresh_outlives_access",
)
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "method": ("POST", "GET"),
    "encoding": ("form", "json", "query"),
    "client_auth": get_args(ClientAuth),
    "exchange_source": ("refresh_token", "access_token"),
    "rotation": get_args(Rotation),
}
