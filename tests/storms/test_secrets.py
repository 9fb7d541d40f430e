"""Rows 66 and 67 of the fault matrix: no secret in any error, event, object or log.

Every error is raised by the public face, and then searched as a crash reporter would: text, arguments, attributes,
notes, pickle, causes, contexts, and the locals of every frame.
"""

import asyncio
import errno
import importlib
import io
import logging
import os
import pickle
import secrets
import traceback

import pytest

import tokenlatch
from tests.storms.secret_scan import leaks
from tokenlatch import (
    AESGCM,
    ClientCredentials,
    Custom,
    Env,
    FileStore,
    MemoryStore,
    Provider,
    RefreshToken,
    TokenSet,
    TokenSource,
    _dance,
)
from tokenlatch._wire import Answer, Ask
from tokenlatch.errors import (
    AuthError,
    ConfigurationError,
    ForeignOriginError,
    LockTimeout,
    ProviderError,
    ReauthorizationRequired,
    StoreConflict,
    StoreError,
    TransportError,
    UnreadableAnswerError,
)
from tokenlatch.providers import Attach, sop
from tokenlatch.testing import AuthorizationServer
from tokenlatch.testing._book import GrantBook, Refused

CLIENT_SECRET = "client-secret-c0ffee+/="
KEY = secrets.token_bytes(32)
LIBRARIES = ("requests", "httpx", "httpx2")


class World:
    """A server, a source in a file, every event it told, and every secret there is."""

    def __init__(self, server, path, library):
        self.server, self.path, self.library = server, path, library
        self.events, self.sources = [], []
        self.more_secrets = []

    def source(self, store=None, provider=None, client_secret=CLIENT_SECRET, **options):
        """Return a source with a token that is over."""
        answer = self.server.issue()
        sender = getattr(tokenlatch, f"{self.library.capitalize()}Sender")
        grant = RefreshToken(
            provider or self.server.token_url, client_id="app", client_secret=client_secret
        )
        source = TokenSource(
            grant,
            store=store or FileStore(self.path),
            sender=sender(connect=0.5, read=0.5, total=0.8),
            on_event=self.events.append,
            **options,
        )
        extra = {"id_token": f"id-{secrets.token_urlsafe(24)}"}
        self.more_secrets.append(extra["id_token"])
        source.seed(
            TokenSet(
                answer["access_token"],
                refresh_token=answer["refresh_token"],
                issued_at=1.0,
                expires_at=2.0,
                extra=extra,
            )
        )
        self.server.expire_now()
        self.sources.append(source)
        return source

    @property
    def secrets(self):
        """Every token ever given out, and what the client proves itself with, as it may be written."""
        book = self.server.book
        mine = [CLIENT_SECRET, "client-secret-c0ffee%2B", "Y2xpZW50LXNlY3Jld"]
        keys = [KEY.hex(), repr(KEY)[2:-1]]
        return [*book._access, *book._refresh, *self.more_secrets, *mine, *keys]

    def clean(self, *things):
        """Check that there is no secret in these, nor in any event so far."""
        assert leaks(self.secrets, [list(things), self.events]) == []
        for event in self.events:
            assert leaks(self.secrets, getattr(event, "error", None)) == []


@pytest.fixture(params=LIBRARIES)
def library(request):
    """Each client library and its sender."""
    pytest.importorskip(request.param, reason=f"pip install 'tokenlatch[{request.param}]'")
    return request.param


@pytest.fixture
def world(one, library):
    """A server, and one grant in a file, for each client library."""
    one.library = library
    return one


@pytest.fixture
def one(tmp_path):
    """The same for what does not depend on the library."""
    with AuthorizationServer(clients={"app": CLIENT_SECRET}) as server:
        world = World(server, tmp_path / "grant" / "token.json", "requests")
        yield world
        for each in world.sources:
            each.close()


def caught(act, kind=AuthError):
    """Return the error that an act raises."""
    with pytest.raises(kind) as info:
        act()
    return info.value


# ------------------------------------------------------------------------------------------ errors of a token request

FAULTS = {
    "429": ({"fault": "429", "retry_after": 1}, ProviderError),
    "500": ({"fault": "500"}, ProviderError),
    "502": ({"fault": "502"}, ProviderError),
    "503": ({"fault": "503"}, ProviderError),
    "a web page": ({"fault": "html"}, UnreadableAnswerError),
    "too long": ({"fault": "huge", "size": 2}, UnreadableAnswerError),
    "a bomb": ({"fault": "gzip_bomb", "size": 2}, UnreadableAnswerError),
    "a redirect": ({"fault": "redirect", "to": "/"}, ProviderError),
    "no answer": ({"fault": "drop"}, TransportError),
    "nothing taken": ({"fault": "drop_before"}, TransportError),
    "half an answer": ({"fault": "cut"}, AuthError),
    "a trickle": ({"fault": "trickle"}, TransportError),
    "tokens in a list": ({"fault": "shape", "shape": "json_array"}, UnreadableAnswerError),
    "tokens in words": ({"fault": "shape", "shape": "not_json"}, UnreadableAnswerError),
    "other names": ({"fault": "shape", "shape": "simplejwt"}, UnreadableAnswerError),
    "no access token": ({"fault": "shape", "shape": "no_access_token"}, UnreadableAnswerError),
    "an error object": ({"fault": "shape", "shape": "error_object"}, ReauthorizationRequired),
}


