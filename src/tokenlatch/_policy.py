"""When to use, when to refresh, when to give up: one decision over a state and an instant.

Law: pure; the clock's reading comes in as ``now``, and chance as a number in 0..1.
"""

from typing import Final, TypeAlias

from tokenlatch import errors
from tokenlatch._frozen import Frozen
from tokenlatch._state import Failure, Intent, State, TokenSet, fingerprint
from tokenlatch.errors import AuthError, ConfigurationError, ReauthorizationRequired

UNPROVEN_FOR: Final = 30.0
"""Seconds in which a token that a refusal caused, and nobody accepted, is not refreshed again."""

LONGEST_COOLDOWN: Final = 300.0
"""Seconds after which a provider is asked again, whatever its Retry-After said."""

CLOCK_DOUBT: Final = 5.0
"""Seconds that two machines' clocks may differ before a token counts as issued in the future."""


class RefreshPolicy(Frozen, kw_only=True):
    """How early to refresh, and how patiently to fail.

    However long the margins, they never take more than half of a token's life.

    Example:
        >>> RefreshPolicy(early=5, ahead=120)
        RefreshPolicy(early=5, ahead=120, jitter=None, watch=1.0, patience=60.0, cooldown=1.0)

    Attributes:
        early: Hard margin: seconds before expiry at which a token counts as expired.
            Default: 10 s, at most 10 % of its life.
        ahead: Soft window: seconds before expiry in which one worker refreshes in the background
            while all go on. Default: 300 s, at most 20 % of its life.
        jitter: Each process starts its window up to this many seconds later, so that they do not
            come at once. Default: a quarter of the window.
        watch: Seconds between looks at the store where noticing a change costs a system call.
        patience: Seconds to wait for another worker's refresh before ``LockTimeout``.
        cooldown: Seconds without a new attempt after a failed refresh; doubles up to 60 s.

    Raises:
        ConfigurationError: A number is negative or none.
    """

    early: float | None = None
    ahead: float | None = None
    jitter: float | None = None
    watch: float = 1.0
    patience: float = 60.0
    cooldown: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name in ("early", "ahead", "jitter", "watch", "patience", "cooldown"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise ConfigurationError(
                    f"RefreshPolicy({name}={value!r}): give seconds from 0 up."
                )


class Terms(Frozen):
    """What a decision needs to know besides the state.

    Attributes:
        policy: The user's margins.
        spend: The refresh token that a refresh would send now, or None.
        repeatable: A new token can be had any time, without a refresh token.
        grace: Seconds in which the provider answers a spent refresh token again.
        chance: This process's draw in 0..1, for jitter.
        interval: Seconds that the provider wants between two refreshes.
    """

    policy: RefreshPolicy
    spend: str | None = None
    repeatable: bool = False
    grace: float = 0.0
    chance: float = 0.0
    interval: float = 0.0


class Use(Frozen):
    """Hand this token out."""

    tokens: TokenSet


class UseAndRefresh(Frozen):
    """Hand this token out and refresh in the background."""

    tokens: TokenSet


class Refresh(Frozen):
    """Nothing to hand out before a refresh."""


class Fail(Frozen):
    """Nothing to hand out, and no refresh to try now."""

    error: AuthError


_KINDS: Final[dict[str, type[AuthError]]] = {name: getattr(errors, name) for name in errors.__all__}

Verdict: TypeAlias = Use | UseAndRefresh | Refresh | Fail


def decide(state: State, terms: Terms, now: float, rejected: str | None = None) -> Verdict:
    """Return what to do for a caller whose request was refused with ``rejected``, if it was.

    Args:
        state: What the store holds.
        terms: What the grant and the user allow.
        now: Seconds since the epoch.
        rejected: The access token that a server just refused.
    """
    tokens, obstacle = state.tokens, _obstacle(state, terms, now)
    if tokens is None or now >= expired_at(tokens, terms, now):
        return Fail(obstacle) if obstacle else Refresh()
    if rejected == tokens.access_token:
        # An API that refuses whatever comes must not burn a rotation a request.
        if _is_unproven(state, tokens, now):
            return Use(tokens)
        return Fail(obstacle) if obstacle else Refresh()
    if obstacle:
        return Use(tokens)
    if state.intent and not terms.repeatable:
        # Spent or not, nobody knows: only a provider's grace makes haste worth while.
        return UseAndRefresh(tokens) if _is_in_grace(state.intent, terms, now) else Use(tokens)
    return Use(tokens) if now < refresh_at(tokens, terms, now) else UseAndRefresh(tokens)


def expired_at(tokens: TokenSet, terms: Terms, now: float) -> float:
    """Return the hard instant: from here on the token counts as expired."""
    return _before_expiry(tokens, now, terms.policy.early, most=10.0, share=0.10)


def refresh_at(tokens: TokenSet, terms: Terms, now: float) -> float:
    """Return the soft instant, jitter included: from here on somebody refreshes ahead."""
    soft = _before_expiry(tokens, now, terms.policy.ahead, most=300.0, share=0.20)
    hard = expired_at(tokens, terms, now)
    window = max(0.0, hard - soft)
    jitter = window / 4 if terms.policy.jitter is None else min(terms.policy.jitter, window)
    return min(soft, hard) + jitter * terms.chance if window else hard


def _before_expiry(
    tokens: TokenSet, now: float, margin: float | None, *, most: float, share: float
) -> float:
    if tokens.expires_at is None:
        return float("inf")
    if tokens.issued_at is None:
        return tokens.expires_at - (most if margin is None else margin)
    if tokens.issued_at > now + CLOCK_DOUBT:
        return float("inf")  # from the future: a clock is wrong, so only a refusal tells
    life = max(0.0, tokens.expires_at - tokens.issued_at)
    return tokens.expires_at - (
        min(most, life * share) if margin is None else min(margin, life / 2)
    )


def _is_unproven(state: State, tokens: TokenSet, now: float) -> bool:
    return state.unproven and abs(now - (tokens.issued_at or 0.0)) < UNPROVEN_FOR


def _is_in_grace(intent: Intent, terms: Terms, now: float) -> bool:
    begun = intent.at if intent.since is None else intent.since
    return abs(now - begun) < terms.grace


def _obstacle(state: State, terms: Terms, now: float) -> AuthError | None:
    tokens, failure = state.tokens, state.failure
    if terms.spend is None and not terms.repeatable:
        if tokens is None:
            return ReauthorizationRequired(
                "Nobody has logged in yet: log in, or seed() the source."
            )
        return ReauthorizationRequired("There is no refresh token: log in again.")
    if failure and failure.retry_at is None and failure.fingerprint == fingerprint(terms.spend):
        return remembered(failure, now)
    deadline = tokens.refresh_expires_at if tokens else None
    if deadline is not None and now >= deadline and not terms.repeatable:
        return ReauthorizationRequired("The refresh token is past its deadline: log in again.")
    if failure and failure.retry_at and 0 < failure.retry_at - now <= LONGEST_COOLDOWN:
        return remembered(failure, now)
    return _too_soon(tokens, terms.interval, now)


def _too_soon(tokens: TokenSet | None, interval: float, now: float) -> AuthError | None:
    born = tokens.issued_at if tokens else None
    wait = 0.0 if born is None else born + interval - now
    if not 0 < wait <= interval:  # longer than that: a clock is wrong
        return None
    error = errors.ProviderError(
        f"The provider wants {interval:g} s between two refreshes: it is asked again in {wait:.0f} s."
    )
    error.retry_after = wait
    return error


def remembered(failure: Failure, now: float) -> AuthError:
    """Return the error that this failure stands for, with what is left of its cooldown."""
    error = _KINDS.get(failure.kind, errors.ProviderError)(
        failure.message,
        error=failure.error,
        description=failure.description,
        uri=failure.uri,
        status=failure.status,
    )
    if isinstance(error, errors.ProviderError | errors.TransportError) and failure.retry_at:
        error.retry_after = max(0.0, failure.retry_at - now)
    return error


def failed(state: State, terms: Terms, error: AuthError, now: float) -> Failure:
    """Return what all processes remember of this error: final for one refresh token, or a pause."""
    # A wrong setting can look like invalid_request too: never final, or a live grant would be lost.
    refused = isinstance(error, ReauthorizationRequired) and error.error != "invalid_request"
    final = refused and terms.spend is not None
    attempts = state.failure.attempts + 1 if state.failure and state.failure.retry_at else 1
    asked = getattr(error, "retry_after", None)
    pause = min(terms.policy.cooldown * 2.0 ** min(attempts - 1, 10), 60.0) * (
        0.75 + terms.chance / 2
    )
    pause = min(max(pause, asked or 0.0), LONGEST_COOLDOWN)
    return Failure(
        kind=type(error).__name__,
        message=error.message,
        at=now,
        retry_at=None if final else now + pause,
        attempts=attempts,
        fingerprint=fingerprint(terms.spend),
        error=error.error,
        description=error.description,
        uri=error.uri,
        status=error.status,
    )


def is_in_doubt(error: AuthError) -> bool:
    """Tell whether the refresh token may have been spent although no token came back.

    A refusal is an answer, and 429 and 503 come before any work; a lost answer, another server
    error or an unreadable success tell nothing.
    """
    if isinstance(error, errors.TransportError):
        return error.sent
    if isinstance(error.__cause__, errors.TransportError):
        return error.__cause__.sent  # the try before this one
    if not isinstance(error, errors.ProviderError):
        return False
    if error.status is None:
        return True  # the grant's own code failed: before it sent, or after, nobody knows
    unreadable = isinstance(error, errors.UnreadableAnswerError) and 200 <= error.status < 300
    return unreadable or (error.status >= 500 and error.status != 503)
