"""When to use, when to refresh, when to give up: the table of decisions, its edges, and laws that always hold."""

import dataclasses
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenlatch import RefreshPolicy, TokenSet
from tokenlatch._policy import (
    LONGEST_COOLDOWN,
    UNPROVEN_FOR,
    Fail,
    Refresh,
    Terms,
    Use,
    UseAndRefresh,
    decide,
    expired_at,
    failed,
    is_in_doubt,
    refresh_at,
    remembered,
)
from tokenlatch._state import Failure, Holder, Identity, Intent, State, fingerprint
from tokenlatch.errors import (
    ConfigurationError,
    LockTimeout,
    ProviderError,
    ReauthorizationRequired,
    StoreError,
    TransportError,
    UnreadableAnswerError,
)

BORN = 1_750_000_000.0
WHO = Identity("https://idp.example/token", "app", "refresh_token")
HOLDER = Holder(7, "host", "boot-1")


def token_set(life=1000.0, **changes):
    """Tokens born at BORN."""
    fields = {"refresh_token": "rt-1", "issued_at": BORN, "expires_at": life and BORN + life}
    return TokenSet("at-1", **fields | changes)


def terms(spend="rt-1", *, repeatable=False, grace=0.0, chance=0.0, **policy):
    """Terms of a rotating grant, jitter drawn as ``chance``."""
    return Terms(RefreshPolicy(**policy), spend, repeatable, grace, chance)


def state(tokens=None, **changes):
    """A state of generation 1."""
    return State(WHO, 1, tokens or token_set(), **changes)


def failure(retry_at=None, kind="ReauthorizationRequired", token="rt-1"):
    """A failure just remembered."""
    return Failure(kind, "It failed.", BORN, retry_at, fingerprint=fingerprint(token))


def kind_of(verdict):
    """The verdict's name."""
    return type(verdict).__name__


just_before = math.nextafter(BORN + 990, 0.0)


# ------------------------------------------------------------------------------------------------ the table of times


@pytest.mark.parametrize(
    ("now", "verdict"),
    [
        pytest.param(BORN, "Use", id="new"),
        pytest.param(math.nextafter(BORN + 800, 0.0), "Use", id="just before the window"),
        pytest.param(BORN + 800, "UseAndRefresh", id="the window opens"),
        pytest.param(just_before, "UseAndRefresh", id="just before the margin"),
        pytest.param(BORN + 990, "Refresh", id="the margin begins"),
        pytest.param(BORN + 1000, "Refresh", id="expired"),
        pytest.param(BORN + 1e6, "Refresh", id="long expired"),
    ],
)
def test_a_token_goes_through_three_ages(now, verdict):
    """Before the window use, inside refresh ahead, from the hard margin on wait."""
    assert kind_of(decide(state(), terms(), now)) == verdict


@pytest.mark.parametrize(
    ("life", "soft", "hard"),
    [
        pytest.param(2.0, 1.6, 1.8, id="2 s: a fifth, a tenth"),
        pytest.param(100.0, 80.0, 90.0, id="100 s: the hard margin reaches its most"),
        pytest.param(101.0, 80.8, 91.0, id="101 s: the hard margin stays at 10 s"),
        pytest.param(1500.0, 1200.0, 1490.0, id="1500 s: the window reaches its most"),
        pytest.param(3600.0, 3300.0, 3590.0, id="an hour: 300 s and 10 s"),
    ],
)
def test_default_margins(life, soft, hard):
    """The margins are shares of a short life and fixed for a long one."""
    tokens = token_set(life)
    assert refresh_at(tokens, terms(), BORN) - BORN == pytest.approx(soft)
    assert expired_at(tokens, terms(), BORN) - BORN == pytest.approx(hard)