@pytest.mark.parametrize(("fault", "kind"), FAULTS.values(), ids=FAULTS)
def test_row_66_a_token_request_that_fails(world, fault, kind):
    """Whatever the endpoint does, the first error and the remembered one hold nothing."""
    world.server.fail(times=None, **fault)
    source = world.source()
    first, again = caught(source.token, kind), caught(source.token)
    world.clean(first, again, source, source.status())
    assert pickle.loads(pickle.dumps(first)).message == first.message


def test_row_66_nobody_listens(world):
    """The library's own error, which is the cause, comes without its request."""
    source = world.source()
    world.server.close()
    error = caught(source.token, TransportError)
    assert error.__cause__ is not None
    assert vars(error.__cause__).get("request", vars(error.__cause__).get("_request")) is None
    world.clean(error)


def test_row_66_refused_for_good(world):
    """invalid_grant, invalid_client, and what is remembered of them."""
    source = world.source()
    world.server.revoke_now()
    world.clean(*(caught(source.token, ReauthorizationRequired) for _ in range(2)))
    world.server.clients["app"] = "another"
    world.path.unlink()
    world.clean(caught(world.source().token, ConfigurationError))


def test_row_66_a_provider_that_echoes(world, monkeypatch):
    """Some repeat what they were sent, or sent themselves, in the description of the error."""
    source = world.source()

    def echo(_, token, *__, **___):
        last = list(world.server.book._access)[-1]
        text = f"the token {token} of {CLIENT_SECRET} does not go with {last}"
        raise Refused("invalid_grant", text)

    monkeypatch.setattr(GrantBook, "refresh", echo)
    error = caught(source.token, ReauthorizationRequired)
    assert "does not go with" in error.description
    world.clean(error, caught(source.token, ReauthorizationRequired))


@pytest.mark.parametrize("bad", ["\r\nSet-Cookie: x", " ", "ä"])
def test_row_66_a_token_that_no_header_can_carry(world, bad, monkeypatch):
    """The answer is unusable, and the error does not show why to the letter."""
    source, token = world.source(), f"at-{secrets.token_urlsafe(24)}"
    world.more_secrets.append(token)
    payload = {"access_token": token + bad + token, "refresh_token": token}
    monkeypatch.setattr(GrantBook, "refresh", lambda *_, **__: payload)
    world.clean(caught(source.token, UnreadableAnswerError))


@pytest.mark.parametrize("auth", ["private_key_jwt", "signed"])
@pytest.mark.parametrize(
    "key",
    ["-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", '{{"kty": "RSA", "d": "{}"}}'],
)
def test_row_66_a_private_key_that_is_none(one, auth, key):
    """A key that cannot be read is not shown to say so."""
    pytest.importorskip("joserfc", reason="pip install 'tokenlatch[jwt]'")
    key = key.format("sentinel-of-a-key")
    one.more_secrets.append("sentinel-of-a-key")
    provider = (
        sop(one.server.token_url)
        if auth == "signed"
        else Provider(one.server.token_url, client_auth=auth)
    )
    source = one.source(provider=provider, client_secret=lambda: key)
    error = caught(lambda: source.token(source._view.state.tokens.access_token), ConfigurationError)
    assert "cannot be read" in str(error) or "can be read" in str(error)
    one.clean(error)


def test_row_66_a_secret_that_is_not_there(one, monkeypatch):
    """The variable is named; its neighbour is not."""
    monkeypatch.delenv("NO_SUCH_SECRET", raising=False)
    source = one.source(client_secret=Env("NO_SUCH_SECRET"))
    error = caught(source.token, ConfigurationError)
    assert "NO_SUCH_SECRET" in str(error)
    one.clean(error)


# --------------------------------------------------------------------------------------------------- errors of a store


