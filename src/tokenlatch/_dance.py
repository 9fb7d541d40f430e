"""The dance: one refresh by one worker under the lock, with nothing lost whatever dies.

Law: the order of the steps in ``Dance.__call__`` is what keeps a grant alive. The intent is saved
before the refresh token is sent, and the new token before anybody uses it.
"""

import random
import time
from contextlib import ExitStack, suppress
from typing import Final

from tokenlatch import _events as events
from tokenlatch._flight import Flight
from tokenlatch._policy import Fail, Refresh, Use, failed, is_in_doubt
from tokenlatch._process import is_alive, this_process
from tokenlatch._senders import Sender, default_sender
from tokenlatch._state import Intent, State, TokenSet, fingerprint
from tokenlatch._stores import Transaction
from tokenlatch._view import View
from tokenlatch._wire import Answer, Ask, utc
from tokenlatch.errors import (
    AuthError,
    LockTimeout,
    ProviderError,
    ReauthorizationRequired,
    StoreConflict,
    StoreError,
    TransportError,
)

FIRST_PAUSE: Final = 0.030
"""Seconds in the queue between the first two tries for the lock, which cost 0.1 ms each; grows to ``LONGEST_PAUSE``."""

LONGEST_PAUSE: Final = 0.050

GLANCE: Final = 0.005
"""Seconds after which a pause is cut short if a commit is announced: that costs no system call."""

RECONNECTS: Final = (0.1, 0.3)
"""Seconds before each further try when nothing was sent."""

RESAVES: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 14.0)
"""Seconds before each further try to save a token, the lock still held."""

UNSAVED_FOR: Final = 300.0
"""Seconds in which the unfinished refresh of a live process is left to it."""