@pytest.mark.parametrize(
    ("policy", "soft", "hard"),
    [
        pytest.param({"early": 5, "ahead": 120}, 880, 995, id="as named"),
        pytest.param({"early": 0, "ahead": 0}, 1000, 1000, id="none at all"),
        pytest.param({"early": 500}, 500, 500, id="half of life is allowed"),
        pytest.param({"early": 501}, 500, 500, id="more than half is not"),
        pytest.param({"ahead": 9999}, 500, 990, id="nor for the window"),
        pytest.param({"ahead": 5}, 990, 990, id="a window inside the margin is none"),
    ],
)
def test_named_margins(policy, soft, hard):
    """The user's margins hold, up to half of a token's life."""
    tokens = token_set(1000.0)
    assert refresh_at(tokens, terms(**policy), BORN) == BORN + soft
    assert expired_at(tokens, terms(**policy), BORN) == BORN + hard


@pytest.mark.parametrize(
    ("jitter", "chance", "soft"),
    [
        pytest.param(None, 0.0, 800.0, id="first of all"),
        pytest.param(None, 1.0, 847.5, id="last of all: a quarter of the window later"),
        pytest.param(100.0, 0.5, 850.0, id="as named"),
        pytest.param(0.0, 1.0, 800.0, id="none"),
        pytest.param(9999.0, 1.0, 990.0, id="never beyond the hard margin"),
    ],
)
def test_jitter_moves_the_window_later(jitter, chance, soft):
    """Each process starts its window at another instant, never after the margin."""
    assert refresh_at(token_set(), terms(jitter=jitter, chance=chance), BORN) == BORN + soft


@pytest.mark.parametrize("now", [0.0, BORN, BORN + 1e12])
def test_a_token_without_end_is_only_used(now):
    """No expiry means no refresh by the clock, only by a refusal."""
    endless = state(token_set(None))
    assert decide(endless, terms(), now) == Use(endless.tokens)
    assert decide(endless, terms(), now, "at-1") == Refresh()


def test_an_unknown_birth_still_has_margins():
    """Without issued_at the fixed margins count."""
    tokens = token_set(1000.0, issued_at=None)
    assert refresh_at(tokens, terms(), BORN) == BORN + 700
    assert expired_at(tokens, terms(), BORN) == BORN + 990


@pytest.mark.parametrize(
    ("ahead_of_us", "verdict"),
    [
        pytest.param(5.0, "Refresh", id="clocks differ a little"),
        pytest.param(5.1, "Use", id="a clock is wrong"),
    ],
)
def test_a_token_from_the_future_is_not_judged_by_the_clock(ahead_of_us, verdict):
    """When the clock went back an hour, only a refusal tells; no storm of refreshes."""
    tokens = token_set(issued_at=BORN + ahead_of_us, expires_at=BORN)
    assert kind_of(decide(state(tokens), terms(), BORN)) == verdict


# --------------------------------------------------------------------------------------------------------- refusals


def test_a_refusal_of_the_current_token_refreshes():
    """However young the token is."""
    assert decide(state(), terms(), BORN, "at-1") == Refresh()


def test_a_refusal_of_another_token_adopts():
    """Somebody refreshed meanwhile: the store's token is the answer."""
    here = state()
    assert decide(here, terms(), BORN, "at-0") == Use(here.tokens)


def test_a_refusal_of_another_token_still_minds_the_clock():
    """The store's newer token set may itself have expired."""
    assert decide(state(), terms(), BORN + 991, "at-0") == Refresh()


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        pytest.param(0.0, "Use", id="new"),
        pytest.param(UNPROVEN_FOR - 0.001, "Use", id="just under 30 s"),
        pytest.param(UNPROVEN_FOR, "Refresh", id="30 s"),
        pytest.param(-(UNPROVEN_FOR - 0.001), "Use", id="the clock went back a little"),
        pytest.param(-UNPROVEN_FOR, "Refresh", id="the clock went back far"),
    ],
)
def test_an_unproven_token_is_not_refreshed_for_a_refusal(age, verdict):
    """An API that says 401 to everything burns one rotation in 30 s, not one for each request."""
    here = state(unproven=True)
    assert kind_of(decide(here, terms(), BORN + age, "at-1")) == verdict


def test_an_unproven_token_still_expires():
    """Its refusal after the end of its life has a reason: it is refreshed."""
    here = state(token_set(3.0), unproven=True)
    assert decide(here, terms(), BORN + 3.5, "at-1") == Refresh()


