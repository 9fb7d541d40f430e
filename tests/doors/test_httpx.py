"""What only httpx and its kin have: auth flows, limits, streams, one object for all loops."""

import asyncio

import pytest
import trio

from tests.doors.conftest import Door, refusing
from tokenlatch import MemoryStore
from tokenlatch.testing._http import Response


def test_a_pool_of_one_does_not_deadlock(httpx_door, server, source):
    """The 401's connection is free before the retry asks for one."""
    limits = httpx_door.client.Limits(max_connections=1)
    auth = httpx_door.auth(source, server.url)
    with httpx_door.open(auth, limits=limits) as client:
        for _ in range(3):
            server.expire_now()
            assert client.get(server.api_url).status_code == 200


def test_a_pool_of_one_does_not_deadlock_in_a_loop(async_door, server, source):
    """Nor there; eight tasks share the one connection."""
    limits = async_door.client.Limits(max_connections=1)
    auth = async_door.auth(source, server.url)

    async def main():
        seen = []
        async with async_door.open(auth, limits=limits) as client:

            async def call():
                seen.append((await client.get(server.api_url)).status_code)

            await all_at_once(async_door, [call] * 8)
        return seen

    server.expire_now()
    assert async_door.run(main) == [200] * 8
    assert (server.counts.refreshes, server.counts.replays) == (1, 0)


async def all_at_once(door, calls):
    """Run coroutine functions as tasks of the door's loop."""
    if door.how == "asyncio":
        async with asyncio.TaskGroup() as group:
            for call in calls:
                group.create_task(call())
    else:
        async with trio.open_nursery() as nursery:
            for call in calls:
                nursery.start_soon(call)


def test_an_open_stream_blocks_nobody(httpx_door, server, source):
    """A long-lived answer holds no lock: a second request refreshes and goes out."""
    auth = httpx_door.auth(source, server.url)
    with (
        httpx_door.open(auth) as client,
        client.stream("GET", f"{server.url}/stream?interval=0.01") as stream,
    ):
        lines = stream.iter_lines()
        assert next(lines) == "data: 0"
        server.expire_now()
        assert client.get(server.api_url).status_code == 200
        assert next(line for line in lines if line) == "data: 1"
    assert server.counts.refreshes == 1


def test_an_open_stream_blocks_nobody_in_a_loop(async_door, server, source):
    """The same in a task."""
    auth = async_door.auth(source, server.url)

    async def main():
        async with (
            async_door.open(auth) as client,
            client.stream("GET", f"{server.url}/stream?interval=0.01") as stream,
        ):
            server.expire_now()
            return stream.status_code, (await client.get(server.api_url)).status_code

    assert async_door.run(main) == (200, 200)
    assert server.counts.refreshes == 1


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
@pytest.mark.parametrize("steps", [0, 1], ids=["before it began", "after the request"])
def test_a_flow_that_is_closed_early_holds_nothing(server, source, library, steps):
    """Closed by another task than the one that ran it: the next request works."""
    door = Door(library, "asyncio")
    auth = door.auth(source, server.url)

    async def main():
        flow = auth.async_auth_flow(door.client.Request("GET", server.api_url))
        for _ in range(steps):
            await anext(flow)
        await asyncio.create_task(flow.aclose())
        async with door.open(auth) as client:
            return (await client.get(server.api_url)).status_code

    server.expire_now()
    assert door.run(main) == 200
    assert server.counts.refreshes == 1


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_flow_that_is_dropped_in_the_middle_of_a_refresh_holds_nothing(server, source, library):
    """Its task is cancelled while the refresh flies; the refresh lands, and others go on."""
    door = Door(library, "asyncio")
    auth = door.auth(source, server.url)
    before = source.token()

    async def main():
        async with door.open(auth) as client:
            task = asyncio.create_task(client.get(server.api_url))
            await asyncio.to_thread(server.arrived)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            server.release()
            return (await client.get(server.api_url)).status_code

    server.expire_now()
    with server.hold():
        assert door.run(main) == 200
    assert source.token() != before
    assert (server.counts.refreshes, server.counts.replays) == (1, 0)


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_one_object_serves_every_loop(server, source, library):
    """Sync, asyncio twice, trio: one after another, each with a refusal."""
    auth = Door(library, "sync").auth(source, server.url)
    for how in ("sync", "asyncio", "trio", "asyncio", "sync"):
        server.expire_now()
        assert Door(library, how).send(auth, "GET", server.api_url).status_code == 200
    assert (server.counts.refreshes, server.counts.replays) == (5, 0)


def test_cookies_of_the_refusal_are_kept(httpx_door, server, source, route):
    """In the client's jar, for the next request."""
    url = route("/jar", refusing(server, Response(401, {"Set-Cookie": "a=new"})))
    server.expire_now()
    with httpx_door.open(httpx_door.auth(source, server.url)) as client:
        assert client.get(url).status_code == 200
        assert client.cookies["a"] == "new"


def test_tasks_of_many_clients_share_one_refresh(async_door, server, make):
    """Sixteen clients over two sources on one store: one refresh."""
    store = MemoryStore()
    ours = make(store=store)
    sources = [ours, make(ours._view.grant, store=store)]
    auths = [async_door.auth(each, server.url) for each in sources]

    async def main():
        seen = []

        async def call(auth):
            async with async_door.open(auth) as client:
                seen.append((await client.get(server.api_url)).status_code)

        await all_at_once(async_door, [lambda auth=auth: call(auth) for auth in auths * 8])
        return seen

    server.expire_now()
    assert async_door.run(main) == [200] * 16
    assert (server.counts.refreshes, server.counts.replays) == (1, 0)
