"""Rows 51 to 57 and 63 of the fault matrix: what a token endpoint and the network to it can do to a refresh.

Over each real sender, and through a whole source.
"""

import socket
import time
from contextlib import ExitStack

import httpx
import pytest
import requests

import tokenlatch.httpx
import tokenlatch.requests
from tokenlatch import FileStore, RefreshPolicy, RefreshToken, TokenSource
from tokenlatch._senders import HttpxSender, RequestsSender
from tokenlatch.errors import (
    ProviderError,
    ReauthorizationRequired,
    TransportError,
    UnreadableAnswerError,
)

SENDERS = pytest.mark.parametrize(
    "sender", [RequestsSender, HttpxSender], ids=["requests", "httpx"]
)
"""The one for httpx2 is httpx's with another import; row 56 and tests/rooms have it too."""

AHEAD = RefreshPolicy(ahead=1800.0, jitter=0.0)
"""With it a token that has less than half an hour left is refreshed behind the scenes."""

LOSSES = pytest.mark.parametrize(
    "fault", ["drop", "cut", "timeout"], ids=["row 53 drop", "row 54 cut", "row 53 timeout"]
)


def lose(shared, fault):
    """Let the server commit, and its answer never arrive whole."""
    if fault == "timeout":
        shared.server.fail("slow", seconds=3.0)
    else:
        shared.server.fail(fault)


def lock_is_free(shared):
    """Tell whether another process could refresh now."""
    with FileStore(shared.path).transaction(0.0):
        return True


# ------------------------------------------------------------------------------------- row 51: the refresh token


@SENDERS
@pytest.mark.parametrize("shape", ["no_refresh_token", "same_refresh_token", "empty_refresh_token"])
def test_row_51_an_answer_without_a_new_refresh_token(shared, sender, shape):
    """Where none comes, the same one, or an empty one, the old refresh token is kept."""
    seed = shared.seed()
    shared.server.fail("shape", shape=shape, times=2)
    source = shared.source(sender=sender())
    assert source.token().refresh_token == seed.refresh_token
    assert source.refresh().refresh_token == seed.refresh_token
    assert source.refresh().refresh_token != seed.refresh_token
    assert shared.alive


# -------------------------------------------------------------------------------------- row 52: nothing was sent


@pytest.fixture
def port():
    """Give a port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@pytest.fixture
def full():
    """Give a port whose queue is full, so that a connection is never made and never refused."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]


@SENDERS
@pytest.mark.parametrize("way", ["refused", "no such host", "connect timeout"])
def test_row_52_nobody_is_reached(tmp_path, port, full, sender, way):
    """What was certainly never sent is tried again within the deadline, and spends nothing: no doubt remains."""
    url = {
        "refused": f"http://127.0.0.1:{port}/token",
        "no such host": "https://nobody.invalid/token",
        "connect timeout": f"http://127.0.0.1:{full}/token",
    }[way]
    tries, carry = [], sender(connect=0.1)

    def send(ask):
        tries.append(ask)
        return carry(ask)

    grant = RefreshToken(url, client_id="app", refresh_token="rt-0")
    store = FileStore(tmp_path / "token.json")
    source = TokenSource(grant, store=store, sender=send)
    with pytest.raises(TransportError) as caught:
        source.token()
    assert caught.value.sent is False
    assert len(tries) == 3
    state = store.load()
    assert state.intent is None
    assert state.failure.retry_at
    with pytest.raises(TransportError):
        source.token()
    assert len(tries) == 3  # the cooldown


@SENDERS
def test_row_52_a_server_that_comes_back_is_asked_again(shared, sender):
    """A refused connection is no death: as soon as the server listens again, the same refresh token works."""
    shared.seed()
    source = shared.source(sender=sender())
    shared.server.close()
    with pytest.raises(TransportError):
        source.token()
    shared.server.start()
    retry_at = shared.state().failure.retry_at
    later = shared.source(sender=sender(), clock=lambda: retry_at + 0.1)
    assert later.token()
    assert shared.alive


# ------------------------------------------------------------------------------- rows 53 and 54: a lost answer


@SENDERS
@LOSSES
def test_row_53_the_answer_is_lost_and_the_server_has_a_grace(shared, sender, fault):
    """One more try at once gets the same tokens again."""
    shared.seed()
    shared.server.book.grace = 30.0
    lose(shared, fault)
    assert shared.source(sender=sender(read=0.3)).token()
    assert shared.server.counts.token_requests == 2
    assert shared.server.counts.refreshes == 1
    assert shared.alive


@SENDERS
@LOSSES
def test_row_53_the_answer_is_lost_and_the_server_is_strict(shared, sender, fault):
    """With nothing left to lose one more try is made; the refusal is final, and says why."""
    shared.seed()
    lose(shared, fault)
    source = shared.source(sender=sender(read=0.3))
    with pytest.raises(ReauthorizationRequired, match=r"began a refresh at .* could not finish"):
        source.token()
    assert shared.server.counts.token_requests == 2
    with pytest.raises(ReauthorizationRequired):
        shared.source().token()
    assert shared.server.counts.token_requests == 2


