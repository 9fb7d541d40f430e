"""What a user's type checker sees of the public names; read by mypy --strict, never run.

Law: only public names. A line that must be refused carries the error it must get, because mypy reports an ignore that
is not needed.
"""

from collections.abc import Callable
from typing import assert_type

import httpx
import httpx2
import requests

import tokenlatch.httpx
import tokenlatch.httpx2
import tokenlatch.requests
from tokenlatch import (
    ANY_HTTPS,
    ClientCredentials,
    Custom,
    FileStore,
    MemoryStore,
    Provider,
    RefreshPolicy,
    RefreshToken,
    TokenSet,
    TokenSource,
    TokenStore,
    errors,
)

URL = "https://idp.example/token"
API = "https://api.example.com"


def grants(secret: Callable[[], str]) -> None:
    """A grant takes an endpoint or a provider, and a secret as text or as a callable."""
    ClientCredentials(URL, client_id="app", client_secret="...", scope="read", client_auth="body")
    ClientCredentials(Provider(URL), client_id="app", client_secret=secret)
    RefreshToken(URL, client_id="app", refresh_token="...", client_auth="none")
    Custom(lambda old: old or TokenSet("..."))
    ClientCredentials(URL)  # type: ignore[call-arg]  # must be refused: no client_id
    ClientCredentials(URL, client_id="app", client_auth="header")  # type: ignore[arg-type]  # must be refused: no such way
    Custom(lambda: TokenSet("..."))  # type: ignore[arg-type, misc]  # must be refused: fetch takes the old tokens


def tokens() -> None:
    """A token set is frozen, and everything but the access token goes by name."""
    token = TokenSet("...", expires_at=1.5, refresh_token="...", extra={"id_token": "..."})
    assert_type(token.access_token, str)
    assert_type(token.expires_at, float | None)
    assert_type(token.refresh_token, str | None)
    TokenSet("...", "Bearer")  # type: ignore[call-arg]  # must be refused: by name only
    token.access_token = "..."  # type: ignore[misc]  # must be refused: frozen


async def source() -> None:
    """A source hands out token sets, from threads and from tasks."""
    grant = ClientCredentials(URL, client_id="app", client_secret="...")
    policy = RefreshPolicy(early=5, ahead=60.0, jitter=0, watch=1)
    with_file = TokenSource(grant, store=FileStore("~/.cache/acme/token.json"), policy=policy)
    assert_type(with_file.token(), TokenSet)
    assert_type(with_file.token(rejected="..."), TokenSet)
    assert_type(await with_file.atoken("..."), TokenSet)
    with_file.seed(TokenSet("..."))
    with_file.close()
    TokenSource(grant, store=MemoryStore(), clock=lambda: 0.0, on_event=print)
    TokenSource(grant, MemoryStore())  # type: ignore[call-arg]  # must be refused: options go by name
    TokenSource(grant, store="token.json")  # type: ignore[arg-type]  # must be refused: a store, not a path


def doors(source: TokenSource) -> None:
    """Each door fits its own library's auth=, and takes one origin, several, or the wish for all."""
    session = requests.Session()
    session.auth = tokenlatch.requests.BearerAuth(source, API)
    httpx.Client(auth=tokenlatch.httpx.BearerAuth(source, [API, "https://files.example.com"]))
    httpx.AsyncClient(auth=tokenlatch.httpx.BearerAuth(source, ANY_HTTPS, foreign="anonymous"))
    httpx2.Client(auth=tokenlatch.httpx2.BearerAuth(source, API))
    httpx2.AsyncClient(auth=tokenlatch.httpx2.BearerAuth(source, API))
    httpx2.Client(auth=tokenlatch.httpx.BearerAuth(source, API))  # type: ignore[arg-type]  # must be refused: the other one
    tokenlatch.requests.BearerAuth(source)  # type: ignore[call-arg]  # must be refused: origins are not optional
    tokenlatch.requests.BearerAuth(source, API, foreign="ignore")  # type: ignore[arg-type]  # must be refused: no such wish


def stores(path: str) -> TokenStore:
    """Both stores keep the protocol that a store of one's own keeps."""
    return FileStore(path) if path else MemoryStore()


def failures(source: TokenSource) -> None:
    """Errors carry typed fields; a lock timeout is also Python's own."""
    try:
        source.token()
    except errors.LockTimeout as error:
        assert_type(error.waited, float)
        timeout: TimeoutError = error
        raise timeout from None
    except errors.ProviderError as error:
        assert_type(error.retry_after, float | None)
        assert_type(error.status, int | None)
