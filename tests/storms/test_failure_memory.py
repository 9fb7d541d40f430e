"""A failed refresh is remembered for all processes (promise P4): no herd at a sick server, no hope for a dead grant."""

import time
from email.utils import formatdate
from itertools import pairwise

import pytest

from tests.conftest import Clock
from tokenlatch import RefreshPolicy, TokenSet
from tokenlatch._policy import LONGEST_COOLDOWN
from tokenlatch.errors import ConfigurationError, ProviderError, ReauthorizationRequired

SLACK = 1.0
"""Seconds that two busy cores may take to let sixteen processes notice something."""


@pytest.mark.storm
@pytest.mark.timeout(120)
def test_sixteen_processes_and_a_server_that_is_sick_for_ten_seconds(shared):
    """Token requests are bounded by the cooldown, not by the number of processes; all recover within one cooldown."""
    shared.seed()
    crew = shared.crew(16)
    asked = []
    shared.server.before_commit = lambda: asked.append(time.time())
    shared.server.fail("503", times=None)
    for worker in crew:
        worker.send(do="until_token", pace=0.05)
    time.sleep(10.0)  # the server is sick
    shared.server.faults.clear()
    due = shared.state().failure.retry_at
    said = [worker.answer(within=30.0) for worker in crew]
    assert {each["access_token"] for each in said} == {shared.state().tokens.access_token}
    assert {error for each in said for error in each["errors"]} == {"ProviderError"}
    # 1, 2, 4, 8 s, each with a quarter less or more of jitter
    for attempt, (before, after) in enumerate(pairwise(asked)):
        assert after - before > 0.75 * 2**attempt - 0.01
    assert 4 <= len(asked) <= 6
    assert max(each["at"] for each in said) < due + SLACK
    assert shared.server.counts.refreshes == 1
    assert shared.alive


@pytest.mark.storm
def test_eight_processes_and_a_dead_grant(shared):
    """One process learns that the grant is dead; all fail at once, and none asks again, however often it is asked."""
    shared.seed()
    crew = shared.crew(8)
    shared.server.revoke_now()
    for _ in range(3):
        for worker in crew:
            worker.send(do="token")
        said = [worker.answer() for worker in crew]
        assert {each.get("error") for each in said} == {"ReauthorizationRequired"}
        assert {"revoked" in each["message"] for each in said} == {True}
    assert max(each["took"] for each in said) < SLACK
    assert shared.server.counts.token_requests == 1
    shared.seed(left=1800)
    got = {worker.ask(do="token")["access_token"] for worker in crew}
    assert got == {shared.state().tokens.access_token}


@pytest.mark.storm
def test_eight_processes_obey_retry_after(shared):
    """While a server asks for patience, no process asks it; then one does, for all."""
    shared.seed()
    crew = shared.crew(8)
    asked = []
    shared.server.before_commit = lambda: asked.append(time.time())
    shared.server.fail("429", retry_after=2)
    for worker in crew:
        worker.send(do="until_token", pace=0.02)
    said = [worker.answer() for worker in crew]
    assert {each["access_token"] for each in said} == {shared.state().tokens.access_token}
    assert len(asked) == 2
    assert 2.0 <= asked[1] - asked[0] < 2.0 + SLACK


# ----------------------------------------------------------------------------------- two sources, and a clock to set


@pytest.fixture
def clock():
    """Give a clock that stands at the present, as the server's does."""
    return Clock(float(int(time.time())))


@pytest.fixture
def two(shared, clock):
    """Give two sources of the same file that look at the same clock; the access token is expired."""
    shared.seed()
    return shared.source(clock=clock), shared.source(clock=clock)


def refused(source, kind=ProviderError):
    """Return the error of a source that has no token to give."""
    with pytest.raises(kind) as caught:
        source.token()
    return caught.value


@pytest.mark.parametrize("value", [7, "7.0", None], ids=["seconds", "a fraction", "HTTP date"])
@pytest.mark.parametrize("status", ["503", "429"])
def test_retry_after_is_obeyed_by_every_source(shared, clock, two, status, value):
    """Seconds or an HTTP date: just before the instant nobody asks, just after it one does."""
    first, second = two
    shared.server.fail(status, retry_after=value or formatdate(clock.now + 7, usegmt=True))
    assert refused(first).retry_after == 7.0
    clock.advance(6.9)
    for source in two:
        assert refused(source).retry_after == pytest.approx(0.1)
    assert shared.server.counts.token_requests == 1
    clock.advance(0.2)
    assert second.token() == first.token()
    assert shared.server.counts.token_requests == 2
    assert shared.state().failure is None


