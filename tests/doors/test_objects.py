"""The auth object as a thing: hashable, comparable, copied, pickled, shown; and its errors as the library's own."""

import copy
import logging
import pickle

import pytest
import requests

from tests.doors.conftest import sent_to
from tokenlatch import (
    ANY_HTTPS,
    ClientCredentials,
    Custom,
    FileStore,
    Provider,
    RefreshToken,
    TokenSet,
    TokenSource,
)
from tokenlatch.errors import (
    AuthError,
    ConfigurationError,
    ForeignOriginError,
    ProviderError,
    ReauthorizationRequired,
)
from tokenlatch.providers import Attach


def log_in(old):  # noqa: ARG001 - Custom's signature
    """Log in."""
    return TokenSet("at-sesame", refresh_token="rt-sesame", expires_at=4e9)


@pytest.fixture
def stored(tmp_path):
    """A source over a file, with a token."""
    source = TokenSource(Custom(log_in), store=FileStore(tmp_path / "token"))
    source.token()
    yield source
    source.close()


def test_auth_objects_are_hashable_and_comparable(sync_door, source, stored):
    """Equal when source, origins and manners are."""
    auth = sync_door.auth(source, "https://a.example")
    assert auth == sync_door.auth(source, "https://a.example:443/")
    assert hash(auth) == hash(sync_door.auth(source, "https://a.example:443/"))
    others = [
        sync_door.auth(stored, "https://a.example"),
        sync_door.auth(source, "https://b.example"),
        sync_door.auth(source, ANY_HTTPS),
        sync_door.auth(source, "https://a.example", foreign="anonymous"),
        "https://a.example",
        None,
    ]
    assert auth not in others
    assert len({auth, *others}) == 7


def test_an_auth_object_has_no_shape_that_clients_misread(sync_door, source):
    """Truthy, and no tuple, text, mapping or iterable: else .netrc is used, or nothing at all."""
    auth = sync_door.auth(source, "https://a.example")
    assert bool(auth) is True
    assert not isinstance(auth, tuple | list | str | bytes | dict)
    for name in ("__iter__", "__len__", "__getitem__"):
        assert not hasattr(auth, name)
    if sync_door.library == "requests":
        assert isinstance(auth, requests.auth.AuthBase)
    else:
        assert isinstance(auth, sync_door.client.Auth)
        assert not auth.requires_request_body
        assert not auth.requires_response_body


def test_a_copy_shares_the_source(sync_door, source):
    """OWSLib deep-copies its auth: two owners of one refresh token would spend it twice."""
    auth = sync_door.auth(source, "https://a.example")
    for twin in (copy.copy(auth), copy.deepcopy(auth), copy.deepcopy([auth])[0]):
        assert twin == auth
        assert twin._source is source


def test_a_pickle_has_no_token(sync_door, server, stored):
    """Path and settings travel; the copy reads the file."""
    auth = sync_door.auth(stored, server.url)
    auth._render(stored.token())
    data = pickle.dumps(auth)
    assert b"sesame" not in data
    twin = pickle.loads(data)
    assert twin._source.token() == stored.token()
    assert pickle.loads(pickle.dumps(twin))._origins == auth._origins
    twin._source.close()


def test_a_rotating_grant_in_memory_does_not_pickle(sync_door, source):
    """The copy would spend its refresh token."""
    with pytest.raises(ConfigurationError, match="FileStore"):
        pickle.dumps(sync_door.auth(source, "https://a.example"))


def test_client_credentials_in_memory_do(sync_door, server, clock):
    """A copy asks for a token of its own."""
    grant = ClientCredentials(server.token_url, client_id="app", client_secret="app-secret")
    source = TokenSource(grant)
    del clock
    twin = pickle.loads(pickle.dumps(sync_door.auth(source, server.url)))
    assert repr(twin._source) == repr(source)


def test_no_token_is_shown(sync_door, stored):
    """Nor in what the library prints of a request."""
    auth = sync_door.auth(stored, "https://a.example")
    auth._render(stored.token())
    assert "sesame" not in repr(auth)
    assert "sesame" not in repr(vars(auth))
    assert "https://a.example" in repr(auth)


