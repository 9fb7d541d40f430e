"""The memory store: the law of a store, for one process; the contract test checks the rest."""

import copy
import pickle
import threading

import pytest

from tokenlatch import MemoryStore, TokenSet
from tokenlatch._state import Identity, State
from tokenlatch.errors import LockTimeout, StoreConflict

WHO = Identity("https://idp.example/token", "app", "refresh_token")
STATE = State(WHO, 1, TokenSet("at-sesame", refresh_token="rt-sesame"))


@pytest.fixture
def store():
    """A store with a state."""
    store = MemoryStore()
    with store.transaction(0) as transaction:
        transaction.commit(STATE)
    return store


def test_it_begins_empty():
    """Nothing there, and nothing changed."""
    store = MemoryStore()
    assert store.load() is None
    assert not store.changed()
    with store.transaction(0) as transaction:
        assert transaction.state is None
        transaction.reserve()


def test_a_commit_is_seen(store):
    """By load at once, and by changed until load."""
    assert store.changed()
    assert store.load() is STATE
    assert not store.changed()


@pytest.mark.parametrize("timeout", [0, 0.01])
def test_a_second_transaction_waits_or_fails(store, timeout):
    """It is a LockTimeout that says how long it waited."""
    with store.transaction(0), pytest.raises(LockTimeout) as caught, store.transaction(timeout):
        pass
    assert caught.value.waited == timeout
    with store.transaction(0):
        pass


def test_a_transaction_waits_its_turn(store):
    """Until the other one leaves."""
    entered = threading.Event()

    def second():
        with store.transaction(10):
            entered.set()

    thread = threading.Thread(target=second)
    with store.transaction(0):
        thread.start()
        assert not entered.is_set()
    thread.join(10)
    assert entered.is_set()


def test_an_error_inside_frees_the_lock(store):
    """And what was not committed did not happen."""
    with pytest.raises(ZeroDivisionError), store.transaction(0):
        1 / 0  # noqa: B018 - the error is the point
    with store.transaction(0) as transaction:
        assert transaction.state is STATE


def test_commits_within_one_transaction_follow_each_other(store):
    """Each compares with the one before."""
    with store.transaction(0) as transaction:
        for generation in (2, 3):
            transaction.commit(STATE.having(generation=generation))
            assert store.load().generation == generation


def test_a_commit_over_a_newer_state_is_refused(store):
    """Somebody wrote without the lock: the newer state stands."""
    with store.transaction(0) as transaction:
        newer = STATE.having(generation=9)
        store._state = newer
        with pytest.raises(StoreConflict):
            transaction.commit(STATE.having(generation=2))
        assert store.load() is newer


def test_a_state_is_read_while_the_lock_is_taken(store):
    """Readers need no lock."""
    with store.transaction(0):
        assert store.load() is STATE


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
)
def test_a_copy_is_empty(store, copied):
    """A second owner of a rotating refresh token would spend it too."""
    twin = copied(store)
    assert twin.load() is None
    with store.transaction(0), twin.transaction(0):
        pass
    assert b"sesame" not in pickle.dumps(store)


def test_nothing_is_shown(store):
    """No secret in its repr."""
    assert repr(store) == "MemoryStore()"
    assert not store.shared
