"""A person's login in a browser: the URL to open, and what the redirect back says (RFC 6749 section 4.1).

Law: pure; nothing is opened or listened to here. A redirect is not believed before it is shown to answer this login.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Final, TypeAlias
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from tokenlatch._asking import read_answer, token_ask
from tokenlatch._frozen import Frozen, field
from tokenlatch._grants import ClientSecret, RefreshToken, Send
from tokenlatch._jwt import Assertion
from tokenlatch._state import Secret, TokenSet
from tokenlatch._wire import Ask, clean
from tokenlatch.errors import AuthError, ConfigurationError, ReauthorizationRequired
from tokenlatch.providers import ClientAuth, Provider

Redirect: TypeAlias = str | Mapping[str, str]
"""The URL that the browser came back to, or its parameters as a web framework decoded them."""

_VERIFIER_BYTES: Final = 48  # 64 letters; RFC 7636 section 4.1 wants 43 to 128


class PendingLogin(Frozen):
    """A login that began: keep it until the redirect comes, for instance in the web session.

    Attributes:
        url: What the person's browser is to open.
        redirect_uri: Where it will come back to, or None where the provider has it in its settings.
        state: What ties the redirect to this login (RFC 6749 section 10.12), or None.
        code_verifier: What proves that we began it (RFC 7636), or None.
    """

    url: str = field(repr=False)
    redirect_uri: str | None = None
    state: str | None = field(default=None, repr=False)
    code_verifier: str | None = field(default=None, repr=False)


class AuthorizationCode(RefreshToken):
    """A user's grant from a login in a browser, kept alive by its refresh token.

    Workers that only use the grant may share its store with the same ``AuthorizationCode``, or with a
    ``RefreshToken`` of the same client and scope.

    In the callback, ``source.redeem(redirect_url, pending)`` exchanges the code.

    Example:
        >>> from tokenlatch.providers import HUAWEI
        >>> login = AuthorizationCode(
        ...     HUAWEI,
        ...     client_id="107408391",
        ...     client_secret="...",
        ...     scope="openid profile",
        ...     redirect_uri="https://www.thirdwebdemo.com/redirect_url",
        ... )
        >>> source = TokenSource(login, store=FileStore("~/.cache/acme/huawei.json"))
        >>> pending = login.begin()  # send the browser to pending.url, and keep pending

    Args:
        provider: One with an authorization page.
        client_id: The client's id.
        client_secret: As for ``RefreshToken``.
        redirect_uri: Where the browser comes back to, exactly as registered; None: the provider knows.
        scope: Space-separated scope to ask for.
        client_auth: As for ``ClientCredentials``.
        resource: The API the token is for (RFC 8707).
        params: Further fields of every token request.
        assertion: As for ``ClientCredentials``.
        dpop: As for ``ClientCredentials``; all who share the grant need the same key.
        pkce: Whether to use PKCE; default: what the provider advises.

    Raises:
        ConfigurationError: A value cannot be meant.
    """

    _asks_scope = False  # a refresh that names none gets what was granted (RFC 6749 section 6)

    def __init__(
        self,
        provider: Provider,
        *,
        client_id: str,
        client_secret: ClientSecret | None = None,
        redirect_uri: str | None = None,
        scope: str | None = None,
        client_auth: ClientAuth | None = None,
        resource: str | None = None,
        params: Mapping[str, str] | None = None,
        assertion: Assertion | None = None,
        dpop: ClientSecret | None = None,
        pkce: bool | None = None,
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
        page = self.provider.authorize
        if page is None:
            message = f"{self.provider!r} has no authorization page: pass Provider(authorize=...)."
            raise ConfigurationError(message)
        if pkce and page.pkce == "never":
            raise ConfigurationError(f"{self.provider!r} does not know PKCE: leave pkce out.")
        if scope and page.names.get("scope", "scope") is None:
            raise ConfigurationError(f"{self.provider!r} takes no scope: leave scope out.")
        self.page = page
        self.redirect_uri = redirect_uri
        self.pkce = page.pkce == "always" if pkce is None else pkce

    def begin(
        self, *, state: str | None = None, redirect_uri: str | None = None, **extra: str
    ) -> PendingLogin:
        """Begin a login: return the URL to open, and what its redirect will be checked against.

        Args:
            state: Text that comes back with the redirect; default: a random one; ``""``: none at all,
                so that anybody's redirect would be believed.
            redirect_uri: Where this login comes back to; default: the grant's.
            extra: Further parameters of the URL, such as ``display="page"`` or ``nonce``.

        Raises:
            ConfigurationError: The state has no way to travel.
        """
        page = self.page
        state = secrets.token_urlsafe(24) if state is None else state or None
        verifier = Secret(secrets.token_urlsafe(_VERIFIER_BYTES)) if self.pkce else None
        redirect_uri = redirect_uri or self.redirect_uri
        if state and not page.state:
            if not redirect_uri:
                message = (
                    f"redirect_uri is missing: {self.provider!r} gives a state back inside it only."
                )
                raise ConfigurationError(message)
            joint = "&" if "?" in redirect_uri else "?"
            redirect_uri = f"{redirect_uri}{joint}{urlencode({'state': state})}"
        fields = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": redirect_uri,
            "scope": self.scope and self.provider.scope_join.join(self.scope.split()),
            "state": state if page.state else None,
            "resource": self.resource,
        }
        if verifier:
            fields |= {"code_challenge": challenge(verifier), "code_challenge_method": "S256"}
        named = {page.names.get(name, name): value for name, value in fields.items() if value}
        query = urlencode(
            {**page.extra, **{name: value for name, value in named.items() if name}, **extra}
        )
        joint = "&" if "?" in page.url else "?"
        fragment = f"#{page.fragment}" if page.fragment else ""
        url = f"{page.url}{joint}{query}{fragment}"
        return PendingLogin(url, redirect_uri, state, verifier)

    def read(self, redirect: Redirect, pending: PendingLogin) -> Secret:
        """Return the code in a redirect, decoded once.

        Args:
            redirect: The URL that the browser came back to, as it came, or its decoded parameters.
            pending: The login that it has to answer.

        Raises:
            ReauthorizationRequired: The person said no, or the redirect answers another login.
        """
        query, fragment = _parameters(redirect)
        said = {**fragment, **query}
        code, error = said.get(self.page.code_param), clean(said.get("error"))
        description = clean(said.get("error_description"))
        # RFC 6749 section 4.1.2.1: a refusal has the state too. Huawei's has none; one of another login is not ours.
        self._check(said if code and not error else {"state": pending.state or "", **said}, pending)
        if error:
            what = f"{error}: {description}" if description else error
            raise ReauthorizationRequired(
                f"The login was refused ({what}): begin again.",
                error=error,
                description=description,
            )
        if not code:
            # Huawei writes its refusal behind a #, which never reaches a server.
            message = (
                "The redirect brings neither code nor error, so the login was refused: begin again."
            )
            raise ReauthorizationRequired(message, error="access_denied")
        return Secret(code)

    def redeem(
        self, redirect: Redirect, pending: PendingLogin, send: Send, now: float
    ) -> TokenSet | AuthError:
        """Exchange the code in a redirect for tokens: one call of ``send``.

        Raises:
            ReauthorizationRequired: As for ``read``.
        """
        fields: dict[str, str] = {"code": Secret(self.read(redirect, pending))}
        if pending.redirect_uri:
            fields["redirect_uri"] = pending.redirect_uri
        if pending.code_verifier:
            fields["code_verifier"] = pending.code_verifier
        if self.resource:
            fields["resource"] = self.resource
        fields |= self.params

        def make() -> Ask:
            return token_ask(self.provider, self.client, "authorization_code", fields, now)

        answer = self._sent(make, send, now)
        return read_answer(self.provider, self.client, answer, now, None)

    def _check(self, said: Mapping[str, str], pending: PendingLogin) -> None:
        name = self.page.names.get("client_id", "client_id") or "client_id"
        issuer = self.provider.issuer
        if pending.state and not hmac.compare_digest(
            said.get("state", "").encode(), pending.state.encode()
        ):
            problem = "its state is not the one we sent"
        elif said.get(name, self.client_id) != self.client_id:
            problem = f"it is for another {name}"
        # RFC 9207 section 2.4: an answer of another server would send the code to the wrong one.
        elif issuer and said.get("iss", None if self.provider.iss_required else issuer) != issuer:
            problem = "it does not come from the issuer we asked"
        else:
            return
        message = f"The redirect does not answer this login ({problem}): begin again."
        raise ReauthorizationRequired(message)


def challenge(verifier: str) -> str:
    """Return the S256 challenge of a verifier (RFC 7636 section 4.2)."""
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _parameters(redirect: Redirect) -> tuple[dict[str, str], dict[str, str]]:
    """Return the parameters in the query, and those in the fragment."""
    if not isinstance(redirect, str):
        return dict(redirect), {}
    text = redirect.strip()
    parts = urlsplit(text if "?" in text or "#" in text else f"?{text}")
    # A code is no form: + stands for itself there, and Huawei's codes are full of them.
    plain = {
        name: unquote(value)
        for name, _, value in (pair.partition("=") for pair in parts.query.split("&"))
        if name not in {"error", "error_description"}
    }
    return {**dict(parse_qsl(parts.query)), **plain}, dict(parse_qsl(parts.fragment))
