"""One worker: a real ``TokenSource`` and all that is behind it, connected to the explorer's world.

Real are the source, the flight, the view, the dance, the policy, the grant and the reading of answers. Replaced are the
store, the sender, clock and chance, the word on who lives, and the thread of a flight: its work runs inline.

Law: nothing here knows what is right or wrong.
"""

from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import NamedTuple
from unittest.mock import patch

from tests.model.book import BOOK
from tests.model.desk import Aborted, Desk, Store
from tests.model.replay import Replay, Worker
from tests.model.rules import AHEAD, EARLY, LIFE, Rules
from tests.model.world import Step
from tokenlatch import RefreshPolicy, RefreshToken, TokenSource, _dance, _flight
from tokenlatch._state import Holder, State, TokenSet
from tokenlatch.providers import Provider

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
        offered: The numbers of the tokens that it gives to its caller, or would give to another thread.
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


class Caller:
    """A real source, and a caller that makes one call after another, for ever."""

    CONSTANT = frozenset(
        [
            "grant",
            "store",
            "policy",
            "listener",
            "clock",
            "announced",
            "chance",
            "sender",
            "_view",
            "_lock",
            "_desk",
        ]
    )
    """Attributes that never change; whatever else there is, is memory."""

    def __init__(self, replay: Replay, number: int, rules: Rules) -> None:
        Desk.current = self._desk = desk = Desk(replay, number, rules)
        self._store = Store(desk)
        self._source = TokenSource(
            _grant(rules),
            store=self._store,
            policy=RefreshPolicy(early=EARLY, ahead=AHEAD, jitter=0),
            sender=desk.send,
            on_event=desk.hear,
            clock=desk.clock,
        )
        self._source._view.chance = 0.5
        self._calls, self._kind, self._result = 0, "", None
        self._last_flight: _flight.Flight | None = None
        replay.look, replay.memory = self.look, self.memory

    def run(self) -> None:
        """Make one call after another."""
        while True:
            self._kind = self._desk.do("call", self._calls)
            self._last_flight = self._source._flight
            try:
                self._result = CALLS[self._kind](self._source, self._desk)
            except (Exception, Aborted) as error:  # noqa: BLE001 - an invariant says which ones may be
                self._result = error
            self._calls += 1

    def look(self, step: Step) -> Shown:
        """Return what invariants see."""
        view, alarms = self._source._view, self._desk.alarms
        given = self._result if step.act == "call" else self._landed()
        offered = [given, view.tokens if view.state.tokens else None]
        return Shown(
            BOOK.number(view.state),
            self._store.seen,
            frozenset(int(each.access_token[1:]) for each in offered if isinstance(each, TokenSet)),
            view.unsaved is not None,
            (self._calls, self._result),
            (len(alarms), alarms[-1] if alarms else None),
        )

    def memory(self, step: Step) -> Hashable:
        """Return all that the past has left behind, between two calls and in the queue; else None.

        Between two calls no code is running. In the queue it is, but its locals there are only the
        flight, whose attributes are here, and pauses, which have no meaning in this world.
        """
        if step.act != "call" and step.base != "again":
            return None
        flight = self._source._flight
        mine = (flight.rejected, flight.forced, flight.patient) if step.act != "call" else ()
        attributes = (
            (name, value)
            for owner in (self._source._view, self._source._dance, self._store)
            for name, value in vars(owner).items()
            if name not in self.CONSTANT
        )
        desk = self._desk
        return (*attributes, mine, self._kind, desk.waited, repr((self._result, desk.alarms)))

    def _landed(self) -> object:
        """Return what the waiters of the call under way have got already, or None."""
        flight = self._source._flight
        if flight is self._last_flight or not flight.landed or flight._future.exception():
            return None
        return flight._future.result()


def make_worker(number: int, rules: Rules) -> Worker:
    """Return a worker of its own process."""
    return Worker(lambda replay: Caller(replay, number, rules).run())


def first_state(rules: Rules) -> int:
    """Return the number of the state in the store at first."""
    state = State(_grant(rules).identity, generation=1, tokens=_tokens(0, 0.0))
    return 0 if rules.first else BOOK.number(state)


def _grant(rules: Rules) -> RefreshToken:
    provider = Provider("https://idp.example/token", refresh_retry_grace=rules.grace)
    return RefreshToken(provider, client_id="app", refresh_token="R0" if rules.first else None)


def _tokens(number: int, now: float) -> TokenSet:
    return TokenSet(f"A{number}", refresh_token=f"R{number}", issued_at=now, expires_at=now + LIFE)


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