# -------------------------------------------------------------------------------------------------------- obstacles


@pytest.mark.parametrize(
    ("changes", "spend", "says"),
    [
        pytest.param({"tokens": None}, None, "Nobody has logged in", id="never logged in"),
        pytest.param({}, None, "no refresh token", id="no refresh token"),
        pytest.param({"failure": failure()}, "rt-1", "It failed", id="the grant is dead"),
        pytest.param(
            {"tokens": token_set(refresh_expires_at=BORN + 1000)},
            "rt-1",
            "past its deadline",
            id="the refresh token's deadline passed",
        ),
    ],
)
def test_what_ends_a_grant(changes, spend, says):
    """Use it while it is valid; then a person must log in again."""
    here = State(WHO, 1, token_set()).having(**changes)
    if here.tokens:
        assert isinstance(decide(here, terms(spend), BORN + 1), Use)
    verdict = decide(here, terms(spend), BORN + 1000)
    assert isinstance(verdict, Fail)
    assert isinstance(verdict.error, ReauthorizationRequired)
    assert says in str(verdict.error)


def test_a_dead_token_is_no_reason_to_refresh_ahead():
    """In the window, with a dead grant: use it to its end."""
    here = state(failure=failure())
    assert decide(here, terms(), BORN + 900) == Use(here.tokens)


def test_a_new_login_is_not_dead():
    """invalid_grant is final only for the refresh token that was sent."""
    here = state(token_set(refresh_token="rt-2"), failure=failure(token="rt-1"))
    assert decide(here, terms("rt-2"), BORN + 1000) == Refresh()


@pytest.mark.parametrize(
    ("left", "verdict"),
    [
        pytest.param(0.0, "Refresh", id="over"),
        pytest.param(0.001, "Fail", id="almost over"),
        pytest.param(LONGEST_COOLDOWN, "Fail", id="the longest"),
        pytest.param(LONGEST_COOLDOWN + 0.001, "Refresh", id="longer than any: a clock is wrong"),
    ],
)
def test_a_cooldown_lasts_so_long(left, verdict):
    """Nobody asks again before its end, and a wrong clock does not stretch it."""
    now = BORN + 1000
    here = state(failure=failure(now + left, "ProviderError"))
    got = decide(here, terms(), now)
    assert kind_of(got) == verdict
    if isinstance(got, Fail):
        assert got.error.retry_after == pytest.approx(left, abs=1e-6)


def test_a_cooldown_does_not_stop_a_valid_token():
    """A sick provider is no reason to fail before the token's end."""
    here = state(failure=failure(BORN + 950, "ProviderError"))
    assert decide(here, terms(), BORN + 900) == Use(here.tokens)


def test_client_credentials_need_no_refresh_token():
    """A repeatable grant starts from nothing and outlives any deadline."""
    lasting = terms(None, repeatable=True)
    assert decide(State(WHO), lasting, BORN) == Refresh()
    late = state(token_set(refresh_expires_at=BORN + 1))
    assert decide(late, lasting, BORN + 1000) == Refresh()


@pytest.mark.parametrize(
    ("grace", "repeatable", "at", "verdict"),
    [
        pytest.param(0.0, False, 900, "Use", id="in the window: spent or not, nobody knows"),
        pytest.param(0.0, False, 995, "Refresh", id="expired: one try is all there is"),
        pytest.param(10.0, False, 9.9, "UseAndRefresh", id="the provider's grace: make haste"),
        pytest.param(10.0, False, 10.0, "Use", id="the grace is over"),
        pytest.param(0.0, True, 100, "Use", id="repeatable: nothing was spent"),
        pytest.param(0.0, True, 900, "UseAndRefresh", id="repeatable, in the window"),
    ],
)
def test_an_interrupted_refresh_is_weighed(grace, repeatable, at, verdict):
    """The access token is used while it lives; only a grace makes haste worth while."""
    here = state(intent=Intent(BORN, HOLDER, fingerprint("rt-1")))
    kept = terms(grace=grace, repeatable=repeatable)
    assert kind_of(decide(here, kept, BORN + at)) == verdict


