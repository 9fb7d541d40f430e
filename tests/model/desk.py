"""Where one worker's real code meets the world: its store, its sender, its clock.

Law: each method is one step, or two; what a step does is the world's business.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.model.book import BOOK
from tests.model.replay import Replay
from tests.model.rules import LIFE, Rules
from tests.model.world import Step
from tokenlatch import _events as events
from tokenlatch._state import State
from tokenlatch._stores import Transaction
from tokenlatch._wire import Answer, Ask
from tokenlatch.errors import LockTimeout, StoreConflict, StoreError, TransportError

LONG = 1000.0
"""Seconds that a worker may suddenly have waited: more than its patience."""


class Aborted(BaseException):
    """What ends a thread in the middle of a request, such as Ctrl-C where the flight runs inline."""


class Desk:
    """Where a worker's code meets the world: sender, clock, and the word on who lives."""

    current: "Desk"
    """The desk of the worker whose code is running."""

    def __init__(self, replay: Replay, number: int, rules: Rules) -> None:
        self._replay, self.number, self.rules = replay, number, rules
        self.now, self.waited = float(rules.begin), 0.0
        self.alarms: list[Exception] = []

    def do(self, act: str, what: object = None, base: object = None) -> object:
        """Take a step; return the world's answer."""
        self.now, answer = self._replay.do(Step(self.number, act, what, base, self.now))
        return answer

    def clock(self) -> float:
        """Return the time, as time.time does."""
        return self.now

    def hear(self, event: events.Event) -> None:
        """Remember what refreshes failed with."""
        if isinstance(event, events.RefreshFailed):
            self.alarms.append(event.error)

    def send(self, ask: Ask) -> Answer:
        """Carry a token request, as a sender does."""
        outcome = self.do("send", int(ask.form["refresh_token"][1:]))
        if outcome == "sent":
            outcome = self.do("answer")
        if outcome in ("lost", "unsent"):
            error = TransportError("The network failed.")
            error.sent = outcome == "lost"
            raise error
        if outcome == "aborted":
            raise Aborted
        if outcome == "sick":
            return Answer(503)
        if outcome == 0:
            return Answer(400, {}, b'{"error": "invalid_grant"}')
        fields = {"access_token": f"A{outcome}", "refresh_token": f"R{outcome}", "expires_in": LIFE}
        return Answer(200, {}, json.dumps(fields).encode())


class Store:
    """A ``TokenStore`` over the world."""

    shared = True

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.seen = -1  # the number of the state that was loaded last; nothing yet
        self._found: int | None = None
        self._turn = "first"

    def changed(self) -> bool:
        """Look. A load right after it is the same step: a commit in between would be as if both came later."""
        self._found = self._desk.do("look", self.seen)
        return self._found is not None

    def load(self) -> State | None:
        """Return what the look before has found; without one, look first."""
        if self._found is None:
            self.changed()
        self.seen = self.seen if self._found is None else self._found
        self._found = None
        return BOOK.read(self.seen)

    @contextmanager
    def transaction(self, timeout: float) -> Iterator[Transaction]:
        """Hold the lock."""
        outcome = self._desk.do("lock", self.seen, "wait" if timeout else self._turn)
        if outcome != "locked":
            self._turn = "again"
            self._desk.waited += LONG if outcome == "busy for long" else 0
            raise LockTimeout("Another worker is refreshing.")
        self._turn = "first"
        try:
            yield Hold(self._desk)
        finally:
            self._desk.do("unlock")


class Hold:
    """A ``Transaction`` over the world."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.base: int | None = None

    @property
    def state(self) -> State | None:
        """What was read under the lock."""
        if self.base is None:
            self.base = self._desk.do("load")
        return BOOK.read(self.base)

    def reserve(self) -> None:
        """Claim the space of the next commit."""
        if self._desk.do("reserve") == "failed":
            raise StoreError("The disk takes no writes.")

    def commit(self, state: State) -> None:
        """Compare and write, then move."""
        number = BOOK.number(state)
        outcome = self._desk.do("write", number, self.base)
        if outcome == "written":
            outcome = self._desk.do("move", number, self.base)
        if outcome == "conflict":
            raise StoreConflict("The state changed although it was locked.")
        if outcome == "failed":
            raise StoreError("The disk takes no writes.")
        self.base = number

    def spill(self, state: State) -> str | None:
        """Put a state elsewhere."""
        return self._desk.do("spill", BOOK.number(state))
