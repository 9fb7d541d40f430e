"""One source behind every door at once: threads of requests and httpx, loops of asyncio and trio."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import trio

from tests.doors.conftest import DOORS

EACH = 3


def test_every_door_at_once_costs_one_refresh(server, source):
    """Twenty-one callers through seven doors meet one dead token: one token request, no replay, all served."""
    server.expire_now()
    callers = [door for door in DOORS for _ in range(EACH)]
    ready = threading.Barrier(len(callers))

    def call(door):
        auth = door.auth(source, server.url)
        ready.wait(10)
        return door.send(auth, "GET", server.api_url).status_code

    with ThreadPoolExecutor(len(callers)) as pool:
        with server.hold():
            answers = [pool.submit(call, door) for door in callers]
            server.arrived()
        assert [each.result(30) for each in answers] == [200] * len(callers)
    assert (server.counts.token_requests, server.counts.replays) == (1, 0)
    assert source.status().generation == 2


def test_auth_objects_may_be_shared_by_all(server, source):
    """One auth object for each library, used from threads and loops at the same time."""
    auths = {door.library: door.auth(source, server.url) for door in DOORS}

    def call(door):
        return [door.send(auths[door.library], "GET", server.api_url).status_code for _ in "ab"]

    server.expire_now()
    with ThreadPoolExecutor(len(DOORS)) as pool:
        assert list(pool.map(call, DOORS)) == [[200, 200]] * len(DOORS)
    assert (server.counts.refreshes, server.counts.replays) == (1, 0)


def test_loops_in_threads_do_not_mix_up_their_futures(server, source):
    """Two asyncio loops and one of trio wait for the same flight."""
    server.expire_now()
    ready = threading.Barrier(3)

    async def ask():
        ready.wait(10)
        return (await source.atoken(source._view.tokens.access_token)).access_token

    with ThreadPoolExecutor(3) as pool:
        with server.hold():
            runs = [pool.submit(asyncio.run, ask()) for _ in range(2)] + [
                pool.submit(trio.run, ask)
            ]
            server.arrived()
        assert len({each.result(10) for each in runs}) == 1
    assert server.counts.token_requests == 1