@SENDERS
@LOSSES
def test_row_53_the_answer_is_lost_while_the_token_is_valid(shared, sender, fault):
    """Nothing is risked while the access token lives; when it ends the old refresh token is tried once more."""
    seed = shared.seed(left=1700.0)
    lose(shared, fault)
    source = shared.source(sender=sender(read=0.3), policy=AHEAD)
    assert source.token() == seed
    source.close()  # waits for the refresh behind the scenes
    state = shared.state()
    assert state.intent.doubtful
    for _ in range(3):
        assert source.token() == shared.source().token() == seed
    after = shared.source(clock=lambda: state.failure.retry_at + 0.1, policy=AHEAD)
    assert after.token() == seed  # nor when the cooldown is over
    after.close()
    assert shared.server.counts.token_requests == 1
    shared.server.book.grace = 3600.0
    later = shared.source(clock=lambda: seed.expires_at)
    assert later.token() != seed
    assert shared.alive


@pytest.mark.parametrize("second", ["refused", "503", "500"])
def test_row_53_a_lost_answer_is_not_forgotten_when_the_next_try_fails_otherwise(shared, second):
    """Whatever the second try ended with, the first one may have spent the refresh token: the doubt stays."""
    shared.seed()
    lose(shared, "drop")
    if second == "refused":
        shared.server.after_commit = lambda: refuse_from_now(shared)
    else:
        shared.server.fail(second)
    with pytest.raises((TransportError, ProviderError)):
        shared.source(sender=RequestsSender()).token()
    assert shared.state().intent.doubtful
    assert shared.state().failure.retry_at


def refuse_from_now(shared):
    """Let nobody connect any more, while this request is still answered."""
    shared.server._listener._listening.close()


@SENDERS
def test_row_53_a_grace_is_counted_from_the_request_not_from_its_timeout(shared, sender):
    """An answer that was lost for longer than the grace is not asked for again while the token is valid."""
    seed = shared.seed(left=1700.0)
    shared.grace = shared.server.book.grace = 0.4
    lose(shared, "timeout")
    source = shared.source(sender=sender(read=0.6), policy=AHEAD)
    assert source.token() == seed
    source.close()
    assert shared.server.counts.token_requests == 1
    retry_at = shared.state().failure.retry_at
    later = shared.source(clock=lambda: retry_at + 0.1, policy=AHEAD)
    assert later.token() == seed
    later.close()
    assert shared.server.counts.token_requests == 1
    assert shared.server.counts.replays == 0


# ---------------------------------------------------------------------------------- rows 55 and 56: bad answers


@SENDERS
@pytest.mark.parametrize("fault", ["trickle", "trickle_headers"])
def test_row_55_a_trickling_answer(shared, sender, fault):
    """A server that sends a byte now and then keeps no limit alive: the total deadline holds, the lock is let go."""
    shared.seed()
    shared.server.fail(fault, seconds=0.05, times=None)
    source = shared.source(sender=sender(total=0.4))
    begin = time.monotonic()
    with pytest.raises((TransportError, UnreadableAnswerError)):
        source.token()
    assert time.monotonic() - begin < 4.0  # two tries of 0.4 s each
    assert lock_is_free(shared)
    assert shared.state().intent.doubtful


@pytest.mark.storm
@pytest.mark.parametrize("sender", ["RequestsSender", "HttpxSender", "Httpx2Sender"])
@pytest.mark.parametrize("fault", ["huge", "gzip_bomb"])
def test_row_56_an_answer_of_a_hundred_megabytes(shared, sender, fault):
    """The answer is cut off: memory grows by less than ten megabytes, and the error says that it is no token answer."""
    shared.seed()
    (worker,) = shared.crew(1, sender=sender)
    before = worker.ask(do="peak_memory")["bytes"]
    shared.server.fail(fault, size=100)
    said = worker.ask(do="token")
    assert said["error"] == "UnreadableAnswerError"
    assert worker.ask(do="peak_memory")["bytes"] - before < 10 * 2**20
    assert lock_is_free(shared)


# ------------------------------------------------------------------------------------------- row 57: sick servers


@SENDERS
@pytest.mark.parametrize(
    ("fault", "kind", "doubtful"),
    [
        ("500", ProviderError, True),
        ("502", ProviderError, True),
        ("429", ProviderError, False),
        ("503", ProviderError, False),
        ("html", UnreadableAnswerError, True),
    ],
)
def test_row_57_a_sick_server(shared, sender, fault, kind, doubtful):
    """It is asked once and remembered; only where the refresh token may have been spent a doubt is left."""
    shared.seed()
    shared.server.fail(fault, retry_after=3 if fault in {"429", "503"} else None)
    source = shared.source(sender=sender())
    for _ in range(3):
        with pytest.raises(kind) as caught:
            source.token()
        assert type(caught.value) is kind
    assert shared.server.counts.token_requests == 1
    state = shared.state()
    assert bool(state.intent and state.intent.doubtful) is doubtful
    later = shared.source(sender=sender(), clock=lambda: state.failure.retry_at + 0.1)
    assert later.token()
    assert shared.alive


# --------------------------------------------------------------------------------- row 63: an API that always refuses


@pytest.mark.parametrize("door", ["requests", "httpx"])
def test_row_63_an_api_that_always_answers_401(shared, door):
    """It costs one refresh and one more request; further requests burn no rotation."""
    shared.seed(left=1800.0)
    source = shared.source()
    if door == "requests":
        client = requests.Session()
        client.auth = tokenlatch.requests.BearerAuth(source, shared.server.url)
    else:
        client = httpx.Client(auth=tokenlatch.httpx.BearerAuth(source, shared.server.url))
    with client:
        for _ in range(5):
            assert client.get(f"{shared.server.url}/always401").status_code == 401
    assert shared.server.counts.refreshes == 1
    assert shared.server.counts.api_requests == 6
    assert shared.alive
