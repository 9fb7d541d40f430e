"""The law of a store as tests, to be run on any ``TokenStore``.

Law: knows public names only, and no store: what holds here must hold for files, servers and memory alike.

Example:
    In a test file of yours::

        from tokenlatch.testing.store_contract import StoreContract


        class TestSqlStore(StoreContract):
            @pytest.fixture(autouse=True)
            def place(self, tmp_path):
                self.path = tmp_path / "grant.db"

            def make_store(self):
                return SqlStore(self.path)
"""

import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import pytest

from tokenlatch import TokenSet
from tokenlatch.errors import LockTimeout, StoreConflict
from tokenlatch.stores import Failure, Holder, Identity, Intent, State, TokenStore

__all__ = ["StoreContract"]

SOON: Final = 10.0
"""Seconds within which whatever has to happen happens, on a busy machine."""

SHORT: Final = 0.2
"""Seconds that a test can afford to wait in vain."""

IDENTITY = Identity("https://idp.example/token", "app", "refresh_token", "read write")
TOKENS = TokenSet(
    "sentinel-access",
    expires_at=1_750_003_600.0,
    refresh_token="sentinel-refresh",
    refresh_expires_at=1_760_000_000.5,
    scope="read",
    issued_at=1_750_000_000.25,
    extra={"id_token": "sentinel-id", "name": "Zoë", "nested": {"list": [1, None, True]}},
)
FIRST = State(IDENTITY, generation=1, tokens=TOKENS)
INTENT = Intent(1_750_000_001.0, Holder(42, "host", "boot-7"), "c0ffee")
FAILURE = Failure("ProviderError", "It failed.", 1_750_000_002.0, 1_750_000_003.0, status=503)


