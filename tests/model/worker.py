"""One worker: a real ``TokenSource`` and all that is behind it, connected to the explorer's world.

Real are the source, the flight, the view, the dance, the policy, the grant and the reading of answers. Replaced are the
store, the sender, clock and chance, the word on who lives, and the thread of a flight: its work runs inline.

Law: nothing here knows what is right or wrong.
"""

import json
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import NamedTuple
from unittest.mock import patch

from tests.model.book import BOOK
from tests.model.replay import Replay, Worker
from tests.model.world import AHEAD, EARLY, LIFE, Rules, Step
from tokenlatch import RefreshPolicy, RefreshToken, TokenSource, _dance, _flight
from tokenlatch import _events as events
from tokenlatch._state import Holder, State, TokenSet
from tokenlatch._stores import Transaction
from tokenlatch._wire import Answer, Ask
from tokenlatch.errors import AuthError, LockTimeout, StoreConflict, StoreError, TransportError
from tokenlatch.providers import Provider

LONG = 1000.0
"""Seconds that a worker may suddenly have waited: more than its patience."""


class Desk:
    """Where a worker's code meets the world: sender, clock, and the word on who lives."""

    current: "Desk"
    """The desk of the worker whose code is running."""

    def __init__(self, replay: Replay, number: int, rules: Rules) -> None:
        self._replay, self.number, self.rules = replay, number, rules
        self.now, self.waited = float(rules.begin), 0.0
        self.alarms: list[AuthError] = []

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


# -------------------------------------------------------------------------------------------------------- the real code

CALLS = {
    "token": lambda source, _: source.token(),
    "refused": lambda source, _: source.token(rejected="A0"),
    "refresh": lambda source, _: source.refresh(),
    "accepted": lambda source, _: source._prove(source._view.tokens.access_token),
    "login": lambda source, desk: source.seed(_tokens(desk.do("login"), desk.now)),
}


class Shown(NamedTuple):
    """What invariants see of a worker.

    Attributes:
        state: The number of the state that its view holds.
        seen: The number of the state that its store has read last.
        offered: The numbers of the tokens that it gave to its caller, or would give to another thread now.
        unsaved: It knows that its newest token is not saved.
        results: How many calls ended, and with what the last one.
        alarms: How many refreshes failed, and with what the last one.
    """

    state: int
    seen: int
    offered: frozenset[int]
    unsaved: bool
    results: tuple[int, object]
    alarms: tuple[int, object]


def make_worker(number: int, rules: Rules) -> Worker:
    """Return a worker that makes one call after another, for ever."""

    def play(replay: Replay) -> None:
        Desk.current = desk = Desk(replay, number, rules)
        store, policy = Store(desk), RefreshPolicy(early=EARLY, ahead=AHEAD, jitter=0)
        source = TokenSource(
            _grant(rules),
            store=store,
            policy=policy,
            sender=desk.send,
            on_event=desk.hear,
            clock=desk.clock,
        )
        source._view.chance = 0.5
        calls, kind, result = 0, "", None
        replay.look = lambda step: _shown(step, source, store, (calls, result), desk.alarms)
        replay.memory = lambda step: (
            _memory(source, store, kind, repr(result), repr(desk.alarms), desk.waited)
            if step.act == "call" or step.base == "again"
            else None
        )
        while True:
            kind = desk.do("call", calls)
            try:
                result = CALLS[kind](source, desk)
            except Exception as error:  # noqa: BLE001 - an invariant says which ones may be
                result = error
            calls += 1

    return Worker(play)


def first_state(rules: Rules) -> int:
    """Return the number of the state in the store at first."""
    state = State(_grant(rules).identity, generation=1, tokens=_tokens(0, 0.0))
    return 0 if rules.first else BOOK.number(state)


def _grant(rules: Rules) -> RefreshToken:
    provider = Provider("https://idp.example/token", refresh_retry_grace=rules.grace)
    return RefreshToken(provider, client_id="app", refresh_token="R0" if rules.first else None)


def _tokens(number: int, now: float) -> TokenSet:
    return TokenSet(f"A{number}", refresh_token=f"R{number}", issued_at=now, expires_at=now + LIFE)


def _shown(
    step: Step,
    source: TokenSource,
    store: Store,
    results: tuple[int, object],
    alarms: list[AuthError],
) -> Shown:
    view, flight = source._view, source._flight
    offered = [results[1], view.tokens if view.state.tokens else None]
    under_way = step.act != "call"  # else whoever waited for the flight has got its result
    if flight and under_way and flight.landed and not flight._future.exception():
        offered.append(flight._future.result())
    return Shown(
        BOOK.number(None if view.state == State(view.grant.identity) else view.state),
        store.seen,
        frozenset(int(each.access_token[1:]) for each in offered if isinstance(each, TokenSet)),
        view.unsaved is not None,
        results,
        (len(alarms), alarms[-1] if alarms else None),
    )


CONSTANT = {
    *("grant", "store", "policy", "listener", "clock", "announced", "chance", "sender"),
    *("_view", "_lock", "_desk"),
}
"""Attributes that never change; whatever else there is, is memory."""


def _memory(source: TokenSource, store: Store, *others: Hashable) -> Hashable:
    """Return all that the past of a worker has left behind, between two calls and in the queue.

    Between two calls none of its code is running. In the queue it is, but its locals there are only the flight, whose
    attributes are here, and pauses, which have no meaning in this world.
    """
    memory = [
        (name, value)
        for owner in (source._view, source._dance, store)
        for name, value in vars(owner).items()
        if name not in CONSTANT
    ]
    flight = source._flight
    if flight and not flight.landed:
        memory += [(name, getattr(flight, name)) for name in ("rejected", "forced", "patient")]
    return (*memory, *others)


@contextmanager
def stage() -> Iterator[None]:
    """Replace what the real code takes from modules, for all workers."""
    with ExitStack() as stack:
        for target, name, new in (
            (
                _dance,
                "time",
                SimpleNamespace(monotonic=lambda: Desk.current.waited, sleep=lambda _: None),
            ),
            (_dance, "random", SimpleNamespace(random=lambda: 0.5)),
            (_dance, "RESAVES", (0.1,)),  # one more try instead of nine: the loop keeps no count
            (_dance, "this_process", lambda: Holder(Desk.current.number, "here", "boot")),
            (_dance, "is_alive", lambda holder: Desk.current.do("alive", holder.pid)),
            (_flight.Flight, "start", _flight.Flight._run),
        ):
            stack.enter_context(patch.object(target, name, new))
        yield
