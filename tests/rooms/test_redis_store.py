"""The state in Redis: one refresh for workers that share no disk."""

import pickle
import shutil
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tokenlatch import RefreshToken, TokenSet, TokenSource, errors
from tokenlatch._stores.redis import RedisStore

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None,
    reason="needs redis-server: apt-get install redis-server (.ci/run does it)",
)
pytest.importorskip("redis", reason="needs redis-py: pip install 'tokenlatch[redis]'")


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory):
    """A server of our own on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    command = [
        "redis-server",
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "redis-server did not start"
                time.sleep(0.02)  # polled until it listens, or the deadline
        yield f"redis://127.0.0.1:{port}/0"
        server.terminate()


@pytest.fixture
def make_store(redis_url, request):
    """Stores of one grant, each with connections of its own."""
    stores = []

    def make():
        stores.append(RedisStore(redis_url, request.node.name))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


def source_on(server, store, seed):
    """A source whose grant began with this seed."""
    grant = RefreshToken(
        server.token_url, client_id="app", client_secret="app-secret", refresh_token=seed
    )
    return TokenSource(grant, store=store)


def test_many_sources_make_one_refresh(oauth_server, make_store):
    """Eight sources with eight connections and one expired grant: one token request."""
    seed = oauth_server.issue()["refresh_token"]
    sources = [source_on(oauth_server, make_store(), seed) for _ in range(8)]
    start = threading.Barrier(8)

    def ask(source):
        start.wait(5)
        return source.token().access_token

    with ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(ask, sources))
    assert len(tokens) == 1
    assert oauth_server.counts.token_requests == 1
    assert oauth_server.counts.replays == 0


def test_a_holder_that_lost_its_lease_does_not_overwrite(oauth_server, make_store):
    """Who lost the lock meets a state that moved on, and writes nothing."""
    first, second = make_store(), make_store()
    source_on(oauth_server, first, "x").seed(TokenSet("one", refresh_token="r1"))
    with first.transaction(0) as slow:
        stale = slow.state
        first._client.delete(f"tokenlatch:{first._key}:lock")  # the lease ran out
        with second.transaction(0) as quick:
            quick.commit(quick.state.succeeded_by(TokenSet("two", refresh_token="r2")))
        with pytest.raises(errors.StoreConflict):
            slow.commit(stale.succeeded_by(TokenSet("late", refresh_token="r3")))
    assert second.load().tokens.access_token == "two"


def test_a_lost_lease_alone_loses_no_token(oauth_server, make_store):
    """A new token is saved although the lease ran out, as long as nobody else began."""
    store = make_store()
    source_on(oauth_server, store, "x").seed(TokenSet("one", refresh_token="r1"))
    with store.transaction(0) as slow:
        store._client.delete(f"tokenlatch:{store._key}:lock")
        slow.commit(slow.state.succeeded_by(TokenSet("two", refresh_token="r2")))
    assert store.load().tokens.access_token == "two"


def test_the_lock_excludes_at_once_and_after_waiting(make_store):
    """A second transaction gets LockTimeout, with the time it waited."""
    first, second = make_store(), make_store()
    with first.transaction(0):
        with pytest.raises(errors.LockTimeout), second.transaction(0):
            pass
        with pytest.raises(errors.LockTimeout) as timeout, second.transaction(0.1):
            pass
    assert timeout.value.waited == 0.1
    with second.transaction(0):
        pass


def test_no_server_is_a_store_error_without_the_url():
    """An unreachable server is named as a store that must be mended; its URL holds a password."""
    store = RedisStore("redis://:hush-hush@127.0.0.1:9/0", "grant")
    with pytest.raises(errors.StoreError) as error:
        store.load()
    assert "hush-hush" not in str(error.value) + repr(store) + repr(error.value.__context__)


def test_pickle_keeps_the_settings(make_store, oauth_server):
    """A store in another process speaks to the same grant."""
    store = make_store()
    source_on(oauth_server, store, "x").seed(TokenSet("one"))
    twin = pickle.loads(pickle.dumps(store))
    assert twin.load().tokens.access_token == "one"
    twin.close()


def test_a_damaged_state_is_refused(make_store):
    """What is no state is reported and left as it is."""
    store = make_store()
    store._client.set(f"tokenlatch:{store._key}", b"{broken")
    with pytest.raises(errors.StoreError, match="not a JSON object"):
        store.load()
    assert store._client.get(f"tokenlatch:{store._key}") == b"{broken"
