"""Rows 10 to 21 of the fault matrix: whoever waits may be interrupted, the refresh may not.

The server is held before its commit or after it, so that the interruption falls on one side or the other for certain.
"""

import asyncio
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import anyio
import httpx
import pytest
import trio

import tokenlatch.httpx
from tests.conftest import Clock, other_python
from tests.storms.other_pythons import library_for
from tokenlatch import FileStore
from tokenlatch.errors import ReauthorizationRequired

SIDES = pytest.mark.parametrize("committed", [False, True], ids=["before commit", "after commit"])
PYTHONS = pytest.mark.parametrize("version", ["this", "3.12", "3.13"])


def python(version, tmp_path):
    """Return the settings that run a worker on another Python, or skip."""
    if version == "this":
        return {}
    found = other_python(version)
    if found is None:
        pytest.skip(f"no python{version} on PATH or in pyenv")
    return {"python": str(found), "pythonpath": library_for(tmp_path)}


def nothing_lost(shared):
    """Tell whether the file holds what the server will take next, and nothing was spent twice."""
    return shared.alive and shared.server.counts.replays == 0 and shared.state().intent is None


# ------------------------------------------------------------------------------------------------------- signals


@pytest.mark.storm
@PYTHONS
def test_row_10_ctrl_c_at_random_during_a_refresh(shared, tmp_path, version):
    """Twenty-four interruptions at random instants of twenty-four refreshes lose nothing, on any Python."""
    shared.seed()
    shared.server.token_latency = 0.02
    worker = shared.worker(**python(version, tmp_path))
    worker.ready()
    chance = random.Random(10)
    for _ in range(24):
        worker.send(do="refresh")
        time.sleep(chance.uniform(0.0, 0.05))  # the storm: any instant is as good as another
        worker.signal(signal.SIGINT)
        assert worker.answer().keys() & {"interrupted", "access_token"}
    worker.send(do="token")
    assert "access_token" in worker.answer()
    worker.leave()
    assert worker.ended() == 0
    assert nothing_lost(shared)


@pytest.mark.storm
@SIDES
@pytest.mark.parametrize(
    ("number", "settings"),
    [
        pytest.param(signal.SIGINT, {}, id="row 10 Ctrl-C"),
        pytest.param(signal.SIGTERM, {"exits_on_term": True}, id="row 12 SIGTERM that exits"),
        pytest.param(signal.SIGUSR1, {}, id="row 12 soft time limit"),
    ],
)
def test_row_12_interrupted_and_gone_before_the_answer_comes(shared, number, settings, committed):
    """A process that is interrupted and leaves while the answer is under way saves it before it ends."""
    shared.seed()
    worker = shared.worker(**settings)
    worker.ready()
    with shared.server.hold(committed=committed):
        worker.send(do="token")
        shared.server.arrived()
        worker.signal(number)
        if number != signal.SIGTERM:
            assert "interrupted" in worker.answer()
            worker.leave()
        with pytest.raises(subprocess.TimeoutExpired):  # it waits for its flight
            worker.ended(within=0.2)
    assert worker.ended() == 0
    assert nothing_lost(shared)
    assert shared.server.counts.refreshes == 1


@pytest.mark.storm
def test_row_11_sigterm_by_default_kills_and_is_recognised(shared):
    """SIGTERM's default action leaves no time to save: the next process names who was interrupted and when."""
    shared.seed()
    worker = shared.worker()
    worker.ready()
    with shared.server.hold(committed=True):
        worker.send(do="token")
        shared.server.arrived()
        worker.signal(signal.SIGTERM)
        assert worker.ended() == -signal.SIGTERM
    assert shared.state().intent.holder.pid == worker.pid
    with pytest.raises(ReauthorizationRequired, match=rf"process {worker.pid} .* began a refresh"):
        shared.source().token()


def test_row_10_ctrl_c_before_the_flight_began(shared, monkeypatch):
    """Ctrl-C between making a flight and its thread's start leaves nobody waiting for what never began."""
    shared.seed()
    source, start = shared.source(), threading.Thread.start

    def interrupted(_):
        monkeypatch.setattr(threading.Thread, "start", start)
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        source.token()
    asking = threading.Thread(target=source.token, daemon=True)
    asking.start()
    asking.join(5.0)
    assert not asking.is_alive()
    assert nothing_lost(shared)