@pytest.mark.parametrize("sealed", [False, True], ids=["plain", "sealed"])
@pytest.mark.parametrize("step", ["write", "fsync", "replace", "ftruncate", "posix_fallocate"])
@pytest.mark.parametrize("when", ["before the request", "after it"])
def test_row_66_a_sick_disk(one, monkeypatch, sealed, step, when):
    """The frames that write the file hold its whole content."""
    store = FileStore(one.path, encryption=AESGCM(KEY) if sealed else None)
    source = one.source(store=store)

    def sick(*_):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(_dance, "RESAVES", ())
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(one.path.parent / "none"))
    if when == "before the request":
        monkeypatch.setattr(os, step, sick)
        one.clean(caught(source.token, StoreError), store)
    else:
        one.server.after_commit = lambda: monkeypatch.setattr(os, step, sick)
        source.token()
        source.close()
        one.clean(store)
    monkeypatch.undo()


def test_row_66_files_that_are_not_right(one):
    """Damaged, foreign, sealed, of a newer format, open to others: told without showing any of it."""
    source = one.source()
    whole = one.path.read_bytes()
    other = ClientCredentials(one.server.token_url, client_id="app", client_secret=CLIENT_SECRET)
    with TokenSource(other, store=FileStore(one.path)) as foreign:
        one.clean(caught(foreign.token, StoreError))
    wrong = {
        "truncated": whole[:-20],
        "of a newer format": whole.replace(b'"format": 1', b'"format": 2'),
        "with a wrong field": whole.replace(b'"issued_at": 1.0', b'"issued_at": "x"'),
        "with an unknown field": whole.replace(b'"issued_at"', b'"unknown_at"'),
        "sealed": AESGCM(KEY).seal(whole),
    }
    for content in wrong.values():
        one.path.write_bytes(content)
        fresh = TokenSource(source._view.grant, store=FileStore(one.path))
        one.clean(caught(fresh.token, StoreError), caught(fresh.status, StoreError))
    sealed = FileStore(one.path, encryption=AESGCM(secrets.token_bytes(32)))
    one.clean(caught(sealed.load, StoreError), caught(lambda: sealed.reseal(None), StoreError))
    one.path.chmod(0o644)
    one.clean(caught(FileStore(one.path).load, StoreError))


def test_row_66_a_lock_that_is_taken_and_a_state_that_moved_on(one):
    """LockTimeout and StoreConflict know the holder, not the tokens."""
    source = one.source(policy=tokenlatch.RefreshPolicy(patience=0.05))
    store = FileStore(one.path)
    with store.transaction(1):
        one.clean(caught(source.token, LockTimeout))
    with store.transaction(1) as transaction:
        content = one.path.read_bytes().replace(b'"issued_at": 1.0', b'"issued_at": 1.5')
        one.path.write_bytes(content)
        state = transaction.state
        error = caught(lambda: transaction.commit(state.having(unproven=True)), StoreConflict)
        one.clean(error, transaction, state)


def test_row_66_wrong_uses(one):
    """Re-entry, a fork of a grant in memory, a pickle of one, a login that returns nonsense."""
    source = one.source(store=MemoryStore())
    one.clean(caught(lambda: pickle.dumps(source), ConfigurationError))
    again = TokenSource(Custom(lambda _: again.token()))
    one.clean(caught(again.token, ConfigurationError))
    one.clean(caught(TokenSource(Custom(lambda _: one.secrets)).token, ConfigurationError))


# --------------------------------------------------------------------------------------------------- errors of a door

ATTACHED = {
    "header": {},
    "another header": {"attach": Attach("header", "X-Token")},
    "query": {"attach": Attach("query", "access_token")},
    "form": {"attach": Attach("form", "access_token")},
}


@pytest.mark.parametrize("how", ATTACHED)
@pytest.mark.parametrize("fault", ["drop", "503", "shape"])
def test_row_66_errors_through_a_door(world, how, fault):
    """The error is the library's own as well, with a request; neither holds a token, at first or after a 401."""
    provider = Provider(world.server.token_url, **ATTACHED[how])
    source = world.source(provider=provider)
    shape = {"shape": "json_array"} if fault == "shape" else {}
    world.server.fail(fault, times=None, **shape)
    expired = caught(lambda: post(world, source))
    world.server.faults.clear()
    world.path.unlink()
    refused = world.source(provider=provider)
    refused.seed(TokenSet(refused._view.state.tokens.access_token, refresh_token="rt-" + "x" * 32))
    world.more_secrets.append("rt-" + "x" * 32)
    world.server.fail(fault, times=None, **shape)
    world.clean(expired, caught(lambda: post(world, refused)))


def test_row_66_a_foreign_origin_through_a_door(world):
    """The URL's query may hold somebody's secret: it is not repeated."""
    source = world.source()
    world.more_secrets.append("query-sentinel")
    url = "https://elsewhere.example/x?token=query-sentinel"
    error = caught(lambda: post(world, source, url), ForeignOriginError)
    assert leaks(["query-sentinel"], [str(error), repr(error), repr(error.args)]) == []


