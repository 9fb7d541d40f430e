"""Break the protocol on purpose, one rule at a time: the explorer finds each bug, and tells how it comes about.

Run with -s to see the shortest schedule of each.
"""

from contextlib import contextmanager
from functools import cache

import pytest

from tests.model import desk, worker
from tests.model.book import BLIND
from tests.model.invariants import explore
from tests.model.rules import Rules
from tests.model.world import World
from tokenlatch import _dance, _source
from tokenlatch import _events as events
from tokenlatch._dance import Dance
from tokenlatch._policy import Refresh
from tokenlatch._state import State


class NoReread(Dance):
    """Trusts what it knew before it had the lock."""

    def read(self, transaction, *, heal=False):
        assert transaction.state or heal
        return self._view.state


class NoIntent(Dance):
    """Spends the refresh token without leaving word."""

    def _intend(self, state, transaction):
        intent = super()._intend(state, Paper(transaction.state))
        transaction.reserve()
        return intent


class Paper:
    """A transaction that goes nowhere."""

    def __init__(self, state):
        self.state = state

    def reserve(self):
        pass

    def commit(self, state):
        self.state = state


class PublishedFirst(Dance):
    """Hands the new token out, then saves it."""

    def _save(self, fresh, transaction, flight):
        self._view.take(fresh)
        flight.land(fresh.tokens)
        return super()._save(fresh, transaction, flight)


class FinalRefusal(Dance):
    """Takes invalid_grant as final, although the state has moved on."""

    def _note(self, error, state, intent, transaction):
        super()._note(error, state, intent, transaction)
        events.tell(self._view.listener, events.RefreshFailed(state.identity, error, None))
        raise error


class Hasty(Dance):
    """Sends the refresh token again at once when an answer is lost, needed or not."""

    def _exchange(self, state):
        self._view.decide = lambda *_, **__: Refresh()
        try:
            return super()._exchange(state)
        finally:
            del self._view.decide


class Disrespectful(Dance):
    """Takes every intent for one of a dead worker."""

    def _respect(self, intent):
        pass


class NoDoubt(Dance):
    """Forgets that a lost answer may have spent the refresh token."""

    def _note(self, error, state, intent, transaction):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_dance, "is_in_doubt", lambda _: False)
            super()._note(error, state, intent, transaction)


class SavedOutside(Dance):
    """Lets go of the lock before the new token is saved."""

    def _save(self, fresh, transaction, flight):
        transaction._desk.do("unlock")
        return super()._save(fresh, transaction, flight)


class Forgetful(Dance):
    """Forgets a token that could not be saved."""

    def _keep(self, fresh, transaction, problem):
        pass


class Undecided(Dance):
    """Looks under the lock, and leaves as it came."""

    def __call__(self, _):
        with self._view.store.transaction(0) as transaction:
            self.read(transaction)


class BlindHold(desk.Hold):
    """Commits without compare-and-swap."""

    def commit(self, state):
        self.base = BLIND
        super().commit(state)


class OpenStore(desk.Store):
    """Has a lock that keeps nobody out."""

    @contextmanager
    def transaction(self, _):
        yield desk.Hold(self._desk)


def dance(kind):
    """Seed a bug in the dance."""
    return _source, "Dance", kind


EXPIRED, OLD = Rules(), Rules(begin=85)
TWICE = Rules(calls=("token", "token"), tick=100)
REDIS = Rules(atomic=True)
HOSTS = Rules(atomic=True, apart=True, revokes=False)

STUCK_LOCK = (World, "_unlock", lambda self, _: [("unlock, in vain", self, "unlocked")])
NO_LOCK = (worker, "Store", OpenStore)
BLIND_COMMIT = (desk, "Hold", BlindHold)
NO_ROLL_FORWARD = (World, "_rolled", lambda self, _: self)
STRICT = (State, "supersedes", lambda *_: False)

BUGS = {
    # what is broken: (where, what, how), the world in which it shows, the promise that it breaks
    "no re-read under the lock": (dance(NoReread), EXPIRED, {}, "sent_once"),
    "commit without compare-and-swap": (BLIND_COMMIT, REDIS, {"thefts": 1}, "sent_once"),
    "no intent": (dance(NoIntent), EXPIRED, {"crashes": 1}, "nothing_lost"),
    "published before it is saved": (dance(PublishedFirst), EXPIRED, {}, "durable_first"),
    "no lock": (NO_LOCK, EXPIRED, {}, "sent_once"),
    "a refusal is final without a second look": (
        *(dance(FinalRefusal), HOSTS),
        *({"thefts": 1}, "no_false_alarm"),
    ),
    "a lost answer is asked for in haste": (dance(Hasty), OLD, {"lost": 1}, "not_in_haste"),
    "roll forward ignored": (NO_ROLL_FORWARD, EXPIRED, {"crashes": 1}, "nothing_lost"),
    "a live worker's intent is ignored": (
        *(dance(Disrespectful), EXPIRED),
        *({"breaks": 1}, "sent_once"),
    ),
    "a lost answer leaves no doubt": (dance(NoDoubt), OLD, {"lost": 1}, "nothing_lost"),
    "saved after the lock is free": (dance(SavedOutside), EXPIRED, {}, "no_needless_error"),
    "an unsaved token is forgotten": (dance(Forgetful), EXPIRED, {"breaks": 1}, "nothing_lost"),
    "nothing is ever decided": (dance(Undecided), EXPIRED, {}, "every_schedule_ends"),
    "the lock is never let go": (STUCK_LOCK, TWICE, {"ticks": 1}, "every_schedule_ends"),
    "a note beats the new token": (STRICT, HOSTS, {"thefts": 1}, "nothing_lost"),
}


@cache
def is_sound(rules, budget):
    """Tell whether all promises hold in that world without a bug."""
    return explore(2, rules, **dict(budget)).promise is None


@pytest.mark.parametrize("name", BUGS)
def test_the_explorer_finds(name, monkeypatch):
    """Each rule of the protocol is needed: without it, some schedule of two workers breaks a promise."""
    seed, rules, budget, promise = BUGS[name]
    assert is_sound(rules, tuple(budget.items()))
    monkeypatch.setattr(*seed)
    report = explore(2, rules, only=promise, **budget)
    print(f"\n{name}, {len(report.schedule)} steps: {report}")  # noqa: T201 - for pytest -s
    assert report.promise == promise, str(report)
