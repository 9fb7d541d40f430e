"""A provider's own description of itself (RFC 8414, OpenID Connect Discovery 1.0)."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

from tokenlatch._origins import require_confidential
from tokenlatch._wire import Answer, Ask, read_fields
from tokenlatch.errors import ConfigurationError, ProviderError, UnreadableAnswerError

if TYPE_CHECKING:
    from tokenlatch.providers._record import ClientAuth

Send: TypeAlias = Callable[[Ask], Answer]

senders: list[Callable[[], Send]] = []
"""Makes the usual sender. Sending is no matter of this room: the room of senders puts its own in here."""

_AUTH: Final[Mapping[str, "ClientAuth"]] = {  # the first that the server knows is taken
    "client_secret_basic": "basic",
    "client_secret_post": "body",
    "private_key_jwt": "private_key_jwt",
    "client_secret_jwt": "client_secret_jwt",
    "none": "none",
    "tls_client_auth": "none",  # RFC 8705: the certificate is the sender's
    "self_signed_tls_client_auth": "none",
}
_URLS: Final[Mapping[str, str]] = {
    "token_url": "token_endpoint",
    "revoke_url": "revocation_endpoint",
    "introspect_url": "introspection_endpoint",
    "device_url": "device_authorization_endpoint",
}


def read_metadata(issuer: str, send: Send | None = None) -> dict[str, object]:
    """Return what an issuer says of itself.

    Args:
        issuer: Its identifier, exactly as it writes it.
        send: Carries the requests; default: the usual sender, which follows no redirect and reads 1 MiB at most.

    Raises:
        ConfigurationError: There is no description at the known places, or it is another issuer's.
        ProviderError: The server is sick.
        TransportError: It cannot be reached.
    """
    require_confidential(issuer, "issuer")
    parts = urlsplit(issuer)
    if parts.query or parts.fragment:
        raise ConfigurationError(
            f"The issuer {issuer!r} has a query or fragment (RFC 8414 section 2)."
        )
    path = parts.path.rstrip("/")
    origin = f"{parts.scheme}://{parts.netloc}"
    send = send or senders[0]()
    statuses = []
    for url in (
        f"{origin}/.well-known/oauth-authorization-server{path}",  # RFC 8414 section 3.1
        f"{origin}{path}/.well-known/openid-configuration",
    ):
        answer = send(Ask(url, method="GET"))
        if answer.status == 200:
            return _checked(issuer, url, answer)
        if answer.status >= 500 or answer.status == 429:
            message = f"{url} failed with HTTP {answer.status}: try again later."
            raise ProviderError(message, status=answer.status)
        statuses.append(answer.status)
    message = (
        f"{issuer} does not describe itself (HTTP {statuses}): name its endpoints in a Provider."
    )
    raise ConfigurationError(message, status=statuses[-1])


def record_fields(metadata: Mapping[str, object]) -> dict[str, object]:
    """Return the fields of a record that metadata sets.

    Raises:
        ConfigurationError: It names no token endpoint.
    """
    # RFC 8414 section 2: what is not said is client_secret_basic.
    known = metadata.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    methods = known if isinstance(known, list) else []
    method = next((name for name in _AUTH if name in methods), "client_secret_basic")
    # RFC 8705 section 5: who shows a certificate may have to do it at another door.
    aliases = metadata.get("mtls_endpoint_aliases") if "tls_client_auth" in method else None
    said = {**metadata, **aliases} if isinstance(aliases, dict) else metadata
    found: dict[str, object] = {
        name: said[key] for name, key in _URLS.items() if isinstance(said.get(key), str)
    }
    if "token_url" not in found:
        raise ConfigurationError(f"{metadata['issuer']} names no token endpoint in its metadata.")
    found["client_auth"] = _AUTH[method]
    found["issuer"] = metadata["issuer"]
    found["iss_required"] = metadata.get("authorization_response_iss_parameter_supported") is True
    return found


def _checked(issuer: str, url: str, answer: Answer) -> dict[str, object]:
    metadata = read_fields(answer)
    if metadata is None:
        raise UnreadableAnswerError(f"{url} is no JSON object.", status=answer.status)
    if (
        metadata.get("issuer") != issuer
    ):  # RFC 8414 section 3.3: identical, else another's endpoints
        message = f"{url} describes {metadata.get('issuer')!r}, not {issuer!r}: pass the issuer letter by letter."
        raise ConfigurationError(message)
    return metadata