def post(world, source, url=None):
    """POST a form with the library's door."""
    client = importlib.import_module(world.library)
    door = importlib.import_module(f"tokenlatch.{world.library}")
    auth = door.BearerAuth(source, world.server.url)
    make = client.Session if world.library == "requests" else client.Client
    with make() as session:
        return session.post(url or world.server.api_url, data={"a": "b"}, auth=auth)


# -------------------------------------------------------------------------------------------------------------- objects


def test_row_66_no_object_shows_a_secret(world):
    """Grants, stores, sources, senders, requests, answers, auth objects, states: in text, and as locals of a frame."""
    store = FileStore(world.path, encryption=AESGCM(KEY))
    source = world.source(store=store)
    tokens = source.token()
    view = source._view
    ask = Ask(
        "https://idp.example/token", {"refresh_token": tokens.refresh_token}, {"A": CLIENT_SECRET}
    )
    answer = Answer(200, {"set-cookie": CLIENT_SECRET}, CLIENT_SECRET.encode())
    door = importlib.import_module(f"tokenlatch.{world.library}")
    auth = door.BearerAuth(source, world.server.url)
    post(world, source)
    pickled = pickle.dumps(source).replace(
        KEY, b""
    )  # a literal key travels, as a literal secret does
    with store.transaction(1) as transaction:
        things = [tokens, source, view.grant, store, store.encryption, view.state, source.status()]
        more = [ask, answer, auth, transaction, view, source._dance, source._dance.sender]
        here = "".join(traceback.StackSummary.extract(frames(), capture_locals=True).format())
        world.clean(things, more, here, {"a dict": tokens, "a list": [view.state]})
    assert leaks([s for s in world.secrets if s != CLIENT_SECRET], pickled.decode("latin-1")) == []
    keyed = pickle.dumps(FileStore(world.path, encryption=AESGCM.from_env("ACME_KEY")))
    assert b"ACME_KEY" in keyed


def frames():
    """Return the caller's frame, whose locals a crash reporter would print."""
    return [next(iter(traceback.walk_stack(None)))]


# ----------------------------------------------------------------------------------------------------------------- logs


@pytest.fixture
def logs():
    """Everything that any logger says at DEBUG, with arguments and tracebacks."""
    said = io.StringIO()

    class Handler(logging.Handler):
        def emit(self, record):
            said.write(self.format(record) + "\n")
            said.write(f"{record.args!r} {record.__dict__!r}\n")

    handler, root = Handler(), logging.getLogger()
    names = ["tokenlatch", "httpx", "httpx2", "httpcore", "httpcore2", "urllib3", "requests"]
    loggers = [root, *map(logging.getLogger, [*names, "asyncio", "filelock", "trio"])]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield said
    root.removeHandler(handler)
    for each, level in zip(loggers, levels, strict=True):
        each.setLevel(level)


def test_row_67_everything_at_debug(world, logs):
    """A good call, a refresh, a refusal, a failure, a save that fails: the logs say a lot, and no secret."""
    source = world.source()
    source._view.listener = tokenlatch._events.log
    assert post(world, source).status_code == 200
    world.server.expire_now()
    assert post(world, source).status_code == 200
    for fault in ("drop", "503", "cut"):
        world.server.fail(fault, times=None)
        caught(source.refresh)
        world.server.faults.clear()
        source.seed(source._view.state.tokens)
    world.server.revoke_now()
    caught(lambda: post(world, source))
    text = logs.getvalue()
    for word in ("Refreshed to generation", "Refresh failed", "/token"):
        assert word in text
    assert leaks(world.secrets, text) == []


@pytest.mark.parametrize("library", ["httpx", "httpx2"], indirect=True)
def test_row_67_a_loop_in_debug_mode(world, logs):
    """In debug mode asyncio shows tasks, handles and their frames."""
    source = world.source()
    client = importlib.import_module(world.library)
    door = importlib.import_module(f"tokenlatch.{world.library}")

    async def main():
        loop = asyncio.get_running_loop()
        loop.slow_callback_duration = 0  # so that every callback is told
        auth = door.BearerAuth(source, world.server.url)
        async with client.AsyncClient(auth=auth) as session:
            assert (await session.get(world.server.api_url)).status_code == 200
            asked = asyncio.create_task(source.atoken(source._view.state.tokens.access_token))
            logging.getLogger("tests").debug("%r", asked)
            await asked

    asyncio.run(main(), debug=True)
    assert "Executing" in logs.getvalue()
    assert leaks(world.secrets, logs.getvalue()) == []


def test_row_67_a_listener_that_fails_is_logged_without_secrets(world, logs):
    """Its traceback is in the log, with the event in the frame."""

    def listener(event):
        raise RuntimeError(repr(event))

    source = world.source()
    source._view.listener = listener
    source.token()
    assert "on_event listener failed" in logs.getvalue()
    assert leaks(world.secrets, logs.getvalue()) == []