def test_row_10_ctrl_c_during_seed_lets_go_of_the_lock(shared, monkeypatch):
    """Ctrl-C while a login is being saved leaves the lock free and the file whole."""
    seed = shared.seed(left=1800)

    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        shared.source().seed(seed)
    monkeypatch.undo()
    assert shared.files() <= {"token.json", "token.json.lock", "token.json.counter"}
    assert shared.source().refresh()
    assert nothing_lost(shared)


# --------------------------------------------------------------------------------------------------------- tasks


async def cancelled_by_task(source, arrived):
    """Cancel the task that waits."""
    task = asyncio.create_task(source.atoken())
    await asyncio.to_thread(arrived)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def cancelled_by_wait_for(source, arrived):
    """Let wait_for run out."""
    waiting = asyncio.create_task(asyncio.wait_for(source.atoken(), 0.2))
    await asyncio.to_thread(arrived)
    with pytest.raises(TimeoutError):
        await waiting


async def cancelled_by_anyio(source, arrived):
    """Let anyio's move_on_after run out, on whatever loop runs it."""
    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, arrived)
        with anyio.move_on_after(0.2) as scope:
            await source.atoken()
    assert scope.cancelled_caught


async def cancelled_by_trio(source, arrived):
    """Cancel a trio scope."""
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(source.atoken)
            await trio.to_thread.run_sync(arrived)
            scope.cancel()
    assert scope.cancelled_caught


CANCELS = {
    "row 14 task, and asyncio.run returns": (asyncio.run, cancelled_by_task),
    "row 15 wait_for": (asyncio.run, cancelled_by_wait_for),
    "row 15 anyio on asyncio": (asyncio.run, cancelled_by_anyio),
    "row 15 anyio on trio": (trio.run, cancelled_by_anyio),
    "row 15 trio": (trio.run, cancelled_by_trio),
}


@SIDES
@pytest.mark.parametrize("name", CANCELS)
def test_row_15_a_cancelled_task_loses_nothing(shared, name, committed):
    """Whatever cancels the waiting, and although the loop is gone at once, the exchange is saved."""
    shared.seed()
    run, cancel = CANCELS[name]
    source = shared.source()

    async def main():
        await cancel(source, shared.server.arrived)

    with shared.server.hold(committed=committed):
        run(main) if run is trio.run else run(main())
    source.close()  # waits for the flight
    assert nothing_lost(shared)
    assert shared.server.counts.refreshes == 1


def test_row_13_cancelled_at_random_while_the_loop_runs_on(shared):
    """Forty cancels at random instants of forty refreshes lose nothing."""
    shared.seed()
    shared.server.token_latency = 0.005
    clock, chance = Clock(time.time()), random.Random(13)
    source = shared.source(clock=clock)

    async def main():
        for _ in range(40):
            clock.advance(4000.0)
            task = asyncio.create_task(source.atoken())
            # The storm: any instant is as good as another.
            await asyncio.sleep(chance.uniform(0.0, 0.02))
            task.cancel()
            await asyncio.wait([task])
            await asyncio.to_thread(source.close)  # waits for the flight
        await source.atoken()

    asyncio.run(main())
    source.close()
    assert nothing_lost(shared)
    assert shared.server.counts.refreshes > 20


@pytest.mark.storm
def test_row_14_the_program_ends_as_soon_as_the_token_is_saved(shared):
    """Exit waits for the flight and for nothing else."""
    shared.seed()
    worker = shared.worker()
    worker.ready()
    with shared.server.hold():
        worker.send(do="begin")
        worker.answer()
        shared.server.arrived()
        worker.leave()
    begin = time.monotonic()
    assert worker.ended() == 0
    assert time.monotonic() - begin < 5.0
    assert nothing_lost(shared)