def test_our_header_wins(door, server, source):
    """Many API clients set an Authorization of their own; a user's is replaced as well."""
    auth = door.auth(source, server.url)
    answer = door.send(auth, "GET", server.api_url, headers={"Authorization": "Bearer placeholder"})
    assert answer.status_code == 200
    assert sent_to(server) == [f"Bearer {source.token().access_token}"]


@pytest.mark.parametrize("wrong", [None, "token", lambda: "token"])
def test_a_source_is_asked_for(sync_door, wrong):
    """Not a token, nor a function."""
    with pytest.raises(ConfigurationError, match="TokenSource"):
        sync_door.auth(wrong, "https://a.example")


def test_manners_are_named_rightly(sync_door, source):
    """A misspelt foreign= would be silently lax."""
    with pytest.raises(ConfigurationError, match="foreign"):
        sync_door.auth(source, "https://a.example", foreign="Anonymous")


# -------------------------------------------------------------------------------------------------------------- errors


def raised(door, auth, url):
    """The error of a request."""
    with pytest.raises(AuthError) as caught:
        door.send(auth, "POST", url, body=b"sesame", headers={"X-Key": "sesame"})
    return caught.value


def expire(server):
    """The token dies early: the API refuses it."""
    server.expire_now()


def grow_old(server):
    """The token dies in time: no request is sent."""
    server._clock.advance(100)


@pytest.mark.parametrize("age", [expire, grow_old])
@pytest.mark.parametrize("kind", [ReauthorizationRequired, ProviderError])
def test_an_error_is_ours_and_the_librarys(door, server, source, age, kind):
    """API clients map their library's errors to theirs; each has a request without secrets, and pickles."""
    age(server)
    if kind is ProviderError:
        server.fail("500", times=None)
    else:
        server.revoke_now()
    error = raised(door, door.auth(source, server.url), server.api_url)
    assert isinstance(error, kind)
    assert isinstance(error, door.error)
    assert (error.request.method, str(error.request.url)) == ("POST", server.api_url)
    assert "sesame" not in repr(error.request.headers)
    assert not getattr(error.request, "body", None)
    assert not getattr(error.request, "content", None)
    twin = pickle.loads(pickle.dumps(error))
    assert isinstance(twin, kind)
    assert isinstance(twin, door.error)
    assert str(twin) == str(error)


def test_a_foreign_origin_is_an_error_of_both(door, source):
    """With the request it was about."""
    error = raised(door, door.auth(source, "https://a.example"), "https://b.example/x")
    assert isinstance(error, ForeignOriginError)
    assert isinstance(error, door.error)
    assert str(error.request.url) == "https://b.example/x"


def test_nothing_secret_is_logged_or_shown(door, server, source, clock, caplog):
    """All loggers at DEBUG, and the errors with their causes and contexts."""
    caplog.set_level(logging.DEBUG)
    auth = door.auth(source, server.url)
    secrets = [*vars_of(source), "app-secret"]
    door.send(auth, "GET", server.api_url)
    server.expire_now()
    door.send(auth, "GET", server.api_url)
    secrets += vars_of(source)
    clock.advance(100)
    server.fail("drop", times=None)
    error = raised(door, auth, server.api_url)
    shown = caplog.text
    while error:
        shown += f"{error!s} {error!r} {error.args!r}"
        error = error.__cause__ or error.__context__
    assert not [each for each in secrets if each in shown]


def vars_of(source):
    """The tokens of a source."""
    tokens = source._view.state.tokens
    return [str(tokens.access_token), str(tokens.refresh_token)]


def test_a_token_in_the_query_is_in_no_error(door, server, make):
    """Some providers want it there; the error's request is the one that the caller wrote."""
    provider = Provider(server.token_url, attach=Attach("query", "access_token"))
    seed = server.issue()["refresh_token"]
    source = make(
        RefreshToken(provider, client_id="app", client_secret="app-secret", refresh_token=seed)
    )
    server.revoke_now()
    error = raised(door, door.auth(source, server.url), f"{server.api_url}?page=1")
    assert str(error.request.url) == f"{server.api_url}?page=1"
