"""One flight: the work cannot be cancelled, the waiting can, in threads and in tasks of asyncio and trio."""

import asyncio
import gc
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import trio
import trio.testing

from tokenlatch import TokenSet
from tokenlatch._flight import Flight
from tokenlatch.errors import ProviderError

TOKENS = TokenSet("at-1")


class Work:
    """Work that stays in the air until it is told to land."""

    def __init__(self, result=TOKENS):
        self.result = result
        self.began = threading.Event()
        self.may_land = threading.Event()
        self.thread = None

    def __call__(self, flight):
        """Fly."""
        self.flight, self.thread = flight, threading.current_thread()
        self.was_mine = flight.is_mine
        self.began.set()
        assert self.may_land.wait(10)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.fixture
def work():
    """Work that ends with the test at the latest."""
    work = Work()
    yield work
    work.may_land.set()


@pytest.fixture
def flight(work):
    """A flight in the air."""
    flight = Flight("at-0")
    flight.start(work)
    assert work.began.wait(10)
    yield flight
    work.may_land.set()
    try:
        flight.wait()
    except BaseException:  # noqa: BLE001 - the test has looked at it
        return


async def aboard():
    """Let every task that was created come to its first wait; asyncio runs them in turn."""
    for _ in range(3):
        await asyncio.sleep(0)


# ---------------------------------------------------------------------------------------------------------------- work


def test_the_work_has_a_thread_that_exit_waits_for(flight, work):
    """Not a daemon: an interpreter that ends would kill it between answer and file."""
    assert not work.thread.daemon
    assert work.thread is not threading.main_thread()
    assert work.was_mine
    assert not flight.is_mine
    assert flight.begun


def test_nobody_is_inside_a_flight_that_landed(flight, work):
    """Thread numbers are used again."""
    work.may_land.set()
    assert flight.wait() is TOKENS
    flight._thread = threading.get_ident()
    assert not flight.is_mine


def test_without_a_thread_the_work_is_done_at_once(work, monkeypatch):
    """Inline, as at interpreter exit."""

    def no_thread(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no_thread)
    work.may_land.set()
    flight = Flight(None)
    flight.start(work)
    assert flight.landed
    assert work.thread is threading.current_thread()


def test_the_first_landing_counts(flight, work):
    """A token that is served before it is saved lands early; what the work returns then is no matter."""
    early = TokenSet("at-early")
    flight.land(early)
    work.may_land.set()
    work.thread.join(10)
    assert flight.wait() is early


@pytest.mark.parametrize("late", [TOKENS, ProviderError("Late.")])
def test_an_early_landing_hides_a_late_end(late):
    """Nobody hears of it twice."""
    work = Work(late)
    flight = Flight(None)
    flight.start(work)
    flight.land(None)
    work.may_land.set()
    work.thread.join(10)
    assert flight.wait() is None


# ------------------------------------------------------------------------------------------------------------- threads


def test_many_threads_get_one_result(flight, work):
    """Each the same object."""
    with ThreadPoolExecutor(16) as pool:
        waiting = [pool.submit(flight.wait) for _ in range(16)]
        work.may_land.set()
        assert all(each.result(10) is TOKENS for each in waiting)


def test_each_thread_gets_an_error_of_its_own():
    """With equal text, so that tracebacks do not grow into each other."""
    work = Work(ProviderError("Ill."))
    flight = Flight(None)
    flight.start(work)

    def wait():
        with pytest.raises(ProviderError, match="Ill") as caught:
            flight.wait()
        return caught.value

    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(wait) for _ in range(4)]
        work.may_land.set()
        errors = [each.result(10) for each in waiting]
    assert len({id(each) for each in errors}) == 4
    assert work.result not in errors


@pytest.mark.parametrize(
    "problem", [KeyboardInterrupt(), SystemExit(3), MemoryError(), ValueError()]
)
def test_whatever_ends_the_work_ends_the_waiting(problem):
    """Nobody waits for ever."""
    work = Work(problem)
    flight = Flight(None)
    flight.start(work)
    work.may_land.set()
    with pytest.raises(type(problem)):
        flight.wait()


# --------------------------------------------------------------------------------------------------------------- tasks