@pytest.mark.parametrize(
    "value",
    [86400, "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT"],
    ids=["a day", "400 digits", "the year 9999"],
)
def test_retry_after_is_bounded(shared, clock, two, value):
    """A server cannot lock its clients out for longer than five minutes."""
    shared.server.fail("503", retry_after=value)
    refused(two[0])
    assert shared.state().failure.retry_at == clock.now + LONGEST_COOLDOWN
    clock.advance(LONGEST_COOLDOWN)
    assert two[1].token()


@pytest.mark.parametrize(
    "value", ["soon", "-5", "Fri, 31 Dec 1999 23:59:59 GMT", ""], ids=lambda value: value or "empty"
)
def test_retry_after_that_says_nothing(shared, clock, two, value):
    """A value that cannot be meant leaves the usual cooldown."""
    shared.server.fail("503", retry_after=value)
    refused(two[0])
    assert 0.75 <= shared.state().failure.retry_at - clock.now <= 1.25


def test_cooldowns_double_up_to_a_minute(shared, clock, two):
    """Each failure in a row doubles the pause, with a quarter less or more of jitter; a success forgets them all."""
    shared.server.fail("500", times=9)
    for attempt in range(9):
        assert refused(two[attempt % 2]).status == 500
        failure = shared.state().failure
        pause, base = failure.retry_at - clock.now, min(2.0**attempt, 60.0)
        assert failure.attempts == attempt + 1
        assert 0.75 * base <= pause <= 1.25 * base
        refused(two[(attempt + 1) % 2])
        assert shared.server.counts.token_requests == attempt + 1
        clock.advance(pause)
    assert two[0].token() == two[1].token()
    assert shared.state().failure is None


def test_a_valid_token_is_served_through_all_of_it(shared, clock):
    """While the access token lives, a sick server and a dead grant are nobody's trouble."""
    seed = shared.seed(left=100.0)
    early = RefreshPolicy(ahead=1000.0, jitter=0.0)
    sources = [shared.source(clock=clock, policy=early) for _ in range(3)]
    shared.server.fail("503", times=None)
    for _ in range(20):
        for source in sources:
            assert source.token() == seed
            source.close()  # waits for the refresh behind the scenes
        clock.advance(0.3)
    assert 2 <= shared.server.counts.token_requests <= 4
    shared.server.faults.clear()
    shared.server.revoke_now()
    clock.advance(60.0)
    for source in sources:
        assert source.token() == seed
        source.close()
    assert shared.state().failure.retry_at is None
    clock.advance(60.0)
    for source in sources:
        refused(source, ReauthorizationRequired)


@pytest.mark.parametrize("fault", ["dead", "sick", "settings"])
def test_a_new_login_clears_what_was_remembered(shared, clock, two, fault):
    """seed() ends a cooldown and a death for every process at once."""
    if fault == "dead":
        shared.server.revoke_now()
    elif fault == "sick":
        shared.server.fail("503", retry_after=200)
    else:
        shared.server.fail("shape", shape="error_in_200", error="invalid_client")
    kinds = {"dead": ReauthorizationRequired, "sick": ProviderError, "settings": ConfigurationError}
    for source in two:
        refused(source, kinds[fault])
    assert shared.server.counts.token_requests == 1
    answer = shared.server.issue()
    new = TokenSet(
        answer["access_token"],
        refresh_token=answer["refresh_token"],
        issued_at=clock.now,
        expires_at=clock.now + 3600.0,
    )
    two[0].seed(new)
    assert two[0].token() == two[1].token() == new
    assert shared.state().failure is None


def test_a_wrong_client_secret_is_not_tried_by_every_caller(shared, clock, two):
    """A developer's mistake costs one request a cooldown, and spends nothing."""
    shared.server.clients["app"] = "another-secret"
    for source in two * 5:
        refused(source, ConfigurationError)
    assert shared.server.counts.token_requests == 1
    shared.server.clients["app"] = "app-secret"
    clock.advance(2.0)
    assert two[1].token()
    assert shared.alive


def test_an_answer_for_a_refresh_token_that_is_not_the_current_one_is_not_final(shared, two):
    """The death of one refresh token says nothing of the next: it is remembered by fingerprint."""
    shared.server.revoke_now()
    refused(two[0], ReauthorizationRequired)
    state = shared.state()
    assert state.failure.fingerprint
    shared.seed(left=-1.0)
    assert two[1].token()
    assert shared.alive