# ------------------------------------------------------------------------------------------- laws that always hold

instants = st.floats(min_value=0, max_value=4e9) | st.sampled_from(
    [BORN - 3600, BORN, BORN + 800, BORN + 990, BORN + 1000]
)
seconds = st.floats(min_value=0, max_value=1e6)
maybe = st.none() | instants
any_tokens = st.builds(
    TokenSet,
    st.sampled_from(["at-1", "at-2"]),
    expires_at=maybe,
    refresh_token=st.none() | st.sampled_from(["rt-1", "rt-2"]),
    refresh_expires_at=maybe,
    issued_at=maybe,
)
any_failure = st.builds(
    Failure,
    st.sampled_from(["ReauthorizationRequired", "ProviderError", "TransportError", "unknown"]),
    st.just("It failed."),
    instants,
    maybe,
    st.integers(1, 2000),
    st.sampled_from([None, fingerprint("rt-1"), fingerprint("rt-2")]),
)
any_intent = st.builds(
    Intent, instants, st.just(HOLDER), st.just(fingerprint("rt-1")), st.booleans()
)
any_state = st.builds(
    State,
    st.just(WHO),
    st.integers(0, 9),
    st.none() | any_tokens,
    st.none() | any_intent,
    st.none() | any_failure,
    st.booleans(),
)
any_policy = st.builds(
    RefreshPolicy,
    early=st.none() | seconds,
    ahead=st.none() | seconds,
    jitter=st.none() | seconds,
)
any_terms = st.builds(
    Terms,
    any_policy,
    st.none() | st.sampled_from(["rt-1", "rt-2"]),
    st.booleans(),
    st.sampled_from([0.0, 10.0, math.inf]),
    st.floats(0, 1),
)
FEW = settings(max_examples=50)
refusals = st.sampled_from([None, "at-0", "at-1", "at-2"])


@FEW
@given(any_state, any_terms, instants)
def test_nobody_waits_while_a_usable_token_exists(here, agreed, now):
    """No refresh, failure or cooldown comes between a caller and a valid token (P3)."""
    if here.tokens and now < expired_at(here.tokens, agreed, now):
        verdict = decide(here, agreed, now)
        assert isinstance(verdict, Use | UseAndRefresh)
        assert verdict.tokens is here.tokens


@FEW
@given(any_state, any_terms, instants, refusals)
def test_an_expired_token_is_never_handed_out(here, agreed, now, rejected):
    """Whatever else is true."""
    verdict = decide(here, agreed, now, rejected)
    if isinstance(verdict, Use | UseAndRefresh):
        assert now < expired_at(verdict.tokens, agreed, now)


@FEW
@given(any_state, any_terms, instants, refusals)
def test_a_refused_token_is_handed_out_only_while_it_is_unproven(here, agreed, now, rejected):
    """And then to stop the loop, not to be sent again."""
    verdict = decide(here, agreed, now, rejected)
    if isinstance(verdict, Use | UseAndRefresh) and verdict.tokens.access_token == rejected:
        assert here.unproven
        assert abs(now - (verdict.tokens.issued_at or 0.0)) < UNPROVEN_FOR


@FEW
@given(any_state, any_terms, instants, refusals)
def test_a_dead_grant_is_never_refreshed(here, agreed, now, rejected):
    """One invalid_grant for a refresh token is enough for all processes (P4)."""
    dead = here.having(failure=failure(None, token=agreed.spend))
    assert not isinstance(decide(dead, agreed, now, rejected), Refresh | UseAndRefresh)


@FEW
@given(any_state, any_terms, instants, refusals, st.floats(0.001, LONGEST_COOLDOWN))
def test_a_cooldown_is_kept_by_all(here, agreed, now, rejected, left):
    """Whatever the token's state, nobody asks a sick provider early (P4)."""
    sick = here.having(failure=failure(now + left, "ProviderError", agreed.spend))
    assert not isinstance(decide(sick, agreed, now, rejected), Refresh | UseAndRefresh)