def test_tasks_get_the_result(flight, work):
    """Sixty-four of them."""

    async def main():
        tasks = [asyncio.create_task(flight.arrive()) for _ in range(64)]
        await aboard()
        work.may_land.set()
        return await asyncio.gather(*tasks)

    assert asyncio.run(main()) == [TOKENS] * 64


def test_tasks_of_trio_get_the_result(flight, work):
    """The same."""
    results = []

    async def wait():
        results.append(await flight.arrive())

    async def main():
        async with trio.open_nursery() as nursery:
            for _ in range(64):
                nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            work.may_land.set()

    trio.run(main)
    assert results == [TOKENS] * 64


@pytest.mark.parametrize("run", [asyncio.run, lambda main: trio.run(lambda: main)])
def test_a_landed_flight_costs_no_wait(flight, work, run):
    """Joined late."""
    work.may_land.set()
    flight.wait()
    assert run(flight.arrive()) is TOKENS


def test_an_error_reaches_tasks():
    """A copy for each."""
    work = Work(ProviderError("Ill."))
    flight = Flight(None)
    flight.start(work)

    async def main():
        tasks = [asyncio.create_task(flight.arrive()) for _ in range(3)]
        await aboard()
        work.may_land.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    errors = asyncio.run(main())
    assert [str(each) for each in errors] == ["Ill."] * 3
    assert len({id(each) for each in errors}) == 3


def test_cancelling_one_waiter_cancels_nobody_else(flight, work):
    """Neither the other waiters nor the work."""

    async def main():
        first, second = (asyncio.create_task(flight.arrive()) for _ in range(2))
        await aboard()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert not flight.landed
        work.may_land.set()
        return await second

    assert asyncio.run(main()) is TOKENS
    assert flight.wait() is TOKENS


def test_a_time_limit_ends_the_waiting_only(flight, work):
    """wait_for and timeout of asyncio."""

    async def main():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flight.arrive(), 0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await flight.arrive()

    asyncio.run(main())
    assert not flight.landed
    work.may_land.set()
    assert flight.wait() is TOKENS


def test_a_time_limit_of_trio_ends_the_waiting_only(flight, work):
    """move_on_after."""

    async def main():
        with trio.move_on_after(0.001) as scope:
            await flight.arrive()
        return scope.cancelled_caught

    assert trio.run(main)
    work.may_land.set()
    assert flight.wait() is TOKENS


@pytest.mark.parametrize("library", ["asyncio", "trio"])
def test_a_loop_that_ends_first_leaves_the_work_alone(flight, work, library, monkeypatch, caplog):
    """Its waiter is gone when the flight lands: no error, nothing unraisable or logged, the result is there."""
    unraisable = []
    monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
    monkeypatch.setattr(threading, "excepthook", unraisable.append)

    async def leave():
        task = asyncio.create_task(flight.arrive())
        await aboard()
        del task

    async def leave_trio():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flight.arrive)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    if library == "asyncio":
        asyncio.run(leave())
    else:
        trio.run(leave_trio)
    work.may_land.set()
    work.thread.join(10)
    gc.collect()
    assert unraisable == []
    assert caplog.records == []
    assert flight.wait() is TOKENS


def test_a_full_default_executor_does_not_matter(flight, work):
    """Waiting takes no thread of the loop."""

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(1))
        blocked = threading.Event()
        loop.run_in_executor(None, blocked.wait, 10)
        task = asyncio.create_task(flight.arrive())
        await aboard()
        work.may_land.set()
        try:
            return await asyncio.wait_for(task, 5)
        finally:
            blocked.set()

    assert asyncio.run(main()) is TOKENS


def test_two_loops_wait_for_one_flight(flight, work):
    """Each in its own thread; no future is attached to the other's loop."""
    waiting = threading.Semaphore(0)

    async def wait():
        task = asyncio.create_task(flight.arrive())
        await aboard()
        waiting.release()
        return await task

    async def wait_in_trio():
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def tell():
                await trio.testing.wait_all_tasks_blocked()
                waiting.release()

            return await flight.arrive()

    with ThreadPoolExecutor(3) as pool:
        runs = [pool.submit(lambda: asyncio.run(wait())) for _ in range(2)]
        runs.append(pool.submit(trio.run, wait_in_trio))
        assert all(waiting.acquire(timeout=10) for _ in runs)
        work.may_land.set()
        assert [each.result(10) for each in runs] == [TOKENS] * 3
