"""What this process knows of the shared state, and until when it may hand the token out unasked.

Law: the store is the truth; a view only follows it, and is never older than what it served.
"""

import random
import threading
from collections.abc import Callable

from tokenlatch import _events as events
from tokenlatch._grants import Grant
from tokenlatch._policy import RefreshPolicy, Terms, Verdict, decide, expired_at, refresh_at
from tokenlatch._state import State, TokenSet
from tokenlatch._stores import TokenStore
from tokenlatch.errors import StoreError


class View:
    """One process's view of one grant's state.

    Attributes:
        state: The newest state known.
        tokens: Its token set; may be handed out from ``since`` until ``until`` (seconds since the
            epoch) without a look at the store, unless ``announced`` says that it changed.
        unproven: Whether no API is known to have accepted the token set that a refusal caused.
        unsaved: A newer state of ours that the store did not take yet.
    """

    tokens: TokenSet

    def __init__(
        self,
        grant: Grant,
        store: TokenStore,
        policy: RefreshPolicy,
        listener: events.Listener,
        clock: Callable[[], float],
    ) -> None:
        self.grant, self.store, self.policy = grant, store, policy
        self.listener, self.clock = listener, clock
        self._interval: float = getattr(getattr(grant, "provider", None), "refresh_interval", 0.0)
        self.announced: Callable[[], bool] = getattr(store, "announced", _never)
        self.state = State(grant.identity)
        self.since, self.until = float("inf"), float("-inf")
        self.unproven = False
        self._proven: str | None = None
        self._unread = True  # the store may have been read by another source
        self.reset()

    def reset(self) -> None:
        """Forget what belongs to one process alone: to be called in a forked child."""
        self._lock = threading.RLock()
        self.unsaved: State | None = None
        self.chance = random.random()  # noqa: S311 - spreads load, guards nothing

    @property
    def shared(self) -> bool:
        """Whether other processes see the store."""
        return bool(getattr(self.store, "shared", True))

    def terms(self) -> Terms:
        """Return what decisions about this grant need to know."""
        return Terms(
            policy=self.policy,
            spend=self.grant.spend(self.state.tokens),
            repeatable=self.grant.repeatable,
            grace=self.grant.grace,
            chance=self.chance,
            interval=self._interval,
        )

    def decide(self, rejected: str | None = None, *, forced: bool = False) -> Verdict:
        """Decide for a caller; ``forced``: even a token that a refusal has just brought may go."""
        unproven = self.unproven and not forced
        state = self.state.having(unproven=unproven) if self.state.unproven else self.state
        return decide(state, self.terms(), self.clock(), rejected)

    def look(self) -> None:
        """Take over what the store holds, if it changed.

        Raises:
            StoreError: It cannot be read, or belongs to another grant.
        """
        with self._lock:  # or a slow reader would take an older state over a newer one
            if self._unread or self.store.changed():
                self._unread = True  # until it is understood
                self.adopt(self.store.load())
                self._unread = False
            else:
                self._arm()

    def adopt(self, state: State | None) -> None:
        """Take over a state read from the store.

        Raises:
            StoreError: It belongs to another grant.
        """
        state = state or State(self.grant.identity)
        if state.identity != self.grant.identity:
            message = (
                f"{self.store!r} holds another grant's state ({state.identity}), not this one's "
                f"({self.grant.identity}): use another path for it."
            )
            raise StoreError(message)
        if self.unsaved and state.generation < self.unsaved.generation:
            return  # what could not be saved yet is newer than the store
        known = self.state.generation
        self.take(state)
        if known and state.generation > known:
            events.tell(self.listener, events.Adopted(state.identity, state.generation))

    def take(self, state: State) -> None:
        """Take over a state that is known to be ours."""
        with self._lock:
            self.state = state
            token = state.tokens and state.tokens.access_token
            self.unproven = state.unproven and token != self._proven
            self._arm()

    def prove(self, access_token: str) -> None:
        """Note that an API took this token; the store may learn it later."""
        with self._lock:
            self._proven, self.unproven = access_token, False

    def rest(self) -> None:
        """Hand the token out unasked for a while although somebody should refresh: somebody does."""
        now = self.clock()
        if self.until <= now:
            end = expired_at(self.tokens, self.terms(), now)
            self.until = min(now + self.policy.watch / 4, end)

    def disarm(self) -> None:
        """Look at the store before the next token is handed out."""
        self.until = float("-inf")

    def _arm(self) -> None:
        tokens, now = self.state.tokens, self.clock()
        if tokens is None:
            self.disarm()
            return
        self.tokens = tokens
        self.since = now
        self.until = min(refresh_at(tokens, self.terms(), now), now + self.policy.watch)


def _never() -> bool:
    return False