def test_row_16_a_waiter_cancelled_in_the_queue_does_not_keep_the_lock(shared):
    """The lock that a cancelled waiter gets later is given back: another process acquires it."""
    shared.seed()
    source, other = shared.source(), FileStore(shared.path)

    async def cancelled():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(source.atoken(), 0.1)

    with other.transaction(1.0):
        asyncio.run(cancelled())
    source.close()
    with other.transaction(1.0) as transaction:
        assert transaction.state.generation == 2
    assert nothing_lost(shared)


def test_row_17_the_default_executor_is_full(shared):
    """A refresh needs no thread of the loop's executor, which may be full of waiters."""
    shared.seed()
    source, release = shared.source(), threading.Event()

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        stuck = loop.run_in_executor(None, release.wait)
        try:
            return await asyncio.wait_for(source.atoken(), 5.0)
        finally:
            release.set()
            await stuck

    assert asyncio.run(main()).access_token == shared.state().tokens.access_token


def test_row_17_no_thread_can_be_started(shared, monkeypatch):
    """Where the system gives no thread, the caller makes the refresh itself."""
    shared.seed()
    start = threading.Thread.start

    def refuse(thread):
        if thread.name.startswith("tokenlatch"):  # the server here needs its own
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert shared.source().token()
    assert nothing_lost(shared)


def test_row_18_two_event_loops_in_two_threads(shared):
    """Tasks of two loops wait for one refresh of one source."""
    shared.seed()
    source = shared.source()

    async def four():
        return await asyncio.gather(*(source.atoken() for _ in range(4)))

    with ThreadPoolExecutor(2) as threads:
        with shared.server.hold():
            loops = [threads.submit(lambda: asyncio.run(four())) for _ in range(2)]
            shared.server.arrived()
        got = {each.access_token for loop in loops for each in loop.result(5.0)}
    assert got == {shared.state().tokens.access_token}
    assert shared.server.counts.token_requests == 1


def test_row_19_the_loop_is_closed_while_the_flight_finishes(shared, monkeypatch):
    """The token is saved and nothing is shouted when the loop that waited is gone."""
    shouted = []
    monkeypatch.setattr(sys, "unraisablehook", shouted.append)
    monkeypatch.setattr(threading, "excepthook", shouted.append)
    shared.seed()
    source, loop = shared.source(), asyncio.new_event_loop()
    with shared.server.hold(committed=True):
        task = loop.create_task(source.atoken())
        loop.run_until_complete(asyncio.sleep(0))
        shared.server.arrived()
        task.cancel()
        loop.run_until_complete(asyncio.wait([task]))
        loop.close()
    source.close()
    del task, loop
    gc.collect()
    assert shouted == []
    assert nothing_lost(shared)


# --------------------------------------------------------------------------------------------- flows and streams


def test_row_20_an_auth_flow_closed_early_or_in_another_task(shared):
    """A flow that a client drops half-way holds no lock, and the next request works."""
    shared.seed()
    auth = tokenlatch.httpx.BearerAuth(shared.source(), shared.server.url)
    request = httpx.Request("GET", shared.server.api_url)

    async def dropped():
        flow = auth.async_auth_flow(request)
        await flow.__anext__()
        await asyncio.create_task(flow.aclose())

    asyncio.run(dropped())
    flow = auth.sync_auth_flow(request)
    next(flow)
    flow.close()
    with FileStore(shared.path).transaction(1.0):
        pass
    with httpx.Client(auth=auth) as client:
        assert client.get(shared.server.api_url).status_code == 200
    assert shared.server.counts.token_requests == 1


def test_row_21_a_long_stream_blocks_nobody(shared):
    """While an event stream is open, another request goes on, even when it needs a refresh."""
    shared.seed()
    auth = tokenlatch.httpx.BearerAuth(shared.source(), shared.server.url)
    with (
        httpx.Client(auth=auth) as client,
        client.stream("GET", f"{shared.server.url}/stream") as stream,
    ):
        assert next(stream.iter_bytes())
        shared.server.expire_now()
        assert client.get(shared.server.api_url, timeout=5.0).status_code == 200
    assert shared.server.counts.refreshes == 2
