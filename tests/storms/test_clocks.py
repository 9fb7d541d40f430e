"""Rows 48 to 50 of the fault matrix: clocks that step, machines that sleep, and lifetimes that nobody can mean."""

import time

import pytest

from tests.conftest import Clock
from tokenlatch import FileStore
from tokenlatch._state import Holder, Intent
from tokenlatch._wire import Answer
from tokenlatch.errors import ProviderError, UnreadableAnswerError

HOUR = 3600.0


@pytest.fixture
def clock():
    """Give a clock that stands at the present, as the server's does."""
    return Clock(time.time())


# ------------------------------------------------------------------------------------------------ row 48: steps


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["forward", "back"])
def test_row_48_a_step_of_an_hour_makes_no_storm(shared, clock, step):
    """However often the clock jumps to and fro, there is one refresh at most, and always a token."""
    shared.seed(left=1800.0)
    sources = [shared.source(clock=clock) for _ in range(3)]
    for jump in (step, -step) * 10:
        clock.advance(jump)
        for source in sources:
            assert source.token()
    assert shared.server.counts.token_requests <= 1


def test_row_48_a_file_from_the_future_is_used_until_it_is_refused(shared, clock):
    """When the issue of a token lies ahead, its end is unknown: it is used, and a 401 refreshes it."""
    shared.seed(left=1800.0)
    source, state = shared.source(clock=clock), shared.state()
    clock.advance(-3 * HOUR)
    assert source.token() == state.tokens
    clock.advance(HOUR)
    assert source.token() == state.tokens
    fresh = source.token(rejected=state.tokens.access_token)
    assert fresh != state.tokens
    assert shared.source(clock=clock).token() == fresh
    assert shared.server.counts.token_requests == 1
    assert shared.alive


def test_row_48_a_token_got_while_the_clock_was_ahead_is_not_used_for_ever(shared, clock):
    """After a clock that was an hour ahead is set right, the API's 401 brings the next token."""
    shared.seed()
    source = shared.source(clock=clock)
    clock.advance(HOUR)
    ahead = source.token()
    clock.advance(-HOUR)
    assert source.token() == ahead
    shared.server.expire_now()
    assert source.token(rejected=ahead.access_token) != ahead
    assert shared.server.counts.token_requests == 2


def test_row_48_a_cooldown_from_the_future_does_not_lock_anybody_out(shared, clock):
    """A failure that was noted by a clock far ahead does not count."""
    shared.seed()
    clock.advance(HOUR)
    shared.server.fail("503")
    with pytest.raises(ProviderError):
        shared.source(clock=clock).token()
    clock.advance(-HOUR)
    assert shared.source(clock=clock).token()


def test_row_48_a_grace_is_not_stretched_by_a_step_back(shared, clock):
    """An interrupted refresh from the future is not tried again as if the grace had just begun."""
    shared.grace = 5.0
    shared.seed(left=1800.0)
    intent = Intent(clock.now, Holder(1, "elsewhere"))
    store = FileStore(shared.path)
    with store.transaction(1.0) as transaction:
        transaction.commit(transaction.state.having(intent=intent))
    for step in (-HOUR, HOUR + 6.0):
        clock.advance(step)
        source = shared.source(clock=clock)
        assert source.token()
        source.close()
    assert shared.server.counts.token_requests == 0


# ------------------------------------------------------------------------------------------- row 49: suspension


def test_row_49_expiry_is_a_matter_of_wall_time(shared, clock):
    """A machine that slept through the token's end (its monotonic clock stood still) refreshes when it wakes."""
    seed = shared.seed(left=1800.0)
    source = shared.source(clock=clock)
    assert source.token() == seed
    clock.advance(8 * HOUR)
    assert source.token() != seed
    assert shared.server.counts.token_requests == 1


# ------------------------------------------------------------------------------------------- row 50: lifetimes

NEVER = [
    "-1",
    "0",
    "null",
    "[]",
    "{}",
    "true",
    '"in an hour"',
    '""',
    "1e99",
    "NaN",
    "Infinity",
    "-1e99",
]
LIFETIMES = {
    **dict.fromkeys(NEVER),
    "missing": None,
    "3600": HOUR,
    '"3600"': HOUR,
    "3600.5": 3600.5,
}
LIFETIMES |= {" 1" + "0" * 400: None, "1e-3": 1e-3}


@pytest.mark.parametrize("written", LIFETIMES, ids=lambda text: text.strip()[:8])
def test_row_50_lifetimes_that_nobody_can_mean(shared, clock, written):
    """What is no positive number of seconds means that only a refusal tells; the token is saved, and nothing loops."""
    field = "" if written == "missing" else f', "expires_in": {written}'
    source, asked = answering(shared, clock, field)
    first, life = source.token(), LIFETIMES[written]
    assert first.expires_at == (life and clock.now + life)
    for _ in range(20):
        assert source.token() == first
    assert len(asked) == 1
    clock.advance(HOUR / 2)
    source.token()
    assert source.token(rejected=source.token().access_token).access_token == f"at-{len(asked)}"
    assert asked == [f"rt-{number}" for number in range(len(asked))]


@pytest.mark.parametrize("odd", ["NaN", "Infinity", "1e999", "[NaN]", "9" * 5000])
def test_row_50_numbers_elsewhere_in_the_answer(shared, clock, odd):
    """A number that equals nothing, not even itself, does not make every later save look like a conflict."""
    source, asked = answering(shared, clock, f', "expires_in": 60, "score": {odd}')
    if (
        len(odd) == 5000
    ):  # Python reads no such number: the answer is unreadable, and remembered as such
        with pytest.raises(UnreadableAnswerError):
            source.token()
        return
    for _ in range(3):
        clock.advance(100.0)
        assert source.token()
    assert asked == ["rt-0", "rt-1", "rt-2"]


def answering(shared, clock, more):
    """Return a source whose server adds this to each answer, and the refresh tokens that it is sent."""
    asked = []

    def send(ask):
        asked.append(ask.form["refresh_token"])
        number = len(asked)
        body = f'{{"access_token": "at-{number}", "refresh_token": "rt-{number}"{more}}}'
        return Answer(200, {}, body.encode())

    return shared.source(first="rt-0", sender=send, clock=clock), asked