@FEW
@given(any_state, any_policy, instants, refusals)
def test_nothing_is_refreshed_with_nothing(here, policy, now, rejected):
    """Without a refresh token a rotating grant asks nobody."""
    empty = Terms(policy, None)
    assert not isinstance(decide(here, empty, now, rejected), Refresh | UseAndRefresh)


@FEW
@given(any_tokens, any_terms, instants)
def test_the_instants_are_in_order(tokens, agreed, now):
    """Soft before hard before the end; and the margins never take more than half of a life."""
    soft, hard = refresh_at(tokens, agreed, now), expired_at(tokens, agreed, now)
    assert soft <= hard
    if tokens.expires_at is None or hard == math.inf:
        return
    assert hard <= tokens.expires_at
    if tokens.issued_at is not None and tokens.issued_at < tokens.expires_at:
        life = tokens.expires_at - tokens.issued_at
        assert soft >= tokens.expires_at - life / 2 - 1e-6


@FEW
@given(any_state, any_terms, instants, refusals)
def test_a_failure_says_when_to_come_back(here, agreed, now, rejected):
    """A remembered failure has what is left of its pause, or none at all."""
    verdict = decide(here, agreed, now, rejected)
    if isinstance(verdict, Fail) and isinstance(verdict.error, ProviderError | TransportError):
        left = verdict.error.retry_after
        assert left is None or 0 <= left <= LONGEST_COOLDOWN


# ---------------------------------------------------------------------------------------------- remembering failures


def provider_error(retry_after=None, status=503):
    """A provider's failure."""
    error = ProviderError("The provider failed.", error="server_error", status=status)
    error.retry_after = retry_after
    return error


@pytest.mark.parametrize(
    ("attempts", "pause"),
    [(0, 1.0), (1, 2.0), (2, 4.0), (5, 32.0), (6, 60.0), (7, 60.0), (2000, 60.0)],
)
def test_pauses_double_up_to_a_minute(attempts, pause):
    """The next attempt waits twice as long as the last, at most 60 s."""
    before = Failure("ProviderError", "", BORN, BORN + 1, attempts) if attempts else None
    note = failed(state(failure=before), terms(chance=0.5), provider_error(), BORN)
    assert note.retry_at == BORN + pause
    assert note.attempts == attempts + 1


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        pytest.param(None, 1.0, id="nothing asked"),
        pytest.param(0.0, 1.0, id="at once: our own pause all the same"),
        pytest.param(7.0, 7.0, id="as asked"),
        pytest.param(300.0, 300.0, id="the longest"),
        pytest.param(86400.0, 300.0, id="a day: asked again after five minutes"),
        pytest.param(math.inf, 300.0, id="for ever"),
    ],
)
def test_retry_after_is_obeyed_within_reason(asked, pause):
    """By all, but not for a day."""
    note = failed(state(), terms(chance=0.5), provider_error(asked), BORN)
    assert note.retry_at == BORN + pause


@pytest.mark.parametrize("chance", [0.0, 1.0])
def test_pauses_are_spread(chance):
    """Between three and five quarters, so that processes do not come back together."""
    note = failed(state(), terms(chance=chance), provider_error(), BORN)
    assert note.retry_at == BORN + 0.75 + chance / 2


@pytest.mark.parametrize(
    ("error", "spend", "final"),
    [
        pytest.param("invalid_grant", "rt-1", True, id="invalid_grant"),
        pytest.param(None, "rt-1", True, id="refused without a code"),
        pytest.param("invalid_request", "rt-1", False, id="may be a wrong setting"),
        pytest.param("invalid_grant", None, False, id="nothing was spent"),
    ],
)
def test_what_is_final(error, spend, final):
    """A refusal is for good only for a refresh token that was sent."""
    refusal = ReauthorizationRequired("Refused.", error=error)
    note = failed(state(), terms(spend), refusal, BORN)
    assert (note.retry_at is None) == final
    assert note.fingerprint == fingerprint(spend)


@pytest.mark.parametrize("kind", [ConfigurationError, StoreError, TransportError, ProviderError])
def test_other_failures_only_pause(kind):
    """A typing error in a secret can be mended."""
    note = failed(state(failure=failure()), terms(), kind("No."), BORN)
    assert (note.retry_at > BORN, note.attempts) == (True, 1)


