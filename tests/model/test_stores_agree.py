"""The store of the model does what the real ones do: roll forward, compare and clean-up, side by side."""

from itertools import product
from pathlib import Path

import pytest

from tests.model.book import BOOK
from tests.model.rules import Budget, Rules
from tests.model.worker import first_state
from tests.model.world import Step, World
from tokenlatch import FileStore, TokenSet
from tokenlatch._format import to_json
from tokenlatch._state import Failure, Holder, Intent
from tokenlatch._stores import _disk
from tokenlatch._stores.redis import RedisStore, RedisTransaction
from tokenlatch.errors import StoreConflict, StoreError

FIRST = BOOK.read(first_state(Rules()))
INTENT = Intent(95.0, Holder(0, "here", "boot"))
STATES = {
    "nothing": None,
    "first": FIRST,
    "first, intent": FIRST.having(intent=INTENT),
    "first, failure": FIRST.having(failure=Failure("ProviderError", "It failed.", 95.0, 96.0)),
    "second": FIRST.succeeded_by(TokenSet("A1", refresh_token="R1")),
    "another second": FIRST.succeeded_by(TokenSet("A100", refresh_token="R100")),
    "third": FIRST.having(generation=3, tokens=TokenSet("A2", refresh_token="R2")),
}
WRITTEN = [name for name in STATES if name != "nothing"]


def put(store, state, suffix=""):
    """Let somebody else have written this state there."""
    path = Path(f"{store.path}{suffix}")
    path.unlink(missing_ok=True)
    if state is not None:
        path.touch(mode=0o600)
        path.write_bytes(to_json(state))


def litter(store):
    """Return what lies beside the file and is not for ever."""
    path = Path(store.path)
    return [
        each
        for each in path.parent.glob(f"{path.name}.*")
        if each.suffix not in (".lock", ".counter")
    ]


def world_with(disk, **others):
    """Return a world with these states in it."""
    numbers = {name: BOOK.number(state) for name, state in others.items()}
    return World(Rules(), Budget(), 95, BOOK.number(disk), **numbers)


def told(world, act, *details):
    """Return the world after a step, and the answer to it."""
    ((_, after, (_, answer)),) = world.answers(Step(0, act, *details))
    return after, answer


@pytest.mark.parametrize("disk", STATES)
def test_what_a_dead_holder_left_is_moved_on_alike(disk, tmp_path):
    """NAME.next goes in if it is the next generation; else it is litter."""
    for name, left in STATES.items():
        store = FileStore(tmp_path / name)
        put(store, STATES[disk])
        put(store, left, ".next")
        with store.transaction(0) as transaction:
            found = transaction.state
        world, number = told(world_with(STATES[disk], next=left), "load")
        assert BOOK.read(number) == found == store.load()
        assert (world.next, litter(store)) == (0, []), name


@pytest.mark.parametrize("read", STATES)
def test_a_commit_compares_alike(read, tmp_path):
    """With the lock lost, both refuse the same commits, and accept the same."""
    for there, new in product(STATES, WRITTEN):
        store = FileStore(tmp_path / f"{there}; {new}")
        put(store, STATES[read])
        with store.transaction(0) as transaction:
            put(store, STATES[there])
            try:
                transaction.commit(STATES[new])
                outcome = "written"
            except StoreConflict:
                outcome = "conflict"
        numbers = BOOK.number(STATES[new]), BOOK.number(STATES[read])
        world, answer = told(world_with(STATES[there]), "write", *numbers)
        if answer == "written":
            world, _ = told(world, "move", *numbers)
        assert (answer, BOOK.read(world.disk)) == (outcome, store.load()), (there, new)


class Dictionary(RedisStore):
    """A ``RedisStore`` without a server: one value, compared and swapped at once."""

    def __init__(self, state):
        self._key, self.value = "grant", state and to_json(state)

    def _get(self):
        return self.value and bytes(self.value)

    def _swap(self, old, new):
        if old != self._get():
            return False
        self.value = new
        return True


@pytest.mark.parametrize("read", STATES)
def test_a_commit_compares_alike_in_redis(read):
    """With the lease lost, the model and ``RedisStore`` refuse the same commits, and accept the same."""
    for there, new in product(STATES, WRITTEN):
        store = Dictionary(STATES[read])
        transaction = RedisTransaction(store)
        store.value = Dictionary(STATES[there]).value
        try:
            transaction.commit(STATES[new])
            outcome = "written"
        except StoreConflict:
            outcome = "conflict"
        numbers = BOOK.number(STATES[new]), BOOK.number(STATES[read])
        _, answer = told(world_with(STATES[there]), "write", *numbers)
        assert answer == outcome, (there, new)


@pytest.mark.parametrize("new", ["first, intent", "first, failure", "second"])
def test_what_cannot_be_moved_is_kept_alike(new, tmp_path, monkeypatch):
    """A new token that is whole in NAME.next outlives its transaction; a note does not."""
    store = FileStore(tmp_path / "token.json")
    put(store, FIRST)

    def fail(*_):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as sick, store.transaction(0) as transaction:
        sick.setattr(_disk, "replace", fail)
        with pytest.raises(StoreError):
            transaction.commit(STATES[new])
    world, _ = told(world_with(FIRST, next=STATES[new])._replace(lock=0), "unlock")
    assert bool(world.next) == bool(litter(store))