class StoreContract:
    """Inherit, and say how to make a store; each test method is one sentence of the law."""

    def make_store(self) -> TokenStore:
        """Return a store; all stores that one test makes share one state, which is empty at first."""
        raise NotImplementedError

    def write_behind_the_lock(self, store: TokenStore, state: State) -> None:  # noqa: ARG002 - for who overrides it
        """Put a state where the store keeps it, as a program would that does not know the lock."""
        pytest.skip("write_behind_the_lock() is not given, so compare-and-swap cannot be provoked")

    def another(self, store: TokenStore) -> TokenStore:
        """Return a second store on the same state, as another process would have."""
        if not getattr(store, "shared", True):
            pytest.skip("this store is not shared: there is never a second one on the same state")
        return self.make_store()

    # -- what was committed is there ---------------------------------------------------------------

    def test_at_first_there_is_nothing(self) -> None:
        """An empty store says None, outside and inside a transaction."""
        store = self.make_store()
        assert store.load() is None
        with store.transaction(SOON) as transaction:
            assert transaction.state is None

    @pytest.mark.parametrize(
        "state",
        [
            State(IDENTITY),
            FIRST,
            FIRST.having(intent=INTENT, failure=FAILURE, unproven=True),
            FIRST.having(unknown={"of_a_later_version": {"kept": True}}),
            FIRST.having(tokens=TokenSet("a" * 30_000, refresh_token="r" * 30_000)),
        ],
        ids=["no tokens yet", "tokens", "intent and failure", "unknown fields", "long tokens"],
    )
    def test_what_was_committed_is_loaded_whole(self, state: State) -> None:
        """Every field comes back as it went in."""
        store = self.make_store()
        commit(store, state)
        assert store.load() == state
        with store.transaction(SOON) as transaction:
            assert transaction.state == state

    def test_one_transaction_commits_twice(self) -> None:
        """First the intent, which others see at once, then the new tokens."""
        store = self.make_store()
        commit(store, FIRST)
        with store.transaction(SOON) as transaction:
            begun, done = FIRST.having(intent=INTENT), FIRST.succeeded_by(TokenSet("next"))
            transaction.commit(begun)
            assert transaction.state == store.load() == begun
            transaction.reserve()
            transaction.commit(done)
            assert transaction.state == store.load() == done
        assert store.load() == done

    def test_reserving_changes_nothing(self) -> None:
        """Room may be claimed twice, and for a commit that never comes."""
        store = self.make_store()
        with store.transaction(SOON) as transaction:
            transaction.reserve()
        assert store.load() is None
        commit(store, FIRST)
        with store.transaction(SOON) as transaction:
            transaction.reserve()
            transaction.reserve()
        assert store.load() == FIRST

    def test_an_error_inside_leaves_what_was_committed(self) -> None:
        """The lock is free again, and nothing is rolled back or half done."""
        store = self.make_store()
        commit(store, FIRST)

        def fail() -> None:
            with store.transaction(SOON) as transaction:
                transaction.reserve()
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        with store.transaction(0) as transaction:
            assert transaction.state == store.load() == FIRST

    # -- changes are noticed -------------------------------------------------------------------------

    def test_changed_is_about_what_load_returned_last(self) -> None:
        """It is true after a commit, and false after a load of it."""
        store = self.make_store()
        store.load()
        assert not store.changed()
        for generation in range(1, 5):
            commit(store, FIRST.having(generation=generation))
            assert store.changed()
            store.load()
            assert not store.changed()

    def test_changed_notices_another_store(self) -> None:
        """A change of the same size, too, and the first of all."""
        store = self.make_store()
        other = self.another(store)
        store.load()
        for token in ("aaa", "bbb", "ccc"):
            commit(other, FIRST.having(tokens=TokenSet(token)))
            assert store.changed()
            assert store.load() == other.load()
            assert not store.changed()

    def test_a_transaction_does_not_hide_a_change(self) -> None:
        """What was seen under the lock is still news for ``load``."""
        store = self.make_store()
        other = self.another(store)
        store.load()
        commit(other, FIRST)
        with store.transaction(SOON):
            pass
        assert store.changed()

    # -- one at a time -------------------------------------------------------------------------------

    def test_transactions_exclude_each_other_between_threads(self) -> None:
        """Forty increments by eight threads of one store are forty."""
        store = self.make_store()
        count_up([store] * 8)

    def test_transactions_exclude_each_other_between_stores(self) -> None:
        """Forty increments by eight stores are forty."""
        store = self.make_store()
        count_up([store, *(self.another(store) for _ in range(7))])

    def test_a_taken_lock_is_refused_at_once_without_patience(self) -> None:
        """A timeout of 0 is one try; the error is a TimeoutError, and says how long it waited."""
        store = self.make_store()
        with store.transaction(SOON):
            begin = time.monotonic()
            with pytest.raises(LockTimeout) as caught, store.transaction(0):
                pass
            assert time.monotonic() - begin < SOON / 2
        assert isinstance(caught.value, TimeoutError)
        assert 0 <= caught.value.waited < SOON / 2

    def test_a_taken_lock_is_waited_for_no_longer_than_allowed(self) -> None:
        """The timeout is in seconds, and kept."""
        store = self.make_store()
        with store.transaction(SOON):
            begin = time.monotonic()
            with pytest.raises(LockTimeout), store.transaction(SHORT):
                pass
            assert SHORT <= time.monotonic() - begin < SOON

    def test_a_waiter_gets_the_lock_when_it_is_free(self) -> None:
        """And sees what the holder committed."""
        store = self.make_store()
        waiting, seen = threading.Event(), list[State | None]()

        def wait() -> None:
            waiting.set()
            with store.transaction(SOON) as transaction:
                seen.append(transaction.state)

        with ThreadPoolExecutor(1) as threads:
            with store.transaction(SOON) as transaction:
                waiter = threads.submit(wait)
                assert waiting.wait(SOON)
                transaction.commit(FIRST)
            waiter.result(SOON)
        assert seen == [FIRST]

    def test_loading_waits_for_nobody(self) -> None:
        """Readers go on with the last committed state while a refresh is under way."""
        store = self.make_store()
        commit(store, FIRST)
        with ThreadPoolExecutor(1) as threads, store.transaction(SOON) as transaction:
            transaction.reserve()
            assert threads.submit(store.load).result(SOON) == FIRST
            assert threads.submit(store.changed).result(SOON) is False

    # -- nothing newer is overwritten ------------------------------------------------------------------

    def test_a_state_written_behind_the_lock_is_not_overwritten(self) -> None:
        """Compare-and-swap: the commit raises StoreConflict, and the other's state stands."""
        store = self.make_store()
        commit(store, FIRST)
        theirs = FIRST.succeeded_by(TokenSet("theirs"))
        for ours in (FIRST.having(failure=FAILURE), FIRST.succeeded_by(TokenSet("ours"))):
            with store.transaction(SOON) as transaction:
                transaction.reserve()
                self.write_behind_the_lock(store, theirs)
                with pytest.raises(StoreConflict):
                    transaction.commit(ours)
            assert store.load() == theirs
            commit(store, FIRST)

    # -- copies and secrets ----------------------------------------------------------------------------

    def test_a_pickled_copy_shares_the_state_and_carries_no_token(self) -> None:
        """Settings travel to a worker; tokens never do."""
        store = self.make_store()
        commit(store, FIRST)
        store.load()
        pickled = pickle.dumps(store)
        copy: TokenStore = pickle.loads(pickled)  # noqa: S301 - our own, made one line above
        assert b"sentinel" not in pickled
        assert copy.load() == (FIRST if getattr(store, "shared", True) else None)

    def test_no_text_of_the_store_shows_a_token(self) -> None:
        """Nor that of a transaction."""
        store = self.make_store()
        commit(store, FIRST)
        with store.transaction(SOON) as transaction:
            texts = f"{store!r} {store} {store.load()!r} {transaction!r} {transaction.state!r}"
        assert "sentinel" not in texts


def commit(store: TokenStore, state: State) -> None:
    """Commit in a transaction of its own."""
    with store.transaction(SOON) as transaction:
        transaction.commit(state)


def count_up(stores: list[TokenStore], times: int = 5) -> None:
    """Let each store, in a thread of its own, add one to the generation so many times."""
    start, inside, together = threading.Barrier(len(stores)), list[TokenStore](), list[int]()

    def work(store: TokenStore) -> None:
        start.wait(SOON)
        for _ in range(times):
            with store.transaction(3 * SOON) as transaction:
                inside.append(store)
                state = transaction.state or State(IDENTITY)
                together.append(len(inside))
                transaction.commit(state.having(generation=state.generation + 1))
                inside.pop()

    with ThreadPoolExecutor(len(stores)) as threads:
        list(threads.map(work, stores))
    last = stores[0].load()
    assert last is not None
    assert last.generation == times * len(stores)
    assert set(together) == {1}