class Dance:
    """Refreshes the grant of one view.

    Args:
        view: Grant, store, and what this process knows.
        sender: Carries token requests; None: one for the installed HTTP client.
    """

    def __init__(self, view: View, sender: Sender | None) -> None:
        self._view = view
        self.sender = sender
        self._intent: Intent | None = None
        self._sent = False

    def __call__(self, flight: Flight) -> TokenSet | None:
        """Refresh, or adopt another worker's refresh; None: look again.

        Raises:
            AuthError: The refresh failed.
        """
        begin, view = time.monotonic(), self._view
        with ExitStack() as stack:
            transaction = self._queue(flight, stack)
            if transaction is None:
                return None
            state = self.read(transaction)
            verdict = view.decide(flight.rejected, forced=flight.forced)
            if isinstance(verdict, Use):
                return verdict.tokens
            if isinstance(verdict, Fail):
                raise verdict.error
            self._respect(state.intent)
            intent = self._intend(state, transaction)
            try:
                tokens = self._exchange(state)
            except AuthError as error:
                self._note(error, state, intent, transaction)
                return None
            except BaseException:
                with suppress(StoreError):  # we live on, but what happened out there nobody knows
                    transaction.commit(state.having(intent=intent.having(doubtful=True)))
                raise
            fresh = state.succeeded_by(tokens, unproven=bool(flight.rejected and not flight.forced))
            saved = self._save(fresh, transaction, flight)
        if saved:
            took = time.monotonic() - begin
            events.tell(view.listener, events.Refreshed(fresh.identity, fresh.generation, took))
        return view.state.tokens

    def read(self, transaction: Transaction, *, heal: bool = False) -> State:
        """Take over the state under the lock; a token of ours that is not saved yet goes in first.

        Raises:
            StoreError: The state is damaged, or another grant's.
        """
        view = self._view
        try:
            state = transaction.state
        except StoreError:
            if not (heal or view.grant.repeatable):
                raise
            state = None  # the next commit keeps aside what is damaged
        unsaved = view.unsaved
        if unsaved and (state is None or unsaved.generation == state.generation + 1):
            transaction.commit(unsaved)
            state = unsaved
        view.unsaved = None
        view.adopt(state)
        return view.state

    def send(self, ask: Ask) -> Answer:
        """Send a token request; a sender for the installed client is made when one is needed.

        Raises:
            ConfigurationError: No client is installed.
            TransportError: It could not be sent, or no whole answer came in time.
        """
        self.sender = self.sender or default_sender()
        self._sent = True
        return self.sender(ask)

    def _queue(self, flight: Flight, stack: ExitStack) -> Transaction | None:
        """Wait for the lock; None as soon as it is not needed any more."""
        begin, pause, view = time.monotonic(), FIRST_PAUSE, self._view
        while True:
            try:
                return stack.enter_context(view.store.transaction(0))
            except LockTimeout as error:
                taken = error
            if not flight.patient:
                return None
            view.look()
            if not isinstance(view.decide(flight.rejected, forced=flight.forced), Refresh):
                return None
            taken.waited = time.monotonic() - begin
            if taken.waited >= view.policy.patience:
                raise taken
            self._pause(pause * (0.5 + random.random()))  # noqa: S311 - spreads the looks
            pause = min(pause * 1.5, LONGEST_PAUSE)

    def _pause(self, seconds: float) -> None:
        while seconds > 0 and not self._view.announced():
            time.sleep(min(seconds, GLANCE))
            seconds -= GLANCE

    def _respect(self, intent: Intent | None) -> None:
        """Leave an unfinished refresh to its worker while that lives; else note the interruption."""
        view = self._view
        if intent is None or view.grant.repeatable or intent == self._intent:
            return  # no intent, or one of ours that we could not take back: we hold no newer token
        age = view.clock() - intent.at
        if not intent.doubtful and 0 <= age < UNSAVED_FOR and is_alive(intent.holder):
            message = (
                f"The {intent.holder} began a refresh {age:.0f} s ago and holds a newer token that it "
                "could not save: mend its disk, or end it."
            )
            raise StoreError(message)
        events.tell(
            view.listener, events.InterruptionFound(view.grant.identity, intent.holder, intent.at)
        )

    def _intend(self, state: State, transaction: Transaction) -> Intent:
        """Leave word of what begins, and so prove that saving works, before anything is spent.

        Raises:
            StoreError: It does not work; nothing was sent.
        """
        before, spends = state.intent, fingerprint(self._view.grant.spend(state.tokens))
        since = (before.since or before.at) if before and before.fingerprint == spends else None
        self._intent = Intent(self._view.clock(), this_process(), spends, since=since)
        try:
            transaction.commit(state.having(intent=self._intent))
            transaction.reserve()
        except StoreError:
            with suppress(StoreError):
                transaction.commit(state)  # take it back
            raise
        return self._intent

    def _exchange(self, state: State) -> TokenSet:
        """Spend the refresh token: the only place from which a token request goes out.

        Raises:
            AuthError: No token came back.
        """
        view, pauses, begin = self._view, list(RECONNECTS), time.monotonic()
        # With nothing left to hand out, a second try loses nothing; else only a grace allows it.
        in_need = view.grant.repeatable or isinstance(view.decide(), Refresh)
        repeat_for = view.policy.patience / 2 if in_need else view.grant.grace
        lost: TransportError | None = None
        while True:
            now = view.clock()
            try:
                tokens = self._ask(state.tokens, now)
                return tokens if tokens.issued_at else tokens.having(issued_at=now)
            except TransportError as error:
                problem = error
            except AuthError as error:
                raise error from lost or error.__cause__
            if not problem.sent and pauses:
                time.sleep(pauses.pop(0) * (0.5 + view.chance))
            elif problem.sent and not lost and time.monotonic() - begin < repeat_for:
                lost = problem
            else:
                raise lost or problem

    def _ask(self, tokens: TokenSet | None, now: float) -> TokenSet:
        self._sent = False
        try:
            answer = self._view.grant.exchange(tokens, self.send, now)
        except AuthError:
            raise
        except Exception as problem:
            name = type(problem).__name__
            message = (
                f"{self._view.grant!r} raised {name}: mend it, or raise one of tokenlatch.errors."
            )
            error: AuthError = ProviderError(message)
            if not (self._sent or self._view.grant.repeatable):  # a vault that hiccups, say
                error = TransportError(message)
                error.sent = False
            raise error from problem
        if isinstance(answer, AuthError):
            raise answer
        return answer

    def _note(
        self, error: AuthError, state: State, intent: Intent, transaction: Transaction
    ) -> None:
        """Let all processes know of a failure.

        Raises:
            AuthError: The failure, unless the state moved on meanwhile: then it says nothing.
        """
        view, now, doubt = self._view, self._view.clock(), state.intent
        if is_in_doubt(error) and not view.grant.repeatable:
            doubt = intent.having(doubtful=True)
        if isinstance(error, ReauthorizationRequired) and doubt:
            error.message += (
                f" The likely cause: {doubt.holder} began a refresh at {utc(doubt.at)} "
                "and could not finish it."
            )
            doubt = None
        failure = failed(state, view.terms(), error, now)
        try:
            transaction.commit(state.having(intent=doubt, failure=failure))
            view.adopt(transaction.state)
        except StoreConflict:
            # The refusal was about a refresh token that is no longer the current one: look again.
            view.adopt(view.store.load())
            return
        except StoreError as worse:
            error.add_note(f"The other workers could not be told: {worse}")
        events.tell(view.listener, events.RefreshFailed(state.identity, error, failure.retry_at))
        raise error

    def _save(self, fresh: State, transaction: Transaction, flight: Flight) -> bool:
        """Save before anybody uses it; where that fails, serve it from memory and go on trying.

        The intent stays in the store meanwhile: others must not spend what is spent.
        """
        view = self._view
        for pause in (0.0, *RESAVES):
            if pause:
                time.sleep(pause)
            try:
                transaction.commit(fresh)
            except StoreConflict:
                view.unsaved = None
                view.adopt(view.store.load())
                return False
            except Exception as problem:  # noqa: BLE001 - a store of the user's own may raise anything
                if not view.unsaved:
                    self._keep(fresh, transaction, problem)
                    flight.land(fresh.tokens)
            else:
                view.unsaved = None
                view.take(fresh)
                return True
        return False

    def _keep(self, fresh: State, transaction: Transaction, problem: Exception) -> None:
        """Keep a token that the store does not take: in memory, and where its transaction spills."""
        view = self._view
        error = problem
        if not isinstance(error, StoreError):
            error = StoreError(f"{view.store!r} raised {type(problem).__name__}: mend it.")
        spilled = getattr(transaction, "spill", _nowhere)(fresh)
        view.unsaved = fresh
        view.take(fresh)
        events.tell(view.listener, events.SaveFailed(fresh.identity, error, spilled))


def _nowhere(_: State) -> None:
    return None
