"""A token request as one provider wants it: names, places, encoding, and the client's proof.

Law: pure; what deviates is read from the provider's record, and the plain case is RFC 6749 line by line.
"""

from collections.abc import Callable, Mapping
from urllib.parse import quote, urlencode

from tokenlatch import _jwt
from tokenlatch._frozen import Frozen, field
from tokenlatch._shape import text
from tokenlatch._state import Secret, TokenSet
from tokenlatch._wire import Answer, Ask, basic, read_tokens
from tokenlatch.errors import AuthError, ReauthorizationRequired, UnreadableAnswerError
from tokenlatch.providers import ClientAuth, Provider


class Client(Frozen):
    """Who asks, and how it proves itself; the secret is read at each use."""

    id: str
    auth: ClientAuth
    secret: Secret | Callable[[], str] | None = field(default=None, repr=False)
    assertion: _jwt.Assertion | None = field(default=None, repr=False)

    def proof(self) -> Secret:
        """Return the secret or private key as it is now."""
        return Secret(self.secret() if callable(self.secret) else self.secret or "")


def token_ask(
    provider: Provider,
    client: Client,
    grant_type: str,
    fields: Mapping[str, str],
    now: float,
) -> Ask:
    """Return a token request.

    Args:
        provider: Whose token endpoint.
        client: Who asks.
        grant_type: RFC 6749's word for the grant.
        fields: The request's further fields, by RFC 6749's names.
        now: Seconds since the epoch, for what is stamped.

    Raises:
        ConfigurationError: A key cannot be used.
    """
    refreshing = grant_type == "refresh_token"
    url = (refreshing and provider.refresh_url) or provider.token_url
    word = provider.grant_values.get(grant_type, grant_type)
    whole = ({"grant_type": word} if word else {}) | dict(fields)
    if provider.gateway:
        named = _renamed(whole, provider)
        form = provider.gateway.token_form(
            named, app_id=client.id, private_key=client.proof(), now=now
        )
        return Ask(url, form, provider.extra_headers)
    with_secret = provider.secret_on_refresh or not refreshing
    return client_ask(provider, client, url, whole, now, with_secret=with_secret)


def client_ask(
    provider: Provider,
    client: Client,
    url: str,
    fields: Mapping[str, str],
    now: float,
    *,
    with_secret: bool = True,
) -> Ask:
    """Return a request with the client's proof, to any of the provider's endpoints."""
    # Authlib knows itself by its token endpoint at every other endpoint, too (RFC 7523 section 3).
    proof, headers = (
        _proof(client, provider.token_url, now) if with_secret else ({"client_id": client.id}, {})
    )
    whole = {**provider.extra_params, **_renamed(dict(fields) | proof, provider)}
    headers = {**provider.extra_headers, **headers}
    for name, value in {"client_id": client.id, **fields}.items():
        if f"{{{name}}}" in url:
            url = url.replace(f"{{{name}}}", quote(value, safe=""))
            whole.pop(name, None)
    if provider.encoding == "query":
        joint = "&" if "?" in url else "?"
        return Ask(f"{url}{joint}{urlencode(whole)}", {}, headers, provider.method)
    return Ask(url, whole, headers, provider.method, provider.encoding == "json")


def read_answer(
    provider: Provider,
    client: Client,
    answer: Answer,
    now: float,
    old: TokenSet | None,
    *,
    spent: str | None = None,
) -> TokenSet | AuthError:
    """Return the tokens in an answer, or the error that it stands for; a signed gateway must prove itself."""
    # Nothing may fail here, when a token may be in hand: a secret is not asked for once more.
    secrets = [client.secret] if isinstance(client.secret, str) else []
    gateway, doubt = provider.gateway, None
    if gateway and gateway.platform_key:
        raw = answer.body.decode("utf-8", "replace")
        doubt = gateway.doubt(raw)
        if doubt is None:
            answer = answer.having(body=gateway.signed_part(raw).encode())
    result = read_tokens(answer, now, old, provider, spent=spent, secrets=secrets)
    if doubt and isinstance(result, TokenSet | ReauthorizationRequired):
        # Whoever cuts the signature off must neither give tokens nor end a grant.
        message = f"The gateway's answer {doubt}: it is not believed. Check platform_key."
        return UnreadableAnswerError(message, status=answer.status)
    return result


def _proof(client: Client, audience: str, now: float) -> tuple[dict[str, str], dict[str, str]]:
    """Return the fields and headers by which a client proves itself (RFC 6749 section 2.3)."""
    match client.auth:
        case "basic":
            return {}, {"Authorization": basic(client.id, client.proof())}
        case "secret_as_user":
            return {}, {"Authorization": basic(client.proof(), "")}
        case "body":
            return {"client_id": client.id, "client_secret": client.proof()}, {}
        case "private_key_jwt" | "client_secret_jwt":
            return _jwt.client_assertion(
                client.id, client.proof(), client.assertion, audience, now
            ), {}
        case _:
            return {"client_id": client.id}, {}


def _renamed(fields: Mapping[str, str], provider: Provider) -> dict[str, str]:
    names = provider.param_names
    return {
        name: text(value) or ""
        for rfc, value in fields.items()
        if (name := names.get(rfc, rfc)) is not None and value is not None
    }
