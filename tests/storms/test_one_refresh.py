"""Rows 1 to 7 of the fault matrix: many callers, one refresh, and a loser that destroys nothing.

Two independent witnesses: the server's count, and the generation in the file.
"""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tokenlatch import TokenSet
from tokenlatch._format import to_json
from tokenlatch.errors import ReauthorizationRequired


def refreshed_once(shared):
    """Tell whether both witnesses saw one refresh since the seed."""
    counts = shared.server.counts
    return (counts.token_requests, counts.refreshes, counts.replays, shared.state().generation) == (
        1,
        1,
        0,
        2,
    )


@pytest.mark.storm
def test_row_01_sixteen_processes_at_the_same_instant(shared):
    """Sixteen processes that find the token expired at the same instant make one token request, and all go on."""
    shared.seed()
    crew = shared.crew(16, real_sender=True)
    with shared.server.hold():  # so that the last has asked before the first gets its answer
        for worker in crew:
            worker.send(do="token")
        shared.server.arrived()
    got = {worker.answer()["access_token"] for worker in crew}
    assert got == {shared.state().tokens.access_token}
    assert refreshed_once(shared)
    assert shared.alive


@pytest.mark.parametrize("number", [1, 4], ids=["one source", "four sources"])
@pytest.mark.parametrize("refused", [False, True], ids=["expired", "refused"])
def test_row_02_thirty_two_threads_in_one_process(shared, number, refused):
    """Thirty-two threads behind a barrier make one token request, whether the token ran out or an API refused it."""
    seed = shared.seed(left=1800.0 if refused else -1.0)
    sources, barrier = [shared.source() for _ in range(number)], threading.Barrier(32)

    def ask(thread):
        barrier.wait()
        source = sources[thread % number]
        return source.token(seed.access_token if refused else None).access_token

    with ThreadPoolExecutor(32) as threads:
        got = set(threads.map(ask, range(32)))
    assert got == {shared.state().tokens.access_token}
    assert refreshed_once(shared)


@pytest.mark.storm
def test_row_03_tasks_threads_and_another_process_mixed(shared):
    """Fifty tasks and eight threads of one source, and another process, make one token request together."""
    shared.seed()
    source, (other,) = shared.source(), shared.crew(1)

    async def fifty():
        tasks = [asyncio.create_task(source.atoken()) for _ in range(50)]
        return [each.access_token for each in await asyncio.gather(*tasks)]

    with ThreadPoolExecutor(9) as threads:
        with shared.server.hold():
            asking = [threads.submit(source.token) for _ in range(8)]
            tasks = threads.submit(asyncio.run, fifty())
            other.send(do="token")
            shared.server.arrived()
        got = {each.result().access_token for each in asking} | set(tasks.result())
    assert got == {other.answer()["access_token"]}
    assert refreshed_once(shared)


def test_row_04_two_refusals_of_the_same_old_token_one_after_another(shared):
    """The second 401 for the old token adopts what the first one brought, even long after."""
    old = shared.seed(left=1800).access_token
    first, second = shared.source(), shared.source()
    assert second.token().access_token == old
    fresh = first.token(rejected=old).access_token
    first.accepted(fresh)
    assert second.token(rejected=old).access_token == fresh
    assert first.token(rejected=old).access_token == fresh
    assert refreshed_once(shared)


def test_row_05_the_file_holds_a_newer_token_set_that_is_itself_expired(shared):
    """A stale process refreshes with the file's refresh token, never with the older one in its memory."""
    shared.seed(left=1800)
    stale, other = shared.source(), shared.source()
    stale.token()
    other.refresh()
    newer = shared.state()
    gone = replace(newer.tokens, issued_at=1.0, expires_at=2.0)
    shared.path.write_bytes(to_json(newer.having(tokens=gone)))
    shared.server.expire_now()
    stale.token()
    sent = [each.request.form["refresh_token"] for each in shared.server.log]
    assert sent[-1] == newer.tokens.refresh_token
    assert shared.server.counts.replays == 0
    assert shared.alive


@pytest.mark.parametrize("left", [1800.0, -1.0], ids=["its token is valid", "its token is expired"])
def test_row_06_refused_because_somebody_else_rotated_meanwhile(shared, left):
    """``invalid_grant`` for a refresh token that is no longer the current one: adopt, no error, nothing overwritten."""
    seed = shared.seed()
    shared.server.book.reuse_detection = False
    source, book, now = shared.source(), shared.server.book, shared.server._clock()

    def rotate():
        """Refresh as a program would that knows nothing of our lock."""
        shared.server.before_commit = None
        answer = book.refresh(seed.refresh_token, "app", now)
        tokens = TokenSet(
            answer["access_token"],
            refresh_token=answer["refresh_token"],
            issued_at=now + left - 3600,
            expires_at=now + left,
        )
        before = shared.state()
        shared.path.write_bytes(to_json(before.having(generation=2, tokens=tokens, intent=None)))

    shared.server.before_commit = rotate
    got = source.token()
    state = shared.state()
    assert got == state.tokens
    assert state.failure is None
    assert shared.alive
    assert state.generation == (2 if left > 0 else 3)


def test_row_07_refused_and_the_file_is_unchanged(shared):
    """A revoked grant is marked dead with its reason, not deleted, and nobody asks for it again."""
    shared.seed()
    shared.server.revoke_now()
    first, second = shared.source(), shared.source()
    with pytest.raises(ReauthorizationRequired, match="invalid_grant") as caught:
        first.token()
    assert caught.value.error == "invalid_grant"
    state = shared.state()
    assert state.tokens.refresh_token
    assert state.failure.retry_at is None
    for source in (first, second, shared.source()):
        with pytest.raises(ReauthorizationRequired, match="revoked"):
            source.token()
    assert shared.server.counts.token_requests == 1


def test_row_07_a_dead_grant_serves_its_access_token_to_the_end(shared):
    """While the access token of a dead grant lives it is handed out; a refused refresh ahead takes nothing away."""
    seed = shared.seed(left=1800)
    source = shared.source()
    shared.server.revoke_now()
    with pytest.raises(ReauthorizationRequired):
        source.refresh()
    assert source.token().access_token == seed.access_token
    assert shared.source().token().access_token == seed.access_token
    assert shared.server.counts.token_requests == 1