@pytest.mark.parametrize(
    "error",
    [
        ReauthorizationRequired("a", error="invalid_grant", description="d", uri="u", status=400),
        ConfigurationError("a", error="invalid_client", status=401),
        provider_error(3.0),
        UnreadableAnswerError("a", status=200),
        TransportError("a"),
        LockTimeout("a"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_failure_is_raised_as_it_was(error):
    """Other processes raise the same error, with the same fields and what is left of the pause."""
    note = failed(state(), terms(None), error, BORN)
    again = remembered(note, BORN + 0.25)
    assert type(again) is type(error)
    assert str(again) == str(error)
    fields = ("error", "description", "uri", "status")
    assert [getattr(again, each) for each in fields] == [getattr(error, each) for each in fields]
    if hasattr(error, "retry_after"):
        assert again.retry_after == pytest.approx(note.retry_at - BORN - 0.25)


def test_a_failure_of_a_kind_unknown_here_is_the_providers():
    """A newer version may have written it."""
    assert type(remembered(failure(kind="QuantumError"), BORN)) is ProviderError


def lost(*, sent):
    """A transport error."""
    error = TransportError("Lost.")
    error.sent = sent
    return error


@pytest.mark.parametrize(
    ("error", "doubt"),
    [
        pytest.param(lost(sent=True), True, id="answer lost"),
        pytest.param(lost(sent=False), False, id="never sent"),
        pytest.param(provider_error(status=500), True, id="500"),
        pytest.param(provider_error(status=502), True, id="502"),
        pytest.param(provider_error(status=503), False, id="503 comes before any work"),
        pytest.param(provider_error(status=429), False, id="429 likewise"),
        pytest.param(provider_error(status=400), False, id="an unknown refusal"),
        pytest.param(
            provider_error(status=None), True, id="code that raised, before or after it sent"
        ),
        pytest.param(UnreadableAnswerError("", status=200), True, id="200 with nonsense"),
        pytest.param(UnreadableAnswerError("", status=307), False, id="a redirect"),
        pytest.param(UnreadableAnswerError("", status=404), False, id="404"),
        pytest.param(ReauthorizationRequired("", status=400), False, id="refused"),
        pytest.param(ConfigurationError("", status=401), False, id="wrong client"),
        pytest.param(StoreError(""), False, id="our disk"),
    ],
)
def test_what_leaves_a_doubt(error, doubt):
    """Only where the provider may have rotated without our learning the new token."""
    assert is_in_doubt(error) == doubt


@pytest.mark.parametrize("value", [-1, -0.001, math.inf, math.nan])
@pytest.mark.parametrize("name", ["early", "ahead", "jitter", "watch", "patience", "cooldown"])
def test_a_policy_refuses_what_cannot_be_meant(name, value):
    """Negative and endless times."""
    with pytest.raises(ConfigurationError, match=name):
        RefreshPolicy(**{name: value})


# ----------------------------------------------------------------------------------------- a provider's own patience


@pytest.mark.parametrize(
    ("life", "age", "rejected", "verdict"),
    [
        pytest.param(1000.0, 59, None, "Use", id="in use"),
        pytest.param(1000.0, 59, "at-1", "Fail", id="refused too soon"),
        pytest.param(1000.0, 60, "at-1", "Refresh", id="refused later"),
        pytest.param(60.0, 50, None, "Use", id="no refresh ahead too soon"),
        pytest.param(50.0, 55, None, "Fail", id="expired too soon"),
        pytest.param(1000.0, -10, "at-1", "Refresh", id="born in the future: a clock is wrong"),
    ],
)
def test_a_provider_may_want_some_time_between_refreshes(life, age, rejected, verdict):
    """No worker asks earlier than that after the last refresh, whatever the reason."""
    wants = dataclasses.replace(terms(), interval=60.0)
    decision = decide(state(token_set(life)), wants, BORN + age, rejected)
    assert kind_of(decision) == verdict
    if verdict == "Fail":
        assert decision.error.retry_after == 60 - age
