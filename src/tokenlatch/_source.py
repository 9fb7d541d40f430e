"""The token source: hands out the shared token, and makes one refresh of many wishes.

Law: what is safe when is decided in ``_policy`` and done in ``_dance``; here callers meet them.
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from tokenlatch import _events as events
from tokenlatch._dance import Dance
from tokenlatch._flight import Flight
from tokenlatch._frozen import Frozen
from tokenlatch._grants import Grant
from tokenlatch._policy import Fail, Refresh, RefreshPolicy, Use, UseAndRefresh
from tokenlatch._process import in_child
from tokenlatch._senders import Sender
from tokenlatch._state import Identity, TokenSet
from tokenlatch._stores import TokenStore
from tokenlatch._stores.memory import MemoryStore
from tokenlatch._view import View
from tokenlatch._wire import utc
from tokenlatch.errors import AuthError, ConfigurationError, StoreError
from tokenlatch.providers import Provider

if TYPE_CHECKING:
    from tokenlatch._authorize import PendingLogin, Redirect
    from tokenlatch._device import DevicePrompt


class Status(Frozen):
    """What a person may know of a grant; no secrets. Instants are seconds since the epoch."""

    identity: Identity
    generation: int
    has_token: bool
    has_refresh_token: bool
    expires_at: float | None
    refresh_expires_at: float | None
    scope: str | None
    interrupted: str | None
    failure: str | None
    retry_at: float | None


class TokenSource:
    """Hands out one grant's access token to every thread, task and process that shares its store.

    Example:
        >>> grant = ClientCredentials(
        ...     "https://idp.example/token", client_id="app", client_secret="..."
        ... )
        >>> TokenSource(grant, store=FileStore("/var/lib/acme/token.json"))
        TokenSource(ClientCredentials(...), FileStore('/var/lib/acme/token.json'))

    Args:
        grant: How to get a token.
        store: Where its state lives, an object for each source; default: a ``MemoryStore``, for one
            process.
        policy: When to refresh.
        sender: Carries token requests; default: one for the installed HTTP client.
        on_event: Called with each event, from any thread; default: logs it.
        clock: Returns seconds since the epoch.
    """

    def __init__(
        self,
        grant: Grant,
        *,
        store: TokenStore | None = None,
        policy: RefreshPolicy | None = None,
        sender: Sender | None = None,
        on_event: events.Listener | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        store = store if store is not None else MemoryStore()
        policy = _advised(policy or RefreshPolicy(), grant)
        self._begin(View(grant, store, policy, on_event or events.log, clock), sender)

    def _begin(self, view: View, sender: Sender | None) -> None:
        self._view = view
        self._dance = Dance(view, sender)
        self._home = os.getpid()
        self._gate = threading.Lock()
        self._flight: Flight | None = None
        in_child(self, TokenSource._reset)

    def _reset(self) -> None:
        """Drop, in a forked child, the flight that only the parent has."""
        self._gate = threading.Lock()
        self._flight = None
        self._view.reset()

    def __repr__(self) -> str:
        return f"TokenSource({self._view.grant!r}, {self._view.store!r})"

    # -- handing out ---------------------------------------------------------------------------

    def token(self, rejected: str | None = None) -> TokenSet:
        """Return a token set to use now, refreshed first if need be.

        Args:
            rejected: The access token that a server just refused. The answer may be the same one:
                when it is so fresh that refreshing again would not help.

        Raises:
            ReauthorizationRequired: A person must log in again.
            ConfigurationError: Code or settings are wrong.
            ProviderError: The provider failed, and no token is left that is valid.
            TransportError: The same for the network.
            StoreError: The state cannot be read or saved.
        """
        view = self._view
        if rejected is None and view.since <= view.clock() < view.until and not view.announced():
            return view.tokens
        while True:
            flight = self._board(rejected)
            if isinstance(flight, TokenSet):
                return flight
            tokens = flight.wait()
            # A refresh for this very refusal is the last word, even if it brought the same token.
            if tokens and (tokens.access_token != rejected or flight.rejected == rejected):
                return tokens

    async def atoken(self, rejected: str | None = None) -> TokenSet:
        """Return the same as ``token``, waiting as a task of asyncio or trio.

        Raises:
            AuthError: As for ``token``.
        """
        view = self._view
        if rejected is None and view.since <= view.clock() < view.until and not view.announced():
            return view.tokens
        while True:
            flight = self._board(rejected)
            if isinstance(flight, TokenSet):
                return flight
            tokens = await flight.arrive()
            # A refresh for this very refusal is the last word, even if it brought the same token.
            if tokens and (tokens.access_token != rejected or flight.rejected == rejected):
                return tokens

    def refresh(self) -> TokenSet:
        """Refresh although the token is good, or adopt another worker's refresh; return the result.

        Raises:
            AuthError: As for ``token``.
        """
        self._refuse_reentry()
        self._view.look()
        current = self._view.state.tokens
        while True:
            flight = self._launch(current.access_token if current else None, forced=True)
            tokens = flight.wait()
            if tokens and (flight.forced or tokens != current):
                return tokens

    @property
    def grant(self) -> Grant:
        """The grant; its provider says where requests carry the token."""
        return self._view.grant

    @property
    def clock(self) -> Callable[[], float]:
        """The clock: returns seconds since the epoch."""
        return self._view.clock

    @property
    def unproven(self) -> bool:
        """Whether it matters to ``accepted`` that an API took the token."""
        return self._view.unproven

    def accepted(self, access_token: str) -> None:
        """Note that an API took this token, so that a later refusal of it is worth a refresh."""
        view = self._view
        if view.unproven and view.tokens.access_token == access_token:
            view.prove(access_token)
            with suppress(RuntimeError):  # no thread to be had: only a hint is lost
                prove = threading.Thread(target=self._prove, args=(access_token,), daemon=True)
                prove.start()

    # -- changing by hand ----------------------------------------------------------------------

    def seed(self, tokens: TokenSet) -> None:
        """Put in tokens that came from elsewhere, such as a new login; clears remembered failures.

        Raises:
            StoreError: They cannot be saved, or the store holds another grant's state.
        """
        self._refuse_reentry()
        if tokens.issued_at is None:
            tokens = tokens.having(issued_at=self._view.clock())
        view = self._view
        with view.store.transaction(view.policy.patience) as transaction:
            fresh = self._dance.read(transaction, heal=True).succeeded_by(tokens)
            transaction.commit(fresh)
            view.take(fresh)

    def redeem(self, redirect: "Redirect", pending: "PendingLogin") -> TokenSet:
        """Exchange the code of a browser login for tokens, and put them in.

        It waits for the provider: in a loop, give it a thread (``asyncio.to_thread``).

        Args:
            redirect: The URL that the browser came back to, as it came, or its decoded parameters.
            pending: What ``AuthorizationCode.begin`` returned for this login.

        Raises:
            ReauthorizationRequired: The person said no, or the code is another login's, spent or late.
            AuthError: As for ``token``.
        """
        from tokenlatch import (
            _authorize,
            _errands,
        )  # most programs refresh only: so does their import

        self._refuse_reentry()
        grant = self._view.grant
        if not isinstance(grant, _authorize.AuthorizationCode):
            raise ConfigurationError(f"{grant!r} has no codes: use an AuthorizationCode.")
        return _errands.log_in(
            self._view, self._dance, lambda send, now: grant.redeem(redirect, pending, send, now)
        )

    def log_in(self, show: "Callable[[DevicePrompt], object]") -> TokenSet:
        """Let a person log in on another device (RFC 8628), wait for it, and put the tokens in.

        It waits for the person: in a loop, give it a thread (``asyncio.to_thread``).

        Args:
            show: Called once with the code to type and the page to open.

        Raises:
            ReauthorizationRequired: The person said no, or was too late.
            AuthError: As for ``token``.
        """
        from tokenlatch import _device, _errands

        self._refuse_reentry()
        grant = self._view.grant
        if not isinstance(grant, _device.DeviceCode):
            raise ConfigurationError(f"{grant!r} has no device login: use a DeviceCode.")
        tokens = _errands.log_in_elsewhere(self._view, self._dance, grant, show)
        self.seed(tokens)
        return tokens

    def revoke(self) -> None:
        """End the grant at the provider, and forget its tokens (RFC 7009).

        Raises:
            ConfigurationError: The provider has no revocation endpoint.
            AuthError: It could not be done; the tokens are kept.
        """
        from tokenlatch import _errands

        self._refuse_reentry()
        _errands.revoke(self._view, self._dance)

    def introspect(self) -> dict[str, object]:
        """Return what the provider says of the current access token (RFC 7662 section 2.2).

        Raises:
            ConfigurationError: The provider has no introspection endpoint.
            AuthError: It did not answer, or there is no token.
        """
        from tokenlatch import _errands

        return _errands.introspect(self._view, self._dance, self.token().access_token)

    def status(self) -> Status:
        """Return what is known of the grant, without any secret.

        Raises:
            StoreError: The state cannot be read.
        """
        self._view.look()
        state, tokens = self._view.state, self._view.state.tokens
        intent, failure = state.intent, state.failure
        return Status(
            identity=state.identity,
            generation=state.generation,
            has_token=tokens is not None,
            has_refresh_token=self._view.grant.spend(tokens) is not None,
            expires_at=tokens.expires_at if tokens else None,
            refresh_expires_at=tokens.refresh_expires_at if tokens else None,
            scope=tokens.scope if tokens else None,
            interrupted=f"{intent.holder}, {utc(intent.at)}" if intent else None,
            failure=failure.message if failure else None,
            retry_at=failure.retry_at if failure else None,
        )

    def close(self) -> None:
        """Wait for a refresh under way and give handles back; the source can be used again."""
        flight = self._flight
        if flight and not flight.is_mine:
            with suppress(AuthError):
                flight.wait()
        for part in (self._view.store, self._dance.sender):
            getattr(part, "close", lambda: None)()
        self._view.disarm()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- copies --------------------------------------------------------------------------------

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _: object) -> Self:
        """Return the same source: a copy with a refresh token of its own would spend it twice."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Keep path and settings for another process; never tokens.

        Raises:
            ConfigurationError: The other process could not share the grant.
        """
        view = self._view
        if not view.grant.repeatable:
            view.look()
            if not view.shared:
                message = f"{self!r} cannot be pickled: a copy would spend its refresh token too. Use a FileStore."
                raise ConfigurationError(message)
            if view.state.tokens is None:
                message = f"{self!r} cannot be pickled before its first token is stored: call token() first."
                raise ConfigurationError(message)
        settings = {
            name: getattr(view, name) for name in ("grant", "store", "policy", "listener", "clock")
        }
        return {"view": settings, "sender": self._dance.sender}

    def __setstate__(self, settings: dict[str, Any]) -> None:
        self._begin(View(**settings["view"]), settings["sender"])

    # -- deciding ------------------------------------------------------------------------------

    def _board(self, rejected: str | None) -> TokenSet | Flight:
        """Return a token to use now, or the flight to wait for."""
        self._refuse_reentry()
        view = self._view
        try:
            view.look()
        except StoreError:
            if view.state.tokens is None and not view.grant.repeatable:
                raise
        verdict = view.decide(rejected)
        match verdict:
            case Use(tokens):
                if view.unsaved:
                    self._launch(None, patient=False)
                view.rest()
                return tokens
            case UseAndRefresh(tokens):
                self._launch(None, patient=False)
                view.rest()
                return tokens
            case Fail(error):
                raise error
            case Refresh():
                return self._launch(rejected)

    def _launch(
        self, rejected: str | None, *, forced: bool = False, patient: bool = True
    ) -> Flight:
        """Join the flight under way, or begin one."""
        self._refuse_forked_memory()
        mine = None
        try:
            with self._gate:
                flight = self._flight
                if flight and not flight.landed:
                    flight.patient = flight.patient or patient
                    return flight
                mine = self._flight = Flight(rejected, forced=forced, patient=patient)
            mine.start(self._dance)
        except BaseException:  # Ctrl-C or a time limit: nobody may wait for what never began
            if mine and not mine.begun:
                mine.land(None)
            raise
        return mine

    def _prove(self, access_token: str) -> None:
        # One try: all that were refused come here at once, and one is enough. If the lock is another worker's for
        # another reason, a hint is lost that counts for seconds.
        with suppress(AuthError), self._view.store.transaction(0) as transaction:
            state = transaction.state
            if (
                state
                and state.unproven
                and state.tokens
                and state.tokens.access_token == access_token
            ):
                transaction.commit(state.having(unproven=False))

    def _refuse_reentry(self) -> None:
        if self._flight and self._flight.is_mine:
            message = (
                "A token was asked for from inside its own refresh: fetch without this source."
            )
            raise ConfigurationError(message)

    def _refuse_forked_memory(self) -> None:
        view = self._view
        if self._home != os.getpid() and not view.shared and not view.grant.repeatable:
            message = (
                f"{self!r} was made before a fork: "
                "parent and child would spend the same refresh token. Use a FileStore."
            )
            raise ConfigurationError(message)


def _advised(policy: RefreshPolicy, grant: Grant) -> RefreshPolicy:
    """Return the policy with the provider's advice where the user gave none."""
    provider = getattr(grant, "provider", None)
    ahead = provider.refresh_ahead if isinstance(provider, Provider) else None
    return policy if policy.ahead is not None or ahead is None else policy.having(ahead=ahead)
